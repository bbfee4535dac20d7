# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 3. DDIM: the same network, a fifth of the steps
#
# *Denoising Diffusion Implicit Models.* Song, Meng & Ermon, ICLR 2021,
# [arXiv:2010.02502](https://arxiv.org/abs/2010.02502)
#
# In lesson 2 a picture took 100 calls of the network. Here the *same* network needs 20. You will
#
# * see why one network allows many ways back from noise,
# * walk from one noise to another,
# * turn a drawing into noise and back.

# %% [markdown]
# **You need:** [lesson 2](02_ddpm.ipynb): how a drawing is noised, the guess $\hat x_0$, the sampling loop.
# Variance, derivatives, some Python. Numbers in brackets, such as (7), are those of the paper's equations.
#
# **To skip:** the section "A curve and its slope" at first reading, if derivatives are new to you. Exercises 2 and 3
# and lesson 4 need it.

# %% [markdown]
# | section | minutes |
# |---|---|
# | What training never saw | 10 |
# | The step and its code | 6 |
# | Run it | 5 |
# | A curve and its slope | 10 |
# | Claim 1: a fifth of the steps | 8 |
# | Claim 2: the noise decides the picture | 8 |
# | Claim 3: there and back | 8 |
# | With the official weights | 1 |
# | Exercises | 30 |
# | What the ledger says | 3 |
# | Where to read on | 1 |

# %%
import torch

import minidiff
from minidiff import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler, widgets, zoo
from minidiff.course import claims, mixture, official, statistics
from minidiff.course.claims import ddim, sampling
from minidiff.course.exercises import ddim as exercises
from minidiff.course.questions import ddim as questions
from minidiff.widgets.plots import Plot

torch.set_grad_enabled(False)  # nothing is trained here
device = "cuda" if torch.cuda.is_available() else "cpu"


def noise(seed, *shape):
    return torch.randn(shape or (1, 3, 32, 32), generator=torch.Generator().manual_seed(seed))


# %% [markdown]
# ## What training never saw
#
# The network was trained on one kind of question. Take a drawing $x_0$ and a time $t$. Mix in noise $\epsilon$, and ask
# for this noise:
#
# $$x_t = \sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\,\epsilon, \qquad \epsilon \sim \mathcal N(0, I)
# \tag{4}$$
#
# $\bar\alpha_t$ says how much of the drawing's variance is left: nearly 1 at $t = 0$, nearly 0 at $t = 999$. (The DDIM
# paper writes $\alpha_t$. We keep DDPM's letter.)

# %% jupyter={"source_hidden": true} tags=["diagram"]
x_0 = sampling.drawings(1, 32, seed=3)
boxes, arrows = {}, []
for k, t in enumerate((999, 600, 300, 0)):
    x_t = DDPMScheduler().add_noise(x_0, noise(3), torch.tensor([t])) if t else x_0
    (image,) = sampling.images((x_t / 2 + 0.5).clamp(0, 1))
    boxes[t] = (1.0 + 1.9 * k, 1.05, image, f"$x_{{{t}}}$")
    arrows += [(0, t, "", 0.12 + 0.07 * (3 - k))] if t else []
for t, end in ((999, 600), (600, 300), (300, 0)):
    arrows.append((t, end, "?"))
boxes["training"] = (3.85, 2.62, None, "Training shows how to get from $x_0$ to each $x_t$.")
boxes["walk"] = (3.85, 0.5, None, "A sampler has to get from one to the next, which training never shows.")
widgets.diagram(boxes, arrows, width=7.7, height=2.6)

# %% [markdown]
# Look at what is missing in the question: $x_{t-1}$. Training never showed two neighbours of one walk. So the network
# does not know how a walk goes from one to the other. DDPM chose one way: fresh noise at each step. Any other way may
# use the same network, if it keeps (4) true at each $t$.

# %% [markdown]
# Here is a family of such ways. Suppose we know $x_0$ and stand at $x_t$. Then we know the noise in it, $\epsilon =
# (x_t - \sqrt{\bar\alpha_t}\,x_0) / \sqrt{1 - \bar\alpha_t}$. At $t-1$ noise must have variance $1 - \bar\alpha_{t-1}$.
# We take $\sigma_t^2$ of this budget from fresh noise, the rest from the noise that is there:
#
# $$q_\sigma(x_{t-1} \mid x_t, x_0) = \mathcal N\Big(\sqrt{\bar\alpha_{t-1}}\,x_0
# + \sqrt{1 - \bar\alpha_{t-1} - \sigma_t^2}\;\epsilon,\ \ \sigma_t^2 I\Big) \tag{7}$$

# %% [markdown]
# In the code one number sets $\sigma_t$. It is $\eta$, from 0 to 1:
#
# $$\sigma_t = \eta \sqrt{\frac{1 - \bar\alpha_{t-1}}{1 - \bar\alpha_t}}
# \sqrt{1 - \frac{\bar\alpha_t}{\bar\alpha_{t-1}}} \tag{16}$$

# %% [markdown]
# Now an experiment. We noise 100,000 copies of the number $x_0 = 0.5$ to one level. Then the code steps to the next
# one, with three values of $\eta$.

# %%
questions.spread()

# %% tags=["nbval-check-output"]
scheduler = DDIMScheduler(clip_sample=False)
scheduler.set_timesteps(10)
t = scheduler.timesteps[3]
alpha_bar_t, alpha_bar_prev = scheduler.alpha_bar[t], scheduler.alpha_bar_before(t)

eps = noise(0, 100_000)
x_t = alpha_bar_t**0.5 * 0.5 + (1 - alpha_bar_t) ** 0.5 * eps
for eta in (0, 0.5, 1):
    # the true noise stands in for the network's answer
    x_prev = scheduler.step(eps, t, x_t, eta, variance_noise=noise(1, 100_000)).prev_sample
    print(f"eta {eta:3}: from t = {t}, x_prev has mean {x_prev.mean():.2f} and standard deviation {x_prev.std():.2f}")
print(f"promised by (4):            mean {alpha_bar_prev**0.5 * 0.5:.2f} and standard deviation", end=" ")
print(f"{(1 - alpha_bar_prev) ** 0.5:.2f}")

# %% [markdown]
# The figure shows the variance of $x_{t-1}$ in a step from $t = 300$ to $200$, for a drawing of variance 1.

# %% jupyter={"source_hidden": true} tags=["diagram"]
now, then = DDIMScheduler().alpha_bar[[300, 200]].tolist()
figure = Plot(figsize=(6.4, 1.7), layout="constrained")
axes = figure.subplots()
for eta in (1, 0.5, 0):
    fresh = eta**2 * (1 - then) / (1 - now) * (1 - now / then)
    left = 0
    parts = {
        "drawing": (then, "#8fb8de"),
        "old noise": (1 - then - fresh, "#9a9a9a"),
        "fresh noise": (fresh, "#e0a13c"),
    }
    for name, (share, colour) in parts.items():
        axes.barh(f"$\\eta$ = {eta}", share, left=left, color=colour, label=name if eta == 1 else None)
        left += share
axes.set(xlabel="share of the variance of $x_{t-1}$", xlim=(0, 1))
figure.legend(loc="outside upper center", ncols=3, frameon=False)
figure

# %% [markdown]
# At $\eta = 0$ nothing is random after $x_T$: this is DDIM. At $\eta = 1$ the step is DDPM's; let us ask the code.
#
# And $t$ and $t-1$ need not be neighbours. Here, as in the code, "$t-1$" means *the next timestep* (lesson 2: tick)
# *that we keep*. We
# kept ten of a thousand, and (4) still holds.

# %% tags=["nbval-check-output"]
ddpm = DDPMScheduler(clip_sample=False)
ddpm.set_timesteps(10)
by_ddpm = ddpm.step(eps, t, x_t, torch.Generator().manual_seed(8)).prev_sample
by_ddim = scheduler.step(eps, t, x_t, eta=1, generator=torch.Generator().manual_seed(8)).prev_sample
print("with eta = 1 both steps are the same:", "yes" if (by_ddpm - by_ddim).abs().max() < 1e-5 else "no")

# %% [markdown]
# ## The step and its code
#
# A sampler does not know $x_0$. So it puts the network's guess $\hat x_0$ in its place; this is (12) below. The numbers
# are those of a real walk of 20 steps. Move the slider and watch the standard deviations: that of $x_{t-1}$ falls
# towards that of $\hat x_0$.

# %%
pipe = DDIMPipeline.from_pretrained(zoo.path("storybook-ddpm")).to(device)
pipe.set_progress_bar_config(disable=True)
x_T = noise(5, 8, 3, 32, 32)[:4]
minidiff.read(DDIMScheduler.step, run=lambda: pipe(1, latents=x_T[:1], num_inference_steps=20), step=15)

# %% [markdown]
# The published networks of DDPM come with `clip_sample`: $\hat x_0$ is cut to the range of pictures. DDIM's authors do
# not do it. And the squares of the three factors in (12) are $\bar\alpha_{t-1}$, $1 - \bar\alpha_{t-1} - \sigma_t^2$
# and $\sigma_t^2$. They sum to 1: the budget again.

# %% [markdown]
# ## Run it
#
# The folder `storybook-ddpm` holds a DDPM. `DDIMPipeline` takes its network and its noise levels, and brings its own
# step. Every picture starts from the same four noises $x_T$. First stay at $\eta = 0$ and change the number
# of steps. Then stay at 50 steps and change $\eta$. What stays, and what changes?

# %%
drawn = {}
for eta in (0.0, 0.5, 1.0):
    for steps in (5, 10, 20, 50):
        generator = torch.Generator().manual_seed(0)
        made = pipe(4, generator, eta, steps, latents=x_T).images
        drawn[eta, steps] = widgets.sheet(made, columns=4, size=32)
widgets.grid(drawn, names=("eta", "steps"), size=128)

# %% [markdown]
# At $\eta = 0$ the objects stay. Other things can still change: the sky of the first picture from 5 steps to 10, the
# colour of the fourth from 20 to 50. With fresh noise the same $x_T$ leads to other objects, and to others again for
# each number of steps. Claim 2 counts this.

# %% [markdown]
# ## A curve and its slope
#
# At $\eta = 0$ the step is simple in other coordinates. Divide $x$ by what is left of the drawing, and the noise too:
#
# $$\bar x = \frac{x}{\sqrt{\bar\alpha}}, \qquad \sigma(t) = \sqrt{\frac{1 - \bar\alpha_t}{\bar\alpha_t}}$$
#
# $\sigma(t)$, with brackets, is the level of noise. ($\sigma_t$, with an index, is the fresh noise of (16).) Then (4)
# says $\bar x = x_0 + \sigma(t)\,\epsilon$.

# %% [markdown]
# And the step (12) becomes
#
# $$\bar x_{t-1} = \bar x_t + \big(\sigma(t-1) - \sigma(t)\big)\,\epsilon_\theta(x_t, t) \tag{13}$$
#
# This is *Euler's method* for the differential equation $d\bar x = \epsilon_\theta\, d\sigma$, (14): look at the slope
# where you stand, then walk straight ahead. Does the code do it?

# %% tags=["nbval-check-output"]
x_t, eps_theta = noise(2), noise(3)  # any numbers will do
x_prev = scheduler.step(eps_theta, t, x_t).prev_sample


def bar(x, alpha_bar):
    return x / alpha_bar**0.5


def sigma(alpha_bar):
    return ((1 - alpha_bar) / alpha_bar) ** 0.5


slope = (bar(x_prev, alpha_bar_prev) - bar(x_t, alpha_bar_t)) / (sigma(alpha_bar_prev) - sigma(alpha_bar_t))
print(f"one step went from sigma = {sigma(alpha_bar_t):.2f} to {sigma(alpha_bar_prev):.2f}")
print("its slope is the predicted noise:", "yes" if (slope - eps_theta).abs().max() < 1e-4 else "no")

# %% [markdown]
# A straight step is wrong where the slope changes on the way. So where may steps be long? Take a walk of 50 steps. Make
# one part of it five times coarser, and leave the rest. By how much does the picture change?
# (The unit is a *shade*: there are 255 from black to white.)

# %%
questions.long_steps()

# %%
large = claims.measured("ddim")
parts = large["coarsening"]
errors = large["euler_error"]

# %% jupyter={"source_hidden": true}
statistics.bars(
    statistics.entries_of(parts, "moved"), f"the picture moves by, shades ({parts['samples']} noises, median)"
)

# %% [markdown]
# Why? One step misses $\bar x$ by about half of $|\Delta\sigma|\,|\Delta\epsilon|$, and $x$ by $\sqrt{\bar\alpha}$
# times this. ($\Delta$ is the change during the step.) The product is largest at the end. The hill in the middle is
# where the object is decided (lesson 2, claim 2).

# %% jupyter={"source_hidden": true}
statistics.curves(
    {"one step": {row["t"]: row["wrong"] for row in errors["rows"]}},
    "timestep t at which the step begins (the walk goes to the left)",
    "the product, shades",
    yscale="log",
)

# %% [markdown]
# ## Claim 1: a fifth of the steps
#
# The *Fréchet distance* of lesson 2, now with 1,000 pictures: good ones get smaller numbers than there. Less is better.
# FID is the paper's form of it, for photographs. The bands are the 95 % intervals. The green line is the *floor*: true
# drawings themselves.

# %% [markdown]
# The paper's table 1, for small photographs (CIFAR-10): DDIM with 20 steps has a FID of 6.84, DDPM with 100 steps one
# of 5.78. So a fifth of the steps costs a little quality. And here?

# %% jupyter={"source_hidden": true}
FID = {
    "DDIM": {10: 13.36, 20: 6.84, 50: 4.67, 100: 4.16},
    "DDPM": {10: 41.07, 20: 18.36, 50: 8.01, 100: 5.78},
}
few = large["ddim_against_ddpm"]
statistics.curves(
    statistics.lines_of(few, "frechet", only=["DDIM", "DDPM"]),
    "steps",
    f"Fréchet distance ({few['samples']:,} drawings)",
    floor=few["floor"],
    paper=FID,
    paper_label="FID on CIFAR-10 (paper)",
    xscale="log",
    xticks=(10, 20, 50, 100),
    xticklabels=(10, 20, 50, 100),
)

# %% tags=["nbval-check-output"]
frechet = {(row["sampler"], row["steps"]): row["frechet"] for row in few["rows"]}
print(f"DDIM, 20 steps:  {statistics.spread(frechet['DDIM', 20], '.2f')}")
print(f"DDPM, 100 steps: {statistics.spread(frechet['DDPM', 100], '.2f')}")
for few_steps, many in ((20, 100), (10, 100), (10, 10), (20, 20), (50, 50)):
    better = statistics.verdict(frechet["DDIM", few_steps], frechet["DDPM", many], less_is_better=True)
    print(f"DDIM with {few_steps} steps is better than DDPM with {many}: {better}")

# %% [markdown]
# *Within noise*: 1,000 pictures cannot tell the two apart. So here we see no loss. Where does it fail?
# With 10 steps DDIM is worse. And at *equal* steps the paper's DDIM is far ahead of DDPM, ours is not. Our world is
# easy. Most of DDIM's 0.11 at 100 steps is the floor.

# %% jupyter={"source_hidden": true, "outputs_hidden": true}
print("All rows. 'Named': the evaluator is sure of an object. 'DDPM, large': with the variance beta of lesson 2.\n")
print(statistics.table(few))
print("\nlive, the same measurement on 8 noises:")
live, _ = ddim.ddim_against_ddpm(pipe, samples=8, steps=(10, 20), large=())
print(statistics.table(live))

# %% [markdown]
# ## Claim 2: the noise decides the picture
#
# Section 5.2: from the same $x_T$, few steps and many give the same picture, but for details. Here DDIM and DDPM start
# from one noise. DDPM adds fresh noise after each step.

# %%
questions.first_difference()

# %%
walkers = {"DDIM": pipe, "DDPM": DDPMPipeline(pipe.unet, DDPMScheduler.from_config(pipe.scheduler.config))}
walks = {}
for name, walker in walkers.items():
    walker.set_progress_bar_config(disable=True)
    more = {"generator": torch.Generator().manual_seed(0)}
    walks[name] = widgets.record(walker, latents=x_T[2:3], num_inference_steps=20, **more)
widgets.scrub(*walks.values(), labels=list(walks), frames=11)

# %%
for i in (0, 1, 2, 19):
    apart = (walks["DDIM"].x_0_hat[i] - walks["DDPM"].x_0_hat[i]).square().mean().sqrt()
    print(f"step {i + 1:2}: the guesses differ by {apart:.2f} (black and white by 2)")

# %% [markdown]
# For some ten steps both $x_t$ *look* alike, because you see only noise. The guess in the middle column is different
# from step 2 on. Now the count: for how many noises is the object the same as after 100 steps? Chance alone gives one
# in six.

# %% jupyter={"source_hidden": true}
same = {name: {steps: line[steps] for steps in (10, 20, 50)} for name, line in statistics.lines_of(few, "same").items()}
statistics.curves(
    same,
    "steps",
    "same object as with 100 steps",
    marks={"chance": 1 / 6},
    ylim=(0, 1.05),
    xticks=(10, 20, 50),
    xticklabels=(10, 20, 50),
)

# %% tags=["nbval-check-output"]
print("DDIM's noise decides more than DDPM's:", statistics.verdict(same["DDIM"][20], same["DDPM"][20]))

# %% [markdown]
# If noise is the address of a picture, the points between two addresses should be pictures too. Noise of $d = 3 \cdot
# 32 \cdot 32$ numbers lies close to a sphere of radius $\sqrt d$. So the paper walks along a *great circle*, the
# shortest way on the sphere; $\theta$ is the angle between both noises, and $u$ goes from 0 to 1:
#
# $$x_u = \frac{\sin((1-u)\theta)}{\sin\theta}\, x_a + \frac{\sin(u\theta)}{\sin\theta}\, x_b$$

# %% [markdown]
# The *chord* $(1-u)\,x_a + u\,x_b$ is the straight line between them. It leaves the sphere.

# %%
questions.half_way_along_the_chord()

# %%
x_a, x_b = noise(21), noise(30)
u = torch.linspace(0, 1, 13).reshape(-1, 1, 1, 1)
circle = ddim.slerp(x_a.expand(13, -1, -1, -1), x_b.expand(13, -1, -1, -1), u)
chord = (1 - u) * x_a + u * x_b
between = {name: pipe(13, latents=path, num_inference_steps=20).images for name, path in
           (("great circle", circle), ("chord", chord))}  # fmt: skip
widgets.slides(between, "u", [f"{value:.2f}" for value in u.flatten()], size=160)

# %% tags=["nbval-check-output"]
for name, path in (("great circle", circle), ("chord", chord)):
    radii = path.flatten(1).norm(dim=1) / x_a.numel() ** 0.5
    print(f"{name}: the noise is {radii.min():.2f} to {radii.max():.2f} of sqrt(d) long")

# %% [markdown]
# One thing does not fade into the next: the object changes at one place of the way, or at a few. Is the circle better
# than the chord? Each of 1,000 pairs of noises gives one point between, drawn in 10 steps.

# %% jupyter={"source_hidden": true}
between = large["interpolation"]
statistics.bars(
    {row["sampler"]: row["frechet"] for row in between["rows"]},
    "Fréchet distance (less is better)",
    floor=between["floor"],
)

# %% tags=["nbval-check-output"]
for row in between["rows"]:
    print(f"{row['sampler']}: named {statistics.spread(row['named'], '.0f', 100)} %")
for measure in ("named", "frechet"):
    (verdict,) = statistics.verdicts(between, measure).values()
    print(f"the great circle is better than the chord, by {measure}: {verdict}")

# %% [markdown]
# The claim holds: there are drawings all the way. On the chord the objects are as clear (*named*: the evaluator is sure
# of one), but as a set its drawings are farther from true ones. The paper does not say what the chord would do.

# %% [markdown]
# ## Claim 3: there and back
#
# A curve can be walked in both directions. `inverse_step` goes from a drawing towards noise. It needs the slope at
# $x_t$, which it does not know yet. So it asks the network at $x_{t-1}$, with the time $t$. Smaller steps make this
# less wrong. The paper's table 2 has the mean squared error after both ways.

# %% jupyter={"source_hidden": true}
ways = large["encoding"]
mse = {"ours": {row["steps"]: row["mse"] for row in ways["rows"]}}
statistics.curves(
    mse,
    "steps",
    "mean squared error",
    paper={"paper": {10: 0.014, 20: 0.0065, 50: 0.0023, 100: 0.0009}},
    paper_label="mean squared error on CIFAR-10",
    xscale="log",
    yscale="log",
    xticks=(10, 20, 50, 100),
    xticklabels=(10, 20, 50, 100),
)

# %% tags=["nbval-check-output"]
rows = {row["steps"]: row for row in ways["rows"]}
for measure, less in (("mse", True), ("psnr", False)):
    found = statistics.verdict(rows[100][measure], rows[10][measure], less_is_better=less)
    print(f"100 steps bring back more than 10, by {measure}: {found}")

# %% [markdown]
# Two measures, two answers. *PSNR* is the error of each drawing in decibels, then the mean; more is better, 6 dB more
# is a quarter of the squared error. Most drawings come back better with more steps. But more are *lost* (under 20 dB),
# and one lost drawing outweighs hundreds in a mean of squares.

# %% jupyter={"source_hidden": true}
statistics.bars(statistics.entries_of(ways, "lost"), "share of drawings that are lost")

# %% [markdown]
# Here are four drawings. The last two are chosen, because they get lost.

# %%
lost = [k for k in rows[100]["which"] if k not in rows[20]["which"]][:2]
chosen = sampling.drawings(lost[-1] + 1, 32, seed=0)[[0, 1, *lost]]
walker = sampling.sampler("DDIM, no clip", pipe)
shown = [*(chosen / 2 + 0.5)]
for steps in (20, 100):
    found = ddim.encode(pipe.unet, walker.scheduler, chosen.to(device), steps)
    shown += [*sampling.draw(walker, found, steps)]
widgets.sheet(sampling.images(torch.stack(shown)), columns=4, size=64)

# %% [markdown]
# Above the drawings, then what comes back with 20 and with 100 steps. What comes back in the place of a lost drawing is
# a good one, but another.

# %% [markdown]
# Why do more steps lose more? Look at the noise that is found. True noise has standard deviation 1.

# %% tags=["nbval-check-output"]
for steps in (20, 100):
    print(f"{steps:3} steps find a noise with a standard deviation of {statistics.spread(rows[steps]['std'], '.2f')}")

# %% [markdown]
# With 20 steps there is a fifth of it: too little to hide the drawing, so the way back has little to decide. With 100
# steps there is half. Then, we think, parts of the picture are decided again, and a small error changes
# them.

# %% [markdown]
# ## With the official weights
#
# The same class with the network of Ho et al., 36 million numbers trained on CIFAR-10, and one for bedrooms of
# 256x256, which needs a GPU.

# %%
pictures = official.show(DDIMPipeline, "google/ddpm-cifar10-32", batch_size=4, num_inference_steps=20)

# %%
pictures = official.show(DDIMPipeline, "google/ddpm-ema-bedroom-256", gpu=True, batch_size=4, num_inference_steps=50)

# %% [markdown]
# ## Exercises
#
# Replace the `None` and run the cell: it says whether you are right, and if not, why. The check looks for a property
# that only right answers have. Hints and a solution are folded below.

# %% [markdown]
# **1. The step.** Write one step of (12) for any $\sigma_t$; `z` is fresh noise. The check knows nothing of your
# formula. It feeds in what (4) makes of a known $x_0$, and looks whether (4) holds again at $t-1$.


# %%
def my_step(x_t, eps_theta, alpha_bar_t, alpha_bar_prev, sigma_t, z):
    return None  # instead: x_prev


print(exercises.step(my_step))

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Solve (4) for $x_0$ first. This gives the guess.
# </details>
#
# <details><summary>Hint 2</summary>
#
# Three terms: the guess, the old noise, the fresh noise. The squares of their factors sum to 1.
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def my_step(x_t, eps_theta, alpha_bar_t, alpha_bar_prev, sigma_t, z):
#     x_0_hat = (x_t - (1 - alpha_bar_t) ** 0.5 * eps_theta) / alpha_bar_t**0.5
#     return alpha_bar_prev**0.5 * x_0_hat + (1 - alpha_bar_prev - sigma_t**2) ** 0.5 * eps_theta + sigma_t * z
# ```
# </details>

# %% [markdown]
# **2. A curve, on paper.** Let the data be numbers with mean 0 and standard deviation $s$, normally distributed. Then
# the best network answers $\epsilon = \sigma\,\bar x / (s^2 + \sigma^2)$. Solve $d\bar x / d\sigma = \epsilon$ on
# paper. The curve goes through $\bar x$ at $\sigma$; where is it at `sigma_new`?


# %%
def my_curve(x_bar, sigma, sigma_new, s):
    return None  # instead: x_bar at the level sigma_new


print(exercises.curve(my_curve))

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Separate the letters: $d\bar x / \bar x = \sigma\, d\sigma / (s^2 + \sigma^2)$. Integrate both sides.
# </details>
#
# <details><summary>Hint 2</summary>
#
# The right side is half of $d \log(s^2 + \sigma^2)$. And half of a logarithm is the logarithm of a root.
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def my_curve(x_bar, sigma, sigma_new, s):
#     return x_bar * ((s**2 + sigma_new**2) / (s**2 + sigma**2)) ** 0.5
# ```
# $\log \bar x$ changes as $\frac12 \log(s^2 + \sigma^2)$ does: all curves keep their place relative to the spread of
# the data at that level.
# </details>

# %% [markdown]
# **3. A way back that guesses less.** An $x_t$ is right if DDIM's step from it ends at the `x_prev` that we came from.
# By (13) it is a *fixed point*, with $x_t$ on both sides:
#
# $$\bar x_t = \bar x_{t-1} + \big(\sigma(t) - \sigma(t-1)\big)\,\epsilon_\theta(x_t, t)$$
#
# Start from the $x_t$ of `inverse_step` and improve it. The check counts by how much DDIM's step misses `x_prev`.


# %%
def my_inverse_step(unet, scheduler, t, x_prev):
    x_t = scheduler.inverse_step(unet(x_prev, t).sample, t, x_prev).prev_sample
    # make x_t better here
    return x_t


print(exercises.inverse_step(my_inverse_step, pipe))

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# `inverse_step` asked the network at `x_prev`. Now you have an `x_t`, which is a better place to ask.
# </details>
#
# <details><summary>Hint 2</summary>
#
# Call `inverse_step` again with the network's answer at `x_t`. It still starts from `x_prev`. Repeat.
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def my_inverse_step(unet, scheduler, t, x_prev):
#     x_t = x_prev
#     for _ in range(4):
#         x_t = scheduler.inverse_step(unet(x_t, t).sample, t, x_prev).prev_sample
#     return x_t
# ```
# </details>

# %% [markdown]
# ## What the ledger says
#
# Paper, original code and the library `diffusers` do not always agree. Where they differ, the *ledger* of this package
# says so, and what follows. One example: the paper steps to the next timestep kept; `diffusers` steps by a fixed $T /
# N$, even where the timesteps kept are farther apart.

# %%
for step_to in ("next", "ratio"):
    scheduler = DDIMScheduler(clip_sample=False, timestep_spacing="linspace", step_to=step_to)
    spread = mixture.final_std(scheduler, std=0.5, num_inference_steps=10)
    print(f"step_to={step_to!r}: data with standard deviation 0.5 come out with {spread:.3f}")

# %% [markdown]
# Exact would be 0.5. `ratio` comes nearer by luck: two errors cancel. But its samples are not at the noise level that
# the network is told. All entries for DDIM are folded here:

# %% jupyter={"source_hidden": true, "outputs_hidden": true}
from minidiff.papers import ledger  # noqa: E402

for entry in ledger.ddim.ENTRIES:
    print(entry, end="\n\n")

# %% [markdown]
# ## Where to read on
#
# * [The paper](https://arxiv.org/abs/2010.02502): section 3 for the family, 4.3 for the curve.
# * [Song et al.](https://arxiv.org/abs/2011.13456), *Score-Based Generative Modeling through Stochastic Differential
#   Equations*, found the same curve from another side.
# * [Mokady et al.](https://arxiv.org/abs/2211.09794), *Null-text Inversion*: there and back with a text.
# * [Lesson 4](04_pndm.ipynb): if the walk is a curve, there are better methods than Euler's.
