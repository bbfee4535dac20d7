# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 2. DDPM: undo the noise, a little at a time
#
# *Denoising Diffusion Probabilistic Models.* Ho, Jain & Abbeel, NeurIPS 2020,
# [arXiv:2006.11239](https://arxiv.org/abs/2006.11239). When you are done you can
#
# * compute the noisy picture of any time in one line,
# * derive the step back, and say why it must be small,
# * read the training loss and the sampling loop,
# * say in which order the model decides.

# %% [markdown]
# **You need:** [lesson 1](01_noise_and_denoiser.ipynb), above all why a denoiser answers with a mean. Mean and variance
# of random numbers, and the Gaussian (normal) distribution. Numbers in brackets, such as (4), are those of the paper's
# equations.
#
# **To skip:** what is folded; and the two claims, if you only want to know how it works.

# %% [markdown]
# | section | minutes |
# |---|---|
# | Into the noise | 9 |
# | Back, if the picture is known | 9 |
# | Back, with a guess | 9 |
# | Training | 7 |
# | The sampling loop | 8 |
# | Claim 1: good pictures | 6 |
# | Claim 2: large features first | 5 |
# | With the official weights | 2 |
# | Exercises | 30 |
# | What the ledger says | 2 |
# | Where to read on | 1 |

# %%
import matplotlib.pyplot as plt
import torch

import minidiff
from minidiff import DDPMPipeline, DDPMScheduler, widgets, zoo
from minidiff.course import claims, official, statistics
from minidiff.course.claims import ddpm, sampling
from minidiff.course.exercises import ddpm as exercises
from minidiff.course.questions import ddpm as questions
from minidiff.zoo.evaluator import as_tensor

torch.set_grad_enabled(False)  # nothing is trained here
device = "cuda" if torch.cuda.is_available() else "cpu"
scheduler = DDPMScheduler()  # holds the betas of the paper
cat = zoo.world.draw(seed=16, size=32)


def noise(seed, *shape):
    return torch.randn(shape or (1, 3, 32, 32), generator=torch.Generator().manual_seed(seed))


# %% [markdown]
# ## Into the noise
#
# Take a picture $x_0$, its numbers scaled to $[-1, 1]$. Time runs in $T = 1000$ *ticks*. At tick $t$ its numbers are
# made a little smaller, and a little noise is added:
#
# $$q(x_t \mid x_{t-1}) = \mathcal N\big(\sqrt{1 - \beta_t}\; x_{t-1},\ \beta_t I\big) \tag{2}$$

# %% [markdown]
# In words: if $x_{t-1}$ is known, $x_t$ is Gaussian, with that mean, and each of its numbers has the variance
# $\beta_t$, independent of the others. The $\beta_t$ are small, from 0.0001 to 0.02. Smaller numbers make room for the
# noise: what has variance 1 keeps variance $(1 - \beta_t) + \beta_t = 1$.

# %% jupyter={"source_hidden": true} tags=["diagram"]
x_0 = 2 * as_tensor(cat.image)[None] - 1
seen = {t: scheduler.add_noise(x_0, noise(0), torch.tensor([t]))[0] for t in (150, 200, 999)}
widgets.diagram(
    {
        "x_0": (0.8, 1.2, x_0[0], "$x_0$, the picture"),
        "x_prev": (2.7, 1.2, seen[150], "$x_{t-1}$"),
        "x_t": (5.3, 1.2, seen[200], "$x_t$"),
        "x_T": (7.2, 1.2, seen[999], "$x_T$, noise"),
    },
    [
        ("x_0", "x_prev", "many ticks"),
        ("x_prev", "x_t", "$q$: add noise (easy)", -0.4),
        ("x_t", "x_prev", "remove noise (this lesson)", -0.4),
        ("x_t", "x_T", "many ticks"),
    ],
    width=8.0,
    height=2.4,
)

# %% [markdown]
# Must we make 600 ticks to see $x_{600}$? No. To multiply many times is to multiply once, and many independent Gaussian
# noises add up to one. With $\alpha_t = 1 - \beta_t$ and $\bar\alpha_t = \alpha_1 \alpha_2 \cdots \alpha_t$:
#
# $$q(x_t \mid x_0) = \mathcal N\big(\sqrt{\bar\alpha_t}\; x_0,\ (1 - \bar\alpha_t) I\big) \tag{4}$$

# %% [markdown]
# $\bar\alpha_t$ is the most important number in this course: the variance of the picture has become $\bar\alpha_t$
# times what it was. Lesson 1's $a_t$ is $\sqrt{\bar\alpha_t}$, and $b_t$ is $\sqrt{1 - \bar\alpha_t}$. (The paper
# counts ticks from 1, the code from 0. So at the code's $t = 0$ there is one tick of noise.)

# %% [markdown]
# Is (4) true? We send 100,000 copies of the number $x_0 = 0.8$ through 300 single ticks, and compare.

# %% tags=["nbval-check-output"]
x = torch.full((100_000,), 0.8)
generator = torch.Generator().manual_seed(0)
for beta in scheduler.beta[:300]:
    x = (1 - beta) ** 0.5 * x + beta**0.5 * torch.randn(x.shape, generator=generator)
alpha_bar = scheduler.alpha_bar[299]
print(f"300 ticks:   mean {x.mean():.2f}, standard deviation {x.std():.2f}")
print(f"once by (4): mean {alpha_bar**0.5 * 0.8:.2f}, standard deviation {(1 - alpha_bar) ** 0.5:.2f}")

# %%
questions.half_way()

# %% [markdown]
# The widget shows $\bar\alpha_t$, and the *signal-to-noise ratio* $\bar\alpha_t / (1 - \bar\alpha_t)$ in decibels (dB):
# ten times its logarithm to base 10. At 10 dB the signal's variance is ten times the noise's, at 0 dB they are equal.
# Find the tick at which you can no longer see the cat.

# %%
widgets.noising(cat, scheduler, frames=16)

# %% [markdown]
# 0 dB means equal only for pictures whose numbers have a mean square of 1. Our drawings have less. So they are weaker
# than the curve says, by this:

# %%
drawings = sampling.drawings(1000, size=32, seed=1)  # (1000, 3, 32, 32), none of them was trained on
square = drawings.square().mean()
print(f"mean square of the drawings' numbers: {square:.2f}, which is {10 * square.log10():.1f} dB")

# %% [markdown]
# The list of all $\beta_t$ is called a *schedule*. Ours is that of Ho et al. Nichol & Dhariwal
# ([arXiv:2102.09672](https://arxiv.org/abs/2102.09672)) use another, which leaves more of the picture in the middle.

# %%
widgets.schedule_plot(
    scheduler, DDPMScheduler(beta_schedule="squaredcos_cap_v2"), labels=["Ho et al.", "Nichol & Dhariwal"]
)

# %% [markdown]
# ## Back, if the picture is known
#
# We want to go one tick back, from $x_t$ to $x_{t-1}$. Suppose for a moment that somebody tells us $x_0$. Then two
# things are known about $x_{t-1}$. By (4) it lies near $\sqrt{\bar\alpha_{t-1}}\,x_0$. And by (2) it became $x_t$ when
# a little noise was added.

# %% [markdown]
# *Bayes' rule* joins the two: the probability of a value of $x_{t-1}$ is the product of both, times a constant. A
# product of two Gaussians is again a Gaussian:
#
# $$q(x_{t-1} \mid x_t, x_0) = \mathcal N\big(\tilde\mu_t,\ \tilde\beta_t I\big), \tag{6}$$
#
# $$\tilde\mu_t = \frac{\sqrt{\bar\alpha_{t-1}}\,\beta_t}{1 - \bar\alpha_t}\, x_0
# + \frac{\sqrt{\alpha_t}\,(1 - \bar\alpha_{t-1})}{1 - \bar\alpha_t}\, x_t, \qquad
# \tilde\beta_t = \frac{1 - \bar\alpha_{t-1}}{1 - \bar\alpha_t}\,\beta_t. \tag{7}$$

# %% [markdown]
# <details><summary>The derivation of (7), in six lines</summary>
#
# Write $x$ for $x_{t-1}$.
#
# 1. Bayes: $q(x \mid x_t, x_0) = q(x_t \mid x)\, q(x \mid x_0) \,/\, q(x_t \mid x_0)$. The last factor does not hold
#    $x$.
# 2. By (2) and (4) the logarithm is $-\frac{(x_t - \sqrt{\alpha_t} x)^2}{2 \beta_t} - \frac{(x -
#    \sqrt{\bar\alpha_{t-1}} x_0)^2}{2 (1 - \bar\alpha_{t-1})}$ and a constant.
# 3. A Gaussian has the logarithm $-\frac{(x - \tilde\mu_t)^2}{2 \tilde\beta_t}$ and a constant. So compare what stands
#    before $x^2$ and before $x$:
# 4. $\frac{1}{\tilde\beta_t} = \frac{\alpha_t}{\beta_t} + \frac{1}{1 - \bar\alpha_{t-1}}$ and
#    $\frac{\tilde\mu_t}{\tilde\beta_t} = \frac{\sqrt{\alpha_t}}{\beta_t} x_t + \frac{\sqrt{\bar\alpha_{t-1}}}{1 -
#    \bar\alpha_{t-1}} x_0$.
# 5. Since $\alpha_t (1 - \bar\alpha_{t-1}) + \beta_t = 1 - \bar\alpha_t$, the first is $\tilde\beta_t = \frac{1 -
#    \bar\alpha_{t-1}}{1 - \bar\alpha_t} \beta_t$.
# 6. Multiply the second by it: $\tilde\mu_t$ of (7).
# </details>

# %% [markdown]
# We test (7) without its formula: on a fine grid of values of $x_{t-1}$ we multiply the two Gaussians, and measure
# where the product has its middle and how wide it is.

# %% tags=["nbval-check-output"]
t, told, x_t = 200, -0.5, 0.3
alpha_t, beta_t = 1 - scheduler.beta[t], scheduler.beta[t]
alpha_bar_t, alpha_bar_prev = scheduler.alpha_bar[t], scheduler.alpha_bar[t - 1]

x_prev = torch.linspace(-4, 4, 100_001, dtype=torch.float64)  # the grid
log_q = -((x_t - alpha_t**0.5 * x_prev) ** 2) / (2 * beta_t)  # by (2)
log_q = log_q - (x_prev - alpha_bar_prev**0.5 * told) ** 2 / (2 * (1 - alpha_bar_prev))  # by (4)
q = torch.softmax(log_q, dim=0)
mean = (q * x_prev).sum()
print(f"on the grid: mean {mean:.3f}, standard deviation {(q * (x_prev - mean) ** 2).sum() ** 0.5:.3f}")

mu_tilde_t = (
    alpha_bar_prev**0.5 * beta_t / (1 - alpha_bar_t) * told
    + alpha_t**0.5 * (1 - alpha_bar_prev) / (1 - alpha_bar_t) * x_t
)
beta_tilde_t = (1 - alpha_bar_prev) / (1 - alpha_bar_t) * beta_t
print(f"by (7):      mean {mu_tilde_t:.3f}, standard deviation {beta_tilde_t**0.5:.3f}")

# %% [markdown]
# ## Back, with a guess
#
# Who makes a new picture does not know $x_0$. Behind a noisy $x_t$ many pictures may lie, some more probable than
# others. A network trained with squared error answers with their mean, says lesson 1. Call its answer $\hat x_0$.
#
# **The idea:** we put $\hat x_0$ where $x_0$ stood in (7). Why may we?

# %% [markdown]
# For the mean it is exactly right. $\tilde\mu_t$ is a number times $x_0$, and something that does not depend on $x_0$.
# So its mean over all possible pictures is what (7) makes of their mean, $\hat x_0$.

# %% [markdown]
# For the shape it is nearly right, if the step is small. Each possible picture has its own Gaussian; the truth is their
# sum, wider than each. But in (7) $x_0$ has a factor with $\beta_t$ in it. So the distance between the Gaussians
# shrinks with $\beta_t$, their width only with $\sqrt{\beta_t}$, and their sum looks like one.

# %% jupyter={"source_hidden": true}
x_t, pictures = 0.1, torch.tensor([-0.8, 0.8])
figure, panels = plt.subplots(1, 2, figsize=(7.2, 2.3), dpi=90, layout="constrained")
for axes, t_prev in zip(panels, (480, 100), strict=True):
    now, then = scheduler.alpha_bar[500], scheduler.alpha_bar[t_prev]
    behind = torch.softmax(-((x_t - now**0.5 * pictures) ** 2) / (2 * (1 - now)), dim=0)  # how probable each picture is
    alpha = now / then  # of the leap
    by_x_0, by_x_t = then**0.5 * (1 - alpha) / (1 - now), alpha**0.5 * (1 - then) / (1 - now)
    mu = lambda x_0, by_x_0=by_x_0, by_x_t=by_x_t: by_x_0 * x_0 + by_x_t * x_t
    spread = ((1 - then) / (1 - now) * (1 - alpha)) ** 0.5
    x = torch.linspace(-3, 2, 400)
    hill = lambda m, spread=spread, x=x: torch.exp(-((x - m) ** 2) / (2 * spread**2)) / (spread * (2 * torch.pi) ** 0.5)
    axes.plot(x, sum(share * hill(mu(x_0)) for share, x_0 in zip(behind, pictures, strict=True)), label="truth")
    axes.plot(x, hill(mu((behind * pictures).sum())), "--", label="guess")
    axes.set(xlabel="$x_{t-1}$", ylabel="probability density", title=f"from t = 500 to {t_prev}")
    axes.legend(frameon=False, fontsize="small", loc="upper left")
plt.show()

# %% [markdown]
# A world with two "pictures", the numbers -0.8 and 0.8. On the left a short step: both curves nearly agree. On the
# right one long leap: the truth has two hills. The guess has one, in the middle, where there is no picture. So: many
# small steps, and a new guess in each.

# %% [markdown]
# ## Training
#
# (4) says that $x_t = \sqrt{\bar\alpha_t}\,x_0 + \sqrt{1 - \bar\alpha_t}\,\epsilon$, where $\epsilon$ is noise of
# variance 1. The network is asked for $\epsilon$. The picture follows:
#
# $$\hat x_0 = \frac{x_t - \sqrt{1 - \bar\alpha_t}\;\epsilon_\theta(x_t, t)}{\sqrt{\bar\alpha_t}} \tag{15}$$
#
# $\epsilon_\theta$ is the network; $\theta$ stands for its weights.

# %% [markdown]
# To train it, take a drawing, a random time, and noise. Mix them to $x_t$. Ask the network for the noise, and make the
# squared error smaller:
#
# $$L = \mathbb E\, \big\lVert \epsilon - \epsilon_\theta(x_t, t) \big\rVert^2 \tag{14}$$
#
# $\mathbb E$ is the mean over drawings, times and noises.

# %% [markdown]
# `minidiff/zoo/recipes/storybook_ddpm.py` did this 62,000 times, with 32 drawings each. There some times get more
# weight than others (*P2 weights*, Choi et al., [arXiv:2204.00227](https://arxiv.org/abs/2204.00227)).

# %%
questions.easier_times()

# %% [markdown]
# We ask the network about 64 drawings that it has never seen. (14) sums the squares over the 3,072 numbers of a
# picture. We print their mean: a network that always says 0 then has a loss of 1. Beside it stands how wrong
# $\hat x_0$ is (the root of the mean square).

# %%
pipe = DDPMPipeline.from_pretrained(zoo.path("storybook-ddpm")).to(device)
pipe.set_progress_bar_config(disable=True)

x_0 = drawings[:64].to(device)
eps = noise(1, *x_0.shape).to(device)
losses, guesses = {}, {}
for t in (0, 20, 100, 300, 600, 999):
    x_t = pipe.scheduler.add_noise(x_0, eps, torch.full([64], t))  # by (4)
    eps_theta = pipe.unet(x_t, t).sample
    x_0_hat = pipe.scheduler.predict(eps_theta, x_t, pipe.scheduler.alpha_bar[t])[0]  # by (15)
    losses[t], guesses[t] = ((eps - eps_theta) ** 2).mean().item(), (x_t[0], x_0_hat[0])
    wrong = ((x_0 - x_0_hat) ** 2).mean() ** 0.5
    print(f"t = {t:3}: loss {losses[t]:.6f}, x_0_hat wrong by {wrong:.3f}")

# %% tags=["nbval-check-output"]
values = list(losses.values())
print("the more noise, the smaller the loss:", "yes" if all(a > b for a, b in zip(values, values[1:])) else "no")

# %% jupyter={"source_hidden": true}
rows = torch.stack([guess[0] for guess in guesses.values()] + [guess[1] for guess in guesses.values()])
widgets.sheet(sampling.images((rows / 2 + 0.5).clamp(0, 1)), columns=6, size=64)

# %% [markdown]
# Above $x_t$, below $\hat x_0$. With more noise the loss falls, but $\hat x_0$ gets worse: (15) divides what is wrong
# by $\sqrt{\bar\alpha_t}$, at $t = 999$ by 0.006. This is the grain on lesson 1's mean of all drawings.


# %% [markdown]
# ## The sampling loop
#
# Algorithm 2 of the paper:
#
# 1. $x_T \sim \mathcal N(0, I)$
# 2. **for** $t = T, \ldots, 1$ **do**
# 3. $\quad z \sim \mathcal N(0, I)$ if $t > 1$, else $z = 0$
# 4. $\quad x_{t-1} = \tilde\mu_t(x_t, \hat x_0) + \sigma_t z$
#
# $z$ is new noise, and $\sigma_t$ its size. (The paper puts (15) into (7) and prints that, as
# (11). We keep $\hat x_0$ in sight.)

# %%
minidiff.read(DDPMScheduler.step)

# %% [markdown]
# $\hat x_0$ is clipped to $[-1, 1]$, the range of pictures. The authors' code does this; their paper does not say so.
# (A word behind a number, such as *rearranged*, says how the equation differs from the printed one.)

# %% [markdown]
# $\sigma_t$ has two settings. $\sigma_t^2 = \tilde\beta_t$ (`fixed_small`) would be exact if the world held a single
# picture, $\sigma_t^2 = \beta_t$ (`fixed_large`) if pictures were Gaussian noise. The truth lies between (section 3.2).
# In small steps the two are nearly equal, but for the last few.

# %% [markdown]
# Ticks may be left out. Then "$t-1$" means the next tick that we keep, and $\alpha_t$ and $\beta_t$ are those of the
# whole leap. We keep 100 of the 1000, and watch one picture come.

# %%
walk = widgets.record(pipe, generator=torch.Generator().manual_seed(4), num_inference_steps=100)
widgets.scrub(walk, frames=16)

# %% [markdown]
# ## Claim 1: good pictures
#
# The paper's number is an FID of 3.17 on CIFAR-10 (small photographs), with 1000 steps and the larger variance. We take
# the smaller.

# %% [markdown]
# The *Fréchet distance* compares two sets of pictures. A classifier describes each picture by some numbers; their means
# and covariances are compared. FID ([arXiv:1706.08500](https://arxiv.org/abs/1706.08500)) uses 2048 numbers of
# Inception, a classifier of photographs. We use 16 of our evaluator. The scales differ; on both, less is better.

# %% [markdown]
# Even true drawings do not get 0, since any 500 of them differ a little from the rest. The fewer the pictures, the
# larger the distance: compare only numbers from as many pictures. *Named* is the share of pictures in which the
# evaluator is at least 90 % sure of an object.
#
# <details><summary>What the intervals mean</summary>
#
# How different would another 500 pictures be? Draw 500 from our 500, with repetition, and measure again. Do this a
# thousand times. The middle 95 % of the results is the (bootstrap) interval. *Within noise*: the interval of a
# difference holds 0, so we cannot tell.
# </details>

# %% jupyter={"source_hidden": true}
large = claims.measured("ddpm")["quality"]
entries = statistics.entries_of(large, "frechet", [f"DDPM, {steps} steps" for steps in (10, 100, 1000)])
statistics.bars(
    entries,
    f"Fréchet distance ({large['samples']} pictures a bar; less is better)",
    floor=large["floor"],
    paper={"DDPM, 1000 steps": 3.17},
    paper_label="FID on CIFAR-10 (paper)",
)

# %% tags=["nbval-check-output"]
best, named = (statistics.entries_of(large, measure)["DDPM, 1000 steps"] for measure in ("frechet", "named"))
print("1000 steps: at least 95 % of the pictures are named:", "yes" if named["low"] >= 0.95 else "no")
for two in large["comparisons"][:2]:
    (_, more), (_, fewer) = two["better"], two["than"]
    print(f"{more} steps are better than {fewer}: {two['frechet']['verdict']}")
print("true drawings are still better:", statistics.verdict(large["floor"], best, less_is_better=True))

# %% [markdown]
# 500 pictures of 1000 steps cannot be told from true drawings. From 100 to 1000 steps the gain is too small to be sure.

# %% [markdown]
# Live, 32 pictures:

# %%
images = pipe(32, torch.Generator().manual_seed(11), num_inference_steps=50).images
live = zoo.evaluate(images)
print(f"32 pictures, 50 steps: named {100 * live['named']:.0f} %")
widgets.sheet(images[:8], columns=8, size=64)

# %% [markdown]
# **Where it fails.** The larger variance needs small steps. With ten leaps, the last but one goes from $t = 100$ to 0,
# and adds noise of size $\sqrt{\beta_t} = 0.32$. The last step expects noise of size 0.01, and removes no more.

# %%
for name in ("DDPM, 10 steps", "DDPM, large, 10 steps"):
    named, frechet = (statistics.entries_of(large, measure, [name])[name] for measure in ("named", "frechet"))
    print(f"{name}: named {statistics.spread(named, '.0f', 100)} %, Fréchet {statistics.spread(frechet, '.1f')}")

# %% [markdown]
# ## Claim 2: large features first
#
# Section 4.3 of the paper: "large scale image features appear first and details appear last". It gives no number for
# this order, so we make one. At each step the evaluator says what $\hat x_0$ shows. How often does the finished picture
# show the same?

# %% [markdown]
# By chance alone some answers are right: "mountains" is right in every second picture. So we subtract chance. 1 means
# always right, 0 no better than chance. We call an attribute half decided
# where its curve passes one half. (The evaluator calls the kind of sky "time".)

# %%
questions.decided_first()

# %%
live, _ = ddpm.agreement(pipe, samples=96, steps=25)
print("live:", statistics.table(live))

# %% jupyter={"source_hidden": true}
large = claims.measured("ddpm")["agreement"]
print(f"{large['samples']} walks of {large['steps']} steps")
statistics.curves(
    ddpm.curves_of(large),
    "t (the walk goes from right to left)",
    "agreement, less chance",
    marks={"one half": 0.5},
)

# %% tags=["nbval-check-output"]
(comparison,) = large["comparisons"]
print("the sky is decided before the object:", comparison["half"]["verdict"])

# %% [markdown]
# The network sees day or night at a time when you see nothing but noise. The object comes last, more than 200 ticks
# later.

# %% [markdown]
# ## With the official weights
#
# The same class, with the networks of the paper. CIFAR-10 uses `fixed_large` and is made for 1000 steps; in 50 its
# pictures keep some grain. The faces use `fixed_small`, and need a GPU.

# %%
pictures = official.show(DDPMPipeline, "google/ddpm-cifar10-32", batch_size=2, num_inference_steps=50)

# %%
pictures = official.show(DDPMPipeline, "google/ddpm-celebahq-256", gpu=True, batch_size=4, num_inference_steps=1000)

# %% [markdown]
# ## Exercises
#
# Replace the `...` and run the cell. It checks a property that only a right answer has. Two hints and a solution are
# folded below each.

# %% [markdown]
# **1. Noise that stays noise.** Write one tick of (2) for any $\beta$. The check feeds it numbers of variance 1. Is the
# variance still 1 afterwards? And how much of the old numbers is left?


# %%
def tick(x, beta, z): ...  # return the next x; z is standard normal


print(exercises.tick(tick))

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# (2) gives a mean and a variance. A number with mean $m$ and variance $v$ is $m$ and noise, made larger or smaller.
# </details>
#
# <details><summary>Hint 2</summary>
#
# `z` has variance 1. Which $c$ gives $c z$ the variance $\beta$? Not $\beta$ itself.
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def tick(x, beta, z):
#     return (1 - beta) ** 0.5 * x + beta**0.5 * z
# ```
# </details>

# %% [markdown]
# **2. The step back.** Write $\tilde\mu_t$ and $\tilde\beta_t$ for a leap over many ticks. The check does not know (7).
# It goes to $x_t$ by (4) and back with yours. Does (4) hold there? And does (2) lead from there to $x_t$?


# %%
def posterior(x_0, x_t, alpha_bar_t, alpha_bar_prev): ...  # return (mean, variance) of x_{t-1}


print(exercises.posterior(posterior))

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# (7) needs $\alpha_t$ and $\beta_t$ too. $\bar\alpha_t$ is a product, and $\alpha_t$ its last factor.
# </details>
#
# <details><summary>Hint 2</summary>
#
# `alpha_t = alpha_bar_t / alpha_bar_prev` and `beta_t = 1 - alpha_t`. Now write down both parts of (7).
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def posterior(x_0, x_t, alpha_bar_t, alpha_bar_prev):
#     alpha_t = alpha_bar_t / alpha_bar_prev
#     beta_t = 1 - alpha_t
#     mean = (alpha_bar_prev**0.5 * beta_t * x_0 + alpha_t**0.5 * (1 - alpha_bar_prev) * x_t) / (1 - alpha_bar_t)
#     return mean, (1 - alpha_bar_prev) / (1 - alpha_bar_t) * beta_t
# ```
# If the check says "almost", you have found one of many other steps for which (4) holds. Lesson 3 is about them.
# </details>

# %% [markdown]
# **3. The best network there is (on paper).** Let the data be single numbers, Gaussian with mean 0 and variance $s^2$.
# Then the best guess of the noise, the one with the least loss (14), is a formula. Derive it with a pencil, then type
# it in.


# %%
def best_eps(x_t, alpha_bar_t, s): ...


print(exercises.best_eps(best_eps))

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# All is Gaussian here, so the best guess is a number times $x_t$: $\hat\epsilon = c\,x_t$. Put $x_t =
# \sqrt{\bar\alpha_t}\,x_0 + \sqrt{1 - \bar\alpha_t}\,\epsilon$ into $\mathbb E (\epsilon - c\,x_t)^2$.
# </details>
#
# <details><summary>Hint 2</summary>
#
# The loss is $1 - 2 c\, \mathbb E[\epsilon x_t] + c^2\, \mathbb E[x_t^2]$, with $\mathbb E[\epsilon x_t] = \sqrt{1 -
# \bar\alpha_t}$. For which $c$ is it least?
# </details>
#
# <details><summary>Solution</summary>
#
# $\mathbb E[x_t^2] = \bar\alpha_t s^2 + 1 - \bar\alpha_t$, and the least loss is where its derivative by $c$ is 0:
# ```python
# def best_eps(x_t, alpha_bar_t, s):
#     return (1 - alpha_bar_t) ** 0.5 * x_t / (alpha_bar_t * s**2 + 1 - alpha_bar_t)
# ```
# </details>

# %% [markdown]
# ## What the ledger says
#
# Papers, their authors' code and today's libraries do not always agree. The *ledger* lists where, and what this package
# does. One entry about DDPM; `minidiff ledger` prints all. (`diffusers` is a library that many use.)

# %%
from minidiff.papers import ledger  # noqa: E402

print(ledger.entry("DDPM last step"))

# %% [markdown]
# ## Where to read on
#
# * [The paper](https://arxiv.org/abs/2006.11239): section 2 has all equations on one page, section 3.2 the choice of
#   $\sigma_t$.
# * Sohl-Dickstein et al. 2015, [arXiv:1503.03585](https://arxiv.org/abs/1503.03585): where the idea comes from.
# * [Lesson 3](03_ddim.ipynb): few steps, with the same network.
