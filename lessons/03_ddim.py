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
# In lesson 2 a picture took a hundred calls of the network. Here the *same* network, not trained a minute longer, is
# called 20 times. When you are done you can
#
# * say why one trained network may be run backwards by many different processes,
# * read the DDIM step line by line, and know what $\eta$ turns,
# * walk from one noise to another, with drawings all along the way,
# * take a drawing back to the noise it could have come from, and draw it again.
#
# Reading takes about an hour, running all cells less than a minute on two CPU cores.

# %%
import matplotlib.pyplot as plt
import torch

import minidiff
from minidiff import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler, widgets, zoo
from minidiff.course import claims, official, statistics
from minidiff.course.claims import sampling
from minidiff.course.claims.ddim import ddim_against_ddpm, encoding, interpolation, slerp
from minidiff.course.exercises import ddim as exercises

torch.set_grad_enabled(False)  # nothing is trained here
device = "cuda" if torch.cuda.is_available() else "cpu"


def noise(seed, *shape):
    return torch.randn(shape or (1, 3, 32, 32), generator=torch.Generator().manual_seed(seed))


# %% [markdown]
# ## What training never saw
#
# The network was trained on one kind of question. Take a drawing $x_0$ and a time $t$. Mix in noise $\epsilon$:
#
# $$x_t = \sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\,\epsilon, \qquad \epsilon \sim \mathcal N(0, I)
# \tag{4}$$
#
# and ask for the noise. $\bar\alpha_t$ says how much of the drawing is left: nearly 1 at $t = 0$, nearly 0 at $t =
# 999$. (The DDIM paper writes $\alpha_t$ for it. We keep DDPM's letter, as everywhere in this package.)
#
# Look at what is *not* in the question: $x_{t-1}$. Training saw each $x_t$ alone. It never saw two neighbours of one
# walk together, so it cannot know how a walk gets from one to the other. DDPM assumed one way, fresh noise at each
# step. Every other process with the same $x_t$, taken one at a time, asks the network for just the same thing.
#
# Here is a whole family of them. Say we know $x_0$ and stand at $x_t$. Then the noise in $x_t$ is known too,
# $\epsilon = (x_t - \sqrt{\bar\alpha_t}\,x_0) / \sqrt{1 - \bar\alpha_t}$. At $t-1$ there should be noise of variance
# $1 - \bar\alpha_{t-1}$. Spend $\sigma_t^2$ of this budget on fresh noise, and the rest on the noise that is already
# there:
#
# $$q_\sigma(x_{t-1} \mid x_t, x_0) = \mathcal N\Big(\sqrt{\bar\alpha_{t-1}}\,x_0
# + \sqrt{1 - \bar\alpha_{t-1} - \sigma_t^2}\;\epsilon,\ \ \sigma_t^2 I\Big) \tag{7}$$
#
# In the code $\sigma_t$ is set by one dial, $\eta$ from 0 to 1:
#
# $$\sigma_t = \eta \sqrt{\frac{1 - \bar\alpha_{t-1}}{1 - \bar\alpha_t}}
# \sqrt{1 - \frac{\bar\alpha_t}{\bar\alpha_{t-1}}} \tag{16}$$
#
# The next cell takes 100,000 copies of the number $x_0 = 0.5$, noises them to one level and steps to the next, for
# three settings of the dial. **Before you run it: for which $\eta$ will $x_{t-1}$ spread the most?**

# %% tags=["nbval-check-output"]
scheduler = DDIMScheduler(clip_sample=False)
scheduler.set_timesteps(10)
t = scheduler.timesteps[3]
alpha_bar_t, alpha_bar_prev = scheduler.alpha_bar[t], scheduler.alpha_bar_before(t)

eps = noise(0, 100_000)
x_t = alpha_bar_t**0.5 * 0.5 + (1 - alpha_bar_t) ** 0.5 * eps
for eta in (0, 0.5, 1):
    x_prev = scheduler.step(eps, t, x_t, eta, variance_noise=noise(1, 100_000)).prev_sample
    print(f"eta {eta:3}: from t = {t}, x_prev has mean {x_prev.mean():.2f} and standard deviation {x_prev.std():.2f}")
print(f"promised by (4):            mean {alpha_bar_prev**0.5 * 0.5:.2f} and standard deviation", end=" ")
print(f"{(1 - alpha_bar_prev) ** 0.5:.2f}")

# %% [markdown]
# None of them: the three agree, and that is the point. $\eta$ chooses how much of the noise is replaced on the way,
# not how much there is. The network cannot tell the three processes apart.
#
# $\eta = 1$ is DDPM itself (exercise 2). At $\eta = 0$ nothing is replaced: after $x_T$ the walk is decided. And the
# levels $t$ and $t-1$ need not be neighbours. "$t-1$" in this lesson, as in the code, is *the next timestep that we
# choose to keep*. We kept ten of a thousand above and nothing broke.
#
# ## A curve, and Euler's method
#
# We do not know $x_0$, so the network's guess $\hat x_0$ takes its place, equation (12) of the code below. At
# $\eta = 0$ the step looks better in other coordinates. Divide by what is left of the drawing:
#
# $$\bar x = \frac{x}{\sqrt{\bar\alpha}}, \qquad \sigma(t) = \sqrt{\frac{1 - \bar\alpha_t}{\bar\alpha_t}}$$
#
# ($\sigma(t)$, with brackets, is the level of noise; $\sigma_t$, with an index, stays the dial's). Then (4) is just
# $\bar x = x_0 + \sigma(t)\,\epsilon$, and the step becomes
#
# $$\bar x_{t-1} = \bar x_t + \big(\sigma(t-1) - \sigma(t)\big)\,\epsilon_\theta(x_t, t) \tag{13}$$
#
# which is Euler's method for the ordinary differential equation $d\bar x = \epsilon_\theta\, d\sigma$ (14): look at
# the slope where you stand, walk straight. Let us ask the code whether it does that.

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
# Euler's method is good where the slope turns slowly. So: how fast does it turn on a real walk? We let the network of
# the zoo walk in 100 small steps and measure how much each predicted noise differs from the one before.
# **Where would you expect the sharpest turns: in the fog at the beginning, or close to the picture?**

# %%
pipe = DDIMPipeline.from_pretrained(zoo.path("storybook-ddpm")).to(device)
pipe.set_progress_bar_config(disable=True)
slopes = []


def keep_slope(pipe, i, t, tensors):
    slopes.append(tensors["model_output"])


pipe(4, latents=noise(4, 4, 3, 32, 32), num_inference_steps=100, output_type="pt", callback_on_step_end=keep_slope,
     callback_on_step_end_tensor_inputs=("model_output",))  # fmt: skip
turns = [((b - a).norm() / a.norm()).item() for a, b in zip(slopes, slopes[1:], strict=False)]

figure, axes = plt.subplots(figsize=(6.4, 2.2), layout="constrained")
axes.plot(pipe.scheduler.timesteps[1:].cpu(), [100 * turn for turn in turns], ".-", color="#6a4fa3")
axes.invert_xaxis()
axes.set(xlabel="timestep t (the walk goes to the right)", ylabel="the slope turns, %")
axes.set(yscale="log", yticks=(0.1, 1, 10), yticklabels=(0.1, 1, 10))
plt.show()

# %% tags=["nbval-check-output"]
late, last = sum(turns[-10:]) / sum(turns), turns[-1] / sum(turns)
print("of all turning, the last tenth of the walk has more than half:", "yes" if late > 0.5 else "no")
print("the very last step alone has more than a quarter:", "yes" if last > 0.25 else "no")

# %% [markdown]
# In the fog the network says nearly the same thing at every step: this is mostly noise. One long straight line does
# there. The curve bends at the end, where edges and windows are decided; and at the very last step, where so little
# noise is left that the network hardly makes it out (lesson 2 printed its loss there), the answer is nearly a new one.
# A walk of a thousand steps spends most of them on a straight road.
#
# ## The code beside its equations

# %%
minidiff.read(DDIMScheduler.step)

# %% [markdown]
# Two things to notice. The published checkpoints of DDPM *clip* the predicted drawing $\hat x_0$ to the range of
# pictures, and Song et al. do not: `clip_sample` decides. And the three squares $\bar\alpha_{t-1}$,
# $1 - \bar\alpha_{t-1} - \sigma_t^2$ and $\sigma_t^2$ add up to 1, a *budget*: raise $\sigma_t$, and the old noise
# shrinks to make room.
#
# ## Run it
#
# The folder holds a DDPM. `DDIMPipeline` takes its network and its noise levels, and brings its own step.

# %%
x_T = noise(5, 8, 3, 32, 32)
images = pipe(8, latents=x_T, num_inference_steps=20).images
print(f"x_T {tuple(x_T.shape)} -> {len(images)} pictures of {images[0].size}, with 20 calls of the network each")
widgets.sheet(images, columns=8, size=96)

# %% [markdown]
# The same code with its numbers. The slider goes through these 20 steps, and stands at step 15 first. The standard
# deviations tell the story: $x_{t-1}$ spreads as $\hat x_0$ does and a little more, the noise that is still left.

# %%
minidiff.read(DDIMScheduler.step, run=lambda: pipe(1, latents=x_T[:1], num_inference_steps=20), step=15)

# %% [markdown]
# ## One noise, two samplers
#
# Both walks below start from the same $x_T$ and take 20 steps. DDPM adds fresh noise after each, DDIM never does.
# Move the slider. **Before you do: after how many steps will you be able to tell them apart?**

# %%
ddpm = DDPMPipeline(pipe.unet, DDPMScheduler.from_config(pipe.scheduler.config))
ddpm.set_progress_bar_config(disable=True)
walk_ddim = widgets.record(pipe, latents=x_T[2:3], num_inference_steps=20)
walk_ddpm = widgets.record(ddpm, latents=x_T[2:3], num_inference_steps=20, generator=torch.Generator().manual_seed(0))
widgets.scrub(walk_ddim, walk_ddpm, labels=["DDIM", "DDPM"], frames=16)

# %% [markdown]
# They look alike as long as there is only noise, some ten steps; then each has a drawing of its own in mind. Is the
# noise really all there is to DDIM's? Draw again, from the same $x_T$, with other seeds for whatever is random on the
# way.

# %% tags=["nbval-check-output"]
for name, some in (("DDIM", pipe), ("DDPM", ddpm)):
    first, second = (
        some(1, torch.Generator().manual_seed(seed), latents=x_T[:1], num_inference_steps=10, output_type="pt").images
        for seed in (0, 1)
    )
    print(f"{name}: the same picture again:", "yes" if torch.equal(first, second) else "no")

# %% [markdown]
# ## Claim 1: better pictures in few steps
#
# Table 1 of the paper: on CIFAR-10 with 10 steps DDIM has an FID of 13.4 and DDPM one of 41.1; with 100 steps it is
# 4.2 against 5.8, and with a thousand 4.0 against 4.7. (With the larger variance DDPM has 367 with 10 steps and 3.2
# with a thousand, the best of all: the claim is one about few steps.) What of our drawings?
#
# Two numbers, from the evaluator of the zoo, a classifier of the drawn world. *Named* is the share of pictures that
# show one of its objects beyond doubt. The *Fréchet distance* compares the pictures with true drawings as sets; less
# is better. The large measurement was made when the network was trained. "DDPM, large" is DDPM with the other
# variance that its authors allow, $\sigma_t^2 = \beta_t$. *Same object* is for later.

# %%
measured = claims.measured("ddim")
print(statistics.table(measured["ddim_against_ddpm"]))

# %% [markdown]
# Now live, but small. Every sampler gets the same 12 noises.

# %%
steps = (10, 20, 50)
live, pictures = ddim_against_ddpm(pipe, samples=12, steps=steps, large=())
print(statistics.table(live))

# %% [markdown]
# Look before you trust a table. The slider is the number of steps; the two sheets have the same noises. The numbers and
# the curves are the Fréchet distances of the large measurement, since 12 pictures have none to speak of.

# %%
frechet = {(row["sampler"], row["steps"]): row["frechet"]["value"] for row in measured["ddim_against_ddpm"]["rows"]}
widgets.steps_and_quality(
    {name: [widgets.sheet(sampling.images(pictures[name, N][:12]), columns=6, size=32) for N in steps]
     for name in ("DDIM", "DDPM")},
    {name: [frechet[name, N] for N in steps] for name in ("DDIM", "DDPM")},
    steps,
    "Fréchet distance",
)  # fmt: skip

# %% tags=["nbval-check-output"]
for measure in ("named", "frechet"):
    print(f"large, by {measure}: ", statistics.verdicts(measured["ddim_against_ddpm"], measure))

# %% [markdown]
# Read the intervals before the numbers. With 12 pictures the share is known to some twenty points, and where all 12
# are named, resampling them knows of no other outcome: its interval has no width. So only a great difference can
# show, and that is why the large measurement exists. And a Fréchet distance of 12 pictures is mostly the distance of
# *any* 12 pictures: compare the live column with the large one at 50 steps.
#
# Nearly all verdicts are *within noise*. By the Fréchet distance DDIM is ahead in each pair of rows, but by less than a
# thousand pictures can tell; with 50 steps a few more of DDPM's are named. The paper is not wrong, our world is another
# one: small, and so easy that with 20 steps 99 of 100 pictures are named. What is left then is mostly the error of the
# small *network*. A walk without fresh noise carries every error to its end. Fresh noise covers a part of the earlier
# ones, and the later steps, which know more, take it away again; Karras et al.
# ([arXiv:2206.00364](https://arxiv.org/abs/2206.00364), section 4) measured the same on photographs. And what DDPM's
# authors used for CIFAR-10 is the larger variance: compare DDIM with that row.
#
# ## Claim 2: the noise says what is to be seen
#
# Section 5.2: from the same $x_T$, few steps and many give pictures alike in all that matters; details get better.
# *Same object* in the tables is the share of noises whose object is that of the longest walk. For DDPM every walk
# meets other noise on the way. By chance alone it would be one in six, 17 %.

# %% tags=["nbval-check-output"]
same = {(row["sampler"], row["steps"]): row["same"] for row in measured["ddim_against_ddpm"]["rows"] if "same" in row}
for name in ("DDIM", "DDPM"):
    print(f"{name}: 20 and 100 steps show the same object for {100 * same[name, 20]['value']:.0f} % of the noises")
print("DDIM's noise decides more:", "yes" if same["DDIM", 20]["low"] > same["DDPM", 20]["high"] else "no")

# %% [markdown]
# ### Two noises, and drawings between them
#
# If the noise is the address of a picture, the points between two addresses should be pictures too. Noises of
# $d = 3 \cdot 32 \cdot 32$ numbers lie close to a sphere of radius $\sqrt d$. So we walk along the great circle:
#
# $$x_u = \frac{\sin((1-u)\theta)}{\sin\theta}\, x_a + \frac{\sin(u\theta)}{\sin\theta}\, x_b,$$
#
# where $\theta$ is the angle between the two noises and $u$ goes from 0 to 1. The chord $(1-u)\,x_a + u\,x_b$ is
# shorter. **What would the chord do to the picture half way?** (How long is the noise there, and what does the
# network think of so little noise?)

# %% tags=["nbval-check-output"]
x_a, x_b = noise(21), noise(30)
u = torch.linspace(0, 1, 9).reshape(-1, 1, 1, 1)
circle = slerp(x_a.expand(9, -1, -1, -1), x_b.expand(9, -1, -1, -1), u)
chord = (1 - u) * x_a + u * x_b
print(f"sqrt(d) = {x_a.numel() ** 0.5:.1f}")
for name, path in (("great circle", circle), ("chord", chord)):
    radii = path.flatten(1).norm(dim=1)
    print(f"{name}: radius from {radii.min():.1f} to {radii.max():.1f}")

# %%
drawn = [pipe(9, latents=path, num_inference_steps=20).images for path in (circle, chord)]
widgets.sheet(drawn[0] + drawn[1], columns=9, size=64)

# %% [markdown]
# Above the great circle, below the chord. One number for it: how many pictures between two noises show an object
# beyond doubt, for as many pairs as there are pictures in a row.

# %%
print(statistics.table(measured["interpolation"]))
live, _ = interpolation(pipe, samples=12)
print(statistics.table(live))

# %% tags=["nbval-check-output"]
for measure in ("named", "frechet"):
    (verdict,) = statistics.verdicts(measured["interpolation"], measure).values()
    print(f"the great circle is better than the chord, by {measure}: {verdict}")

# %% [markdown]
# The change from one thing to the next is not a crossfade: it happens at one place of the way, or at a few. Half way
# the chord is shorter by a factor of 0.7, so the network is shown too little noise, and one would expect rubbish. The
# large measurement does not see any: on the chord as many pictures are named. But by the Fréchet distance those of the
# great circle are closer to true drawings. So this network forgives too little noise, though not quite; too much is
# another matter (try `1.3 * circle`). The paper walks along the circle and does not say what the chord would do.
#
# ## Claim 3: there and back
#
# A curve can be walked both ways. `inverse_step` goes from a drawing to the noise it could have come from. It has to
# guess: the slope is wanted at the end of the step, where it has not been yet, and it takes the one at the beginning.
# So the smaller the steps, the better. The paper's table 2 has, for CIFAR-10, a mean squared error of 0.014 at 10
# steps, 0.0065 at 20, 0.0023 at 50 and 0.0009 at 100. **Will our drawings do better or worse?** They have flat
# colours, but sharp edges. PSNR is the error in decibels, each drawing's by itself, and then their mean; *lost* is the
# share of drawings that come back with less than 20 dB, which means as another drawing.

# %%
print(statistics.table(measured["encoding"]))
live, coded = encoding(pipe, samples=6, steps=(10, 100))
print(statistics.table(live))
row = [*coded["drawings"], *coded[10], *coded[100]]
widgets.sheet(sampling.images(torch.stack(row)), columns=6, size=96)

# %% [markdown]
# Above the drawings, in the middle what comes back with 10 steps, below with 100. The way there, for one drawing:

# %% tags=["nbval-check-output"]
scheduler = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False)  # a clipped number has no way back
scheduler.set_timesteps(100)
x = 2 * coded["drawings"][:1].to(device) - 1
for t in reversed(scheduler.timesteps):
    x = scheduler.inverse_step(pipe.unet(x, t).sample, t, x).prev_sample
print("the noise found for a drawing spreads less than noise:", "yes" if x.std() < 0.9 else "no")


def verdict(less, more):  # of two intervals, whether the second lies above the first
    return "yes" if more["low"] > less["high"] else "no" if more["high"] < less["low"] else "within noise"


rows = measured["encoding"]["rows"]
for few, many in zip(rows, rows[1:], strict=False):
    print(f"{many['steps']} steps bring back more than {few['steps']}:", end=" ")
    print(f"by PSNR {verdict(few['psnr'], many['psnr'])}, by mean squared error {verdict(many['mse'], few['mse'])}")

# %% [markdown]
# What was found spreads about half as much as noise does. Each guess asks the network about the next level and shows it
# a sample with the noise of the one before, in which the network rightly finds too little. With 20 steps instead of 100
# only a quarter is found. On the way back the network is asked in the same manner, so the errors nearly cancel.
#
# The two means disagree. Up to 50 steps most drawings come back the better the more steps there are, which is what
# decibels show. But more and more of them are *lost*, and in a mean of squares one that is lost outweighs hundreds that
# are not. The paper has only that mean, and its network loses fewer.
#
# ## With the official weights
#
# The same class with the network of Ho et al., 36 million numbers trained on CIFAR-10, and one for bedrooms of
# 256x256, which wants a GPU.

# %%
pictures = official.show(DDIMPipeline, "google/ddpm-cifar10-32", batch_size=4, num_inference_steps=20)

# %%
pictures = official.show(DDIMPipeline, "google/ddpm-ema-bedroom-256", gpu=True, batch_size=4, num_inference_steps=50)

# %% [markdown]
# ## Exercises
#
# Each is checked by a property that only a right answer has: `minidiff.read(exercises)` shows it. Replace the `None`;
# a solution is folded below each.
#
# **1. The step.** Write one step of (12) for any $\sigma_t$. The check knows nothing of your formula. It feeds in
# what (4) makes of a known $x_0$, and looks whether (4) holds again at $t-1$.


# %%
def my_step(x_t, eps_theta, alpha_bar_t, alpha_bar_prev, sigma_t, z):
    return None  # instead: x_prev


print(exercises.step(my_step))

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_step(x_t, eps_theta, alpha_bar_t, alpha_bar_prev, sigma_t, z):
#     x_0_hat = (x_t - (1 - alpha_bar_t) ** 0.5 * eps_theta) / alpha_bar_t**0.5
#     return alpha_bar_prev**0.5 * x_0_hat + (1 - alpha_bar_prev - sigma_t**2) ** 0.5 * eps_theta + sigma_t * z
# ```
# </details>
#
# **2. DDPM is in the family.** Which $\sigma_t$ makes your step DDPM's? Write it without $\eta$. The check compares
# with `DDPMScheduler.step` on random numbers, over a leap of a hundred timesteps.


# %%
def my_sigma(alpha_bar_t, alpha_bar_prev):
    return None  # instead: sigma_t


print(exercises.sigma(my_sigma, my_step))

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_sigma(alpha_bar_t, alpha_bar_prev):  # (16) with eta = 1
#     return ((1 - alpha_bar_prev) / (1 - alpha_bar_t) * (1 - alpha_bar_t / alpha_bar_prev)) ** 0.5
# ```
# </details>
#
# **3. A way back that does not guess.** $x_t$ is *right* if the forward step from it ends at the $x_{t-1}$ we came
# from. With (13) that is a fixed point: $\bar x_t = \bar x_{t-1} + \big(\sigma(t) - \sigma(t-1)\big)\,
# \epsilon_\theta(x_t, t)$, with $x_t$ on both sides. Start from the guess of `inverse_step`, and put the result in
# again a few times. The check walks two drawings to their noise in 20 of your steps, then forward with DDIM, and
# measures what is lost.


# %%
def my_inverse_step(unet, scheduler, t, x_prev):
    x_t = scheduler.inverse_step(unet(x_prev, t).sample, t, x_prev).prev_sample
    # make x_t better here
    return x_t


print(exercises.inverse_step(my_inverse_step, pipe))

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_inverse_step(unet, scheduler, t, x_prev):
#     x_t = x_prev
#     for _ in range(6):  # `inverse_step` is (13) the other way; what it is told is the network's answer at x_t
#         x_t = scheduler.inverse_step(unet(x_t, t).sample, t, x_prev).prev_sample
#     return x_t
# ```
# </details>
#
# ## What the ledger says
#
# Paper, original code and today's libraries do not agree in everything. For DDIM:

# %%
from minidiff.papers import ledger  # noqa: E402

for entry in ledger.ddim.ENTRIES:
    print(entry, end="\n\n")

# %% [markdown]
# ## Where to read on
#
# * The paper: section 3 for the family, section 4.3 for the curve, appendix D for the choice of timesteps.
# * *Score-Based Generative Modeling through Stochastic Differential Equations*, Song et al.,
#   [arXiv:2011.13456](https://arxiv.org/abs/2011.13456), found the same curve from the other side and calls it the
#   probability flow.
# * *Null-text Inversion*, Mokady et al., [arXiv:2211.09794](https://arxiv.org/abs/2211.09794): there and back with a
#   text to guide, where the guess of `inverse_step` is no longer good enough.
# * Lesson 4: if the walk is a curve, there are better rulers than Euler's.
