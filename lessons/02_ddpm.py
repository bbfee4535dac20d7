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
# [arXiv:2006.11239](https://arxiv.org/abs/2006.11239)
#
# A cat can be drowned in noise by anybody. This lesson is about getting it back. When you are done you can
#
# * say how much of a picture is left at time $t$, and compute $x_t$ in one line,
# * derive the step back for somebody who knows the picture, and say what takes its place for somebody who does not,
# * read the training loss and the sampling loop as one reads a recipe,
# * say in which order a diffusion model makes its decisions.
#
# Reading takes about an hour, running all cells less than a minute on two CPU cores.

# %%
import matplotlib.pyplot as plt
import torch

import minidiff
from minidiff import DDPMPipeline, DDPMScheduler, widgets, zoo
from minidiff.course import claims, official, statistics
from minidiff.course.claims import sampling
from minidiff.course.claims.ddpm import agreement
from minidiff.course.exercises import ddpm as exercises

torch.set_grad_enabled(False)  # nothing is trained here
device = "cuda" if torch.cuda.is_available() else "cpu"


def noise(seed, *shape):
    return torch.randn(shape or (1, 3, 32, 32), generator=torch.Generator().manual_seed(seed))


# %% [markdown]
# ## Drowning a cat
#
# Take a picture $x_0$, its numbers scaled to $[-1, 1]$. At every tick $t$ shrink it a little and add a little noise:
#
# $$q(x_t \mid x_{t-1}) = \mathcal N\big(\sqrt{1 - \beta_t}\; x_{t-1},\ \beta_t I\big) \tag{2}$$
#
# $\beta_t$ is the variance of the noise added. The shrinking makes room for it: what has variance 1 keeps it, all else
# moves towards it. After $T = 1000$ ticks nothing is left of the cat.
#
# Nobody wants to run a thousand ticks to see tick 600. Shrinking and adding noise many times is shrinking once and
# adding noise once. With $\alpha_t = 1 - \beta_t$ and $\bar\alpha_t = \alpha_1 \alpha_2 \cdots \alpha_t$:
#
# $$q(x_t \mid x_0) = \mathcal N\big(\sqrt{\bar\alpha_t}\; x_0,\ (1 - \bar\alpha_t) I\big) \tag{4}$$
#
# $\bar\alpha_t$ is the most important number in this course: how much of the picture's variance is left. (The code
# counts ticks from 0, as the published code does. The paper counts from 1.)
#
# Is (4) true? Let 100,000 copies of the number $x_0 = 0.8$ go through 300 single ticks, then ask (4).

# %% tags=["nbval-check-output"]
scheduler = DDPMScheduler()
x = torch.full((100_000,), 0.8)
generator = torch.Generator().manual_seed(0)
for beta in scheduler.beta[:300]:
    x = (1 - beta) ** 0.5 * x + beta**0.5 * torch.randn(x.shape, generator=generator)
alpha_bar = scheduler.alpha_bar[299]
print(f"300 ticks:       mean {x.mean():.2f}, standard deviation {x.std():.2f}")
print(f"one leap by (4): mean {alpha_bar**0.5 * 0.8:.2f}, standard deviation {(1 - alpha_bar) ** 0.5:.2f}")

# %% [markdown]
# Now with a picture. Besides $\bar\alpha_t$ the widget shows the *signal-to-noise ratio*
# $\bar\alpha_t / (1 - \bar\alpha_t)$, in decibels: at 0 dB there is as much noise as picture.
# **Before you move the slider: at how many decibels will you stop seeing what it is?**

# %%
widgets.noising(zoo.world.draw(seed=5, size=32), scheduler)

# %% [markdown]
# How fast the drawing goes under is a choice. Ho et al. let $\beta_t$ grow in a straight line; Nichol & Dhariwal
# ([arXiv:2102.09672](https://arxiv.org/abs/2102.09672)) found that it then drowns too early, and let $\bar\alpha_t$
# fall like a cosine. The network of this course was trained with the first.

# %%
widgets.schedule_plot(
    scheduler, DDPMScheduler(beta_schedule="squaredcos_cap_v2"), labels=["Ho et al.", "Nichol & Dhariwal"]
)

# %% [markdown]
# ## Back, for somebody who knows the answer
#
# We want to step from $x_t$ to $x_{t-1}$. Suppose for a moment that $x_0$ is known. Then two things are known of
# $x_{t-1}$: it lies $\beta_t$ of noise before $x_t$, by (2), and $1 - \bar\alpha_{t-1}$ of noise behind $x_0$, by (4).
# Two Gaussians, multiplied, are a Gaussian:
#
# $$q(x_{t-1} \mid x_t, x_0) = \mathcal N\big(\tilde\mu_t,\ \tilde\beta_t I\big), \tag{6}$$
#
# $$\tilde\mu_t = \frac{\sqrt{\bar\alpha_{t-1}}\,\beta_t}{1 - \bar\alpha_t}\, x_0
# + \frac{\sqrt{\alpha_t}\,(1 - \bar\alpha_{t-1})}{1 - \bar\alpha_t}\, x_t, \qquad
# \tilde\beta_t = \frac{1 - \bar\alpha_{t-1}}{1 - \bar\alpha_t}\,\beta_t. \tag{7}$$
#
# Let us not believe it. On a fine grid of numbers we multiply the two Gaussians by brute force, and look where the
# product has its mean and how wide it is.

# %% tags=["nbval-check-output"]
t, x_0, x_t = 200, -0.5, 0.3
alpha_t, beta_t = 1 - scheduler.beta[t], scheduler.beta[t]
alpha_bar_t, alpha_bar_prev = scheduler.alpha_bar[t], scheduler.alpha_bar[t - 1]

x_prev = torch.linspace(-4, 4, 100_001, dtype=torch.float64)
log_q = -((x_t - alpha_t**0.5 * x_prev) ** 2) / (2 * beta_t)
log_q = log_q - (x_prev - alpha_bar_prev**0.5 * x_0) ** 2 / (2 * (1 - alpha_bar_prev))
q = torch.softmax(log_q, dim=0)
mean = (q * x_prev).sum()

mu = (
    alpha_bar_prev**0.5 * beta_t / (1 - alpha_bar_t) * x_0
    + alpha_t**0.5 * (1 - alpha_bar_prev) / (1 - alpha_bar_t) * x_t
)
print(f"by brute force: mean {mean:.3f}, standard deviation {(q * (x_prev - mean) ** 2).sum() ** 0.5:.3f}")
beta_tilde_t = (1 - alpha_bar_prev) / (1 - alpha_bar_t) * beta_t
print(f"by (7):         mean {mu:.3f}, standard deviation {beta_tilde_t**0.5:.3f}")

# %% [markdown]
# ## Back, for somebody who does not
#
# A sampler does not know $x_0$. A network guesses. It is not asked for the picture, but for the noise $\epsilon$ that
# was mixed in; the picture follows by solving (4):
#
# $$\hat x_0 = \frac{x_t - \sqrt{1 - \bar\alpha_t}\;\epsilon_\theta(x_t, t)}{\sqrt{\bar\alpha_t}} \tag{15}$$
#
# And it is trained by just asking, at random times, with noise that *we* mixed in and therefore know:
#
# $$L = \mathbb E\, \big\lVert \epsilon - \epsilon_\theta(x_t, t) \big\rVert^2, \qquad
# x_t = \sqrt{\bar\alpha_t}\,x_0 + \sqrt{1 - \bar\alpha_t}\,\epsilon \tag{14}$$
#
# That is the whole training; `minidiff/zoo/recipes/storybook_ddpm.py` writes it in a dozen lines, some of them to
# give every time its weight. Here is the loss of the finished network on 64 drawings that it has never seen, for six
# times, as the mean over the numbers of a picture. A network that always answers 0 has a loss of 1.
# **At which end is it good: where there is little noise, or where there is much?**

# %%
pipe = DDPMPipeline.from_pretrained(zoo.path("storybook-ddpm")).to(device)
pipe.set_progress_bar_config(disable=True)

x_0 = sampling.drawings(64, size=32, seed=1).to(device)  # (64, 3, 32, 32), none of them was trained on
eps = noise(1, *x_0.shape).to(device)
losses, guesses = {}, []
for t in (0, 20, 100, 300, 600, 999):
    x_t = pipe.scheduler.add_noise(x_0, eps, torch.full([64], t))
    eps_theta = pipe.unet(x_t, t).sample
    losses[t] = ((eps - eps_theta) ** 2).mean().item()
    x_0_hat = pipe.scheduler.predict(eps_theta, x_t, pipe.scheduler.alpha_bar[t])[0]
    guesses += [x_t[0], x_0_hat[0]]
    print(f"t = {t:3}: loss {losses[t]:.4f}, noise in the picture {(1 - pipe.scheduler.alpha_bar[t]) ** 0.5:.3f}")
widgets.sheet(sampling.images((torch.stack(guesses[::2] + guesses[1::2]) / 2 + 0.5).clamp(0, 1)), columns=6, size=64)

# %% tags=["nbval-check-output"]
values = list(losses.values())
print("the more noise, the easier to tell:", "yes" if all(a > b for a, b in zip(values, values[1:])) else "no")

# %% [markdown]
# Above $x_t$, below $\hat x_0$. At $t = 999$ the answer is nearly free: all of it is noise, so say what you see. A
# perfect network would *believe* in the mean of all pictures there, a grey fog. Ours is wrong by less than one part in
# a hundred, but (15) divides by $\sqrt{\bar\alpha_t} = 0.006$: the colours are its error, 157 times as large. At $t =
# 0$ the question is almost impossible, noise of one part in a hundred, and hardly matters: the picture is there. All
# that is interesting happens between.
#
# ## The sampling loop
#
# Put the guess where $x_0$ stood in (7), add noise of the right size, repeat. Algorithm 2 of the paper:
#
# 1. $x_T \sim \mathcal N(0, I)$
# 2. **for** $t = T, \ldots, 1$ **do**
# 3. $\quad z \sim \mathcal N(0, I)$ if $t > 1$, else $z = 0$
# 4. $\quad x_{t-1} = \tilde\mu_t(x_t, \hat x_0) + \sigma_t z$
#
# The pipeline's loop has these four lines, and the step is this. (The paper puts (15) into (7), which gives its (11),
# and writes line 4 with that. We keep $\hat x_0$ in sight, so that it can be clipped.)

# %%
minidiff.read(DDPMScheduler.step)

# %% [markdown]
# Two things that (7) does not tell. The guess is clipped to the range of pictures: the authors' code does so, the
# paper has no word of it. And `variance_type` leaves open how large $\sigma_t$ is: $\tilde\beta_t$ would be right if
# there were a single picture in the world, $\beta_t$ if pictures were noise. The truth lies between, and with a
# thousand steps both work. (A word behind a number, such as *squared*, says how a line differs from the print.)
#
# Steps may be skipped: "$t-1$" is the next tick that we keep, and $\alpha_t$, $\beta_t$ are those of the leap. Here
# are 16 pictures with 100 of the 1000.

# %%
images = pipe(16, torch.Generator().manual_seed(11), num_inference_steps=100).images
widgets.sheet(images, columns=8, size=96)

# %% [markdown]
# And the making of one, picture, guess and noise side by side. **When is it decided what it will be?**

# %%
walk = widgets.record(pipe, generator=torch.Generator().manual_seed(4), num_inference_steps=100)
widgets.scrub(walk, frames=16)

# %% [markdown]
# ## Claim 1: good pictures
#
# The abstract promises "high quality image synthesis results": on CIFAR-10, without labels, an Inception score of 9.46
# and an FID of 3.17, the best of its time. What of our drawings? 2,000 samples were judged when the network was
# trained, drawn in 50 steps without noise on the way, by the DDIM of lesson 3; then 1,000 in 100 steps of DDPM.
# *Named* is the share of pictures in which the evaluator sees one of the six objects, beyond
# doubt. The *Fréchet distance* compares them with true drawings as sets; its floor is what as many true drawings get.
# *Nearest* is the distance to the nearest of the 50,000 training drawings, beside that of drawings that nobody trained
# on: a network that copies would be nearer.

# %%
quality = zoo.measures("storybook-ddpm")
print(statistics.quality_table(quality))
few = claims.measured("ddim")["ddim_against_ddpm"]
print(statistics.table(few | {"rows": [row for row in few["rows"] if (row["sampler"], row["steps"]) == ("DDPM", 100)]}))
print(f"\nnearest training drawing {quality['nearest']:.3f}, that of unseen drawings {quality['nearest_floor']:.3f}")
for attribute, ratio in quality["evenness"].items():
    print(f"{attribute:9} drawn {ratio['least']:.2f} to {ratio['most']:.2f} times as often as in the drawings")

# %% [markdown]
# Live and small, the pictures above and 16 more:

# %%
more = pipe(16, torch.Generator().manual_seed(12), num_inference_steps=100).images
live = zoo.evaluate(images + more)
print(
    f"32 pictures: named {100 * live['named']:.0f} %, Fréchet {live['frechet']:.2f}, floor {live['frechet_floor']:.2f}"
)

# %% tags=["nbval-check-output"]
print("at least nine of ten pictures show something, large:", "yes" if quality["named"] >= 0.9 else "no")
as_good = quality["intervals"]["frechet"][1] <= quality["frechet_floor"]
print("as good as true drawings, by Fréchet, large:", "yes" if as_good else "no")
print("copies of the training drawings:", "no" if quality["nearest"] >= 0.9 * quality["nearest_floor"] else "yes")
print("at least two of three show something, live:", "yes" if live["named"] >= 2 / 3 else "no")

# %% [markdown]
# A Fréchet distance of 32 pictures is mostly the distance of *any* 32 pictures: its floor says so.
#
# ## Claim 2: large features first
#
# Section 4.3: "large scale image features appear first and details appear last". A picture of this world has a time of
# day, which colours all of it, and an object, which is a matter of some edges. So we ask the evaluator, at every
# step, what it sees in $\hat x_0$, and note the tick after which its answer never changes again. **In which order
# would you decide?**

# %%
large = claims.measured("ddpm")["coarse_to_fine"]
print(statistics.table(large))
live, _ = agreement(pipe, samples=24, steps=25)
print("\nlive:", statistics.table(live))

# %%
figure, axes = plt.subplots(figsize=(6.4, 1.8), layout="constrained")
for k, row in enumerate(large["rows"]):
    entry = row["decided"]
    axes.barh(row["attribute"], entry["value"], color=["#6a4fa3", "#c1571b", "#3572b0", "#3f8f4f"][k], alpha=0.8)
axes.set(xlabel="decided at t, on average (the walk goes to the right)")
axes.invert_xaxis()
plt.show()

# %% tags=["nbval-check-output"]
(comparison,) = large["comparisons"]
print("the time of day is decided before the object, large:", comparison["decided"]["verdict"])

# %% [markdown]
# ## Few steps
#
# The paper never draws in fewer than a thousand steps. **What would you expect of ten leaps, with either variance?**

# %%
rows = [row for row in few["rows"] if row["sampler"].startswith("DDPM")]
print(statistics.table(few | {"rows": rows}))

# %% tags=["nbval-check-output"]
by_steps = {(row["sampler"], row["steps"]): row for row in rows}
for measure, sign in (("named", 1), ("frechet", -1)):  # the more are named the better, the less the distance

    def better(one, other, measure=measure, sign=sign):
        ends = [sorted(sign * by_steps[key][measure][end] for end in ("low", "high")) for key in (one, other)]
        return "yes" if ends[0][0] > ends[1][1] else "no" if ends[1][0] > ends[0][1] else "within noise"

    print(f"by {measure}:")
    print("    100 steps are better than 10:", better(("DDPM", 100), ("DDPM", 10)))
    print("    10 steps: the small variance is better:", better(("DDPM", 10), ("DDPM, large", 10)))

# %% [markdown]
# Nearly every picture can be named after ten leaps already, so that count has little room; the distance still sees
# the difference. And the larger variance? In the last of these leaps, from $t = 100$ to 0, $\beta_t$ is a thousand
# times $\tilde\beta_t$ (0.105 against 0.0001), and what it adds there nobody takes away again.
#
# ## With the official weights
#
# The same class with the networks of the paper: CIFAR-10, and faces of 256x256, which want a GPU. These come with the
# larger variance, for the thousand steps they were made for. In the 50 steps that a processor has time for, it leaves a
# grain on the pictures: the leap before the last puts noise of ten levels of 255 on them.

# %%
pictures = official.show(DDPMPipeline, "google/ddpm-cifar10-32", batch_size=2, num_inference_steps=50)

# %%
pictures = official.show(DDPMPipeline, "google/ddpm-celebahq-256", gpu=True, batch_size=4, num_inference_steps=1000)

# %% [markdown]
# ## Exercises
#
# Each is checked by a property that only a right answer has: `minidiff.read(exercises)` shows it. Replace the `...`;
# a solution is folded below each.
#
# **1. Noise that stays noise.** Write one tick of (2) for any $\beta$. The check feeds it numbers of variance 1 and
# looks whether the variance is still 1, and whether the old and the new numbers are related as they must be.


# %%
def tick(x, beta, z): ...  # return the next x; z is standard normal


print(exercises.tick(tick))

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def tick(x, beta, z):
#     return (1 - beta) ** 0.5 * x + beta**0.5 * z
# ```
# </details>
#
# **2. Step back and stay on the road.** Write $\tilde\mu_t$ and $\tilde\beta_t$ for a leap. The check knows nothing
# of (7): it noises a number to level $t$ by (4), steps back with yours, and looks whether (4) holds at level $t-1$, and
# whether what (2) adds from there to $x_t$ has nothing to do with $x_{t-1}$.


# %%
def posterior(x_0, x_t, alpha_bar_t, alpha_bar_prev): ...  # return (mean, variance) of x_{t-1}


print(exercises.posterior(posterior))

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def posterior(x_0, x_t, alpha_bar_t, alpha_bar_prev):
#     alpha_t = alpha_bar_t / alpha_bar_prev
#     beta_t = 1 - alpha_t
#     mean = (alpha_bar_prev**0.5 * beta_t * x_0 + alpha_t**0.5 * (1 - alpha_bar_prev) * x_t) / (1 - alpha_bar_t)
#     return mean, (1 - alpha_bar_prev) / (1 - alpha_bar_t) * beta_t
# ```
# "Almost" is not a joke: whole families of steps stay on the road. Lesson 3 is about them.
# </details>
#
# **3. The best network there is.** Let the data be numbers from $\mathcal N(0, s^2)$. Then no network is needed: the
# best guess of the noise, the one with the least loss (14), is a formula. Find it. The check uses what makes a guess
# the best: what it gets wrong has nothing to do with what it was shown.


# %%
def best_eps(x_t, alpha_bar_t, s): ...


print(exercises.best_eps(best_eps))

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def best_eps(x_t, alpha_bar_t, s):
#     return (1 - alpha_bar_t) ** 0.5 * x_t / (alpha_bar_t * s**2 + 1 - alpha_bar_t)
# ```
# </details>
#
# ## What the ledger says
#
# Paper, original code and today's libraries do not agree in everything. For DDPM:

# %%
from minidiff.papers import ledger  # noqa: E402

for entry in ledger.ddpm.ENTRIES:
    print(entry, end="\n\n")

# %% [markdown]
# ## Where to read on
#
# * The paper: section 2 for the whole derivation in a page, section 3.2 for the choice of $\sigma_t$, appendix A for
#   the bound (5) that the loss comes from.
# * *Deep Unsupervised Learning using Nonequilibrium Thermodynamics*, Sohl-Dickstein et al.,
#   [arXiv:1503.03585](https://arxiv.org/abs/1503.03585), where the idea comes from.
# * *Improved Denoising Diffusion Probabilistic Models*, Nichol & Dhariwal,
#   [arXiv:2102.09672](https://arxiv.org/abs/2102.09672): $\sigma_t$ can be learned, and then few steps are less hard.
# * [Lesson 3](03_ddim.ipynb): few steps, with the same network.
