# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 4. PNDM: look back before you step
#
# *Pseudo Numerical Methods for Diffusion Models on Manifolds.* Liu, Ren, Lin & Zhao, ICLR 2022,
# [arXiv:2202.09778](https://arxiv.org/abs/2202.09778)
#
# Lesson 3 ended with a curve from noise to drawing, and Euler's method to follow it. Numerical analysis has had
# better methods since 1883. PNDM is what one has to do to them before a network likes them. When you are done you
# can
#
# * derive the weights 55, -59, 37, -9 and say what they assume,
# * say what is *pseudo* about a pseudo numerical method, and what it costs,
# * count the calls of the network in advance, for both forms of PNDM,
# * measure the order of a sampler on data whose perfect network is known.
#
# Reading takes about an hour, running all cells less than a minute on two CPU cores.

# %%
import matplotlib.pyplot as plt
import torch

import minidiff
from minidiff import DDIMScheduler, PNDMPipeline, PNDMScheduler, widgets, zoo
from minidiff.course import claims, official, statistics
from minidiff.course.claims import sampling
from minidiff.course.claims.pndm import pndm_against_ddim
from minidiff.course.exercises import pndm as exercises
from minidiff.course.mixture import Mixture, orders

torch.set_grad_enabled(False)  # nothing is trained here
device = "cuda" if torch.cuda.is_available() else "cpu"


def noise(seed, *shape):
    return torch.randn(shape or (1, 3, 32, 32), generator=torch.Generator().manual_seed(seed))


# %% [markdown]
# ## Data so simple that the perfect network is known
#
# To see a sampler's own error we need a network without any. For drawings there is none. But let the data be single
# numbers from two heaps, one around $-1$ and one around $0.5$, each a normal distribution. Then what the best
# possible network answers is a formula: the mean of all noises $\epsilon$ that could have led to $x_t$. `Mixture`
# has it. And the exact curve can be followed with thousands of tiny steps.
#
# Five noises $x_T$ on the left, their numbers on the right. Grey is the exact curve, coloured what a sampler makes
# of it in 8 steps. DDIM is the one from lesson 3; PLMS is what this lesson is about. **Which of the two needs the
# network more often here?**

# %%
mixture = Mixture(means=[[-1.0], [0.5]], stds=[0.2, 0.3])
x_T = torch.tensor([[-1.4], [-0.7], [-0.3], [0.5], [1.3]]).double()


def walked(scheduler, steps):
    """The timesteps and the places of a walk, both in the order of the calls, the start included."""
    scheduler.set_timesteps(steps)
    network, places = mixture.as_network(scheduler.alpha_bar), [x_T]
    for t in scheduler.timesteps:
        places.append(scheduler.step(network(places[-1], t).sample, t, places[-1]).prev_sample)
    return scheduler.timesteps.tolist(), torch.cat(places, 1)


ddim = DDIMScheduler(clip_sample=False, timestep_spacing="trailing")
plms = PNDMScheduler(skip_prk_steps=True, timestep_spacing="trailing", set_alpha_to_one=True)
levels = ddim.alpha_bar[torch.arange(999, -1, -37)]
exact = [x_T]
for start, end in zip(levels, levels[1:], strict=False):
    exact.append(mixture.flow(exact[-1], start.item(), end.item(), steps=50))

figure, axes = plt.subplots(1, 2, figsize=(8, 2.6), sharey=True, layout="constrained")
for ax, name, scheduler in zip(axes, ("DDIM", "PLMS"), (ddim, plms), strict=True):
    times, places = walked(scheduler, 8)
    if name == "PLMS":  # the first step is made twice; its first try is not a place on the way
        times, places = [times[0], *times[2:]], torch.cat([places[:, :1], places[:, 2:]], 1)
    curves = ax.plot(range(999, -1, -37), torch.cat(exact, 1).T, color="0.7", linewidth=3)
    walks = ax.plot([*times, 0], places.T, ".-", color="#c4502d" if name == "DDIM" else "#2d7dc4")
    ax.set(title=f"{name}, 8 steps", xlabel="timestep t", ylabel="$x_t$")
    ax.legend([curves[0], walks[0]], ["exact", name], frameon=False, loc="center left", ncols=2)
    ax.invert_xaxis()
plt.show()

# %% [markdown]
# PLMS, by a single call. It follows the bend because it remembers where it came from, here is how; all but the last
# step. There $\epsilon$ changes fastest, and predictions that lie 125 timesteps apart say little about it. Change the
# 8 to 20, and it misses no end by more than 0.02, where DDIM misses some by 0.07.
#
# ## The step, and what is put into it
#
# Take DDIM's step at $\eta = 0$ and give it a name, $\phi$. It moves $x$ from $t$ to the next timestep kept,
# $t - \delta$, along some noise $\epsilon$. With the difference of (9) it reads:
#
# $$\phi(x_t, \epsilon, t, t-\delta) = \frac{\sqrt{\bar\alpha_{t-\delta}}}{\sqrt{\bar\alpha_t}}\,x_t
# - \frac{\bar\alpha_{t-\delta} - \bar\alpha_t}{\sqrt{\bar\alpha_t}\left(\sqrt{(1-\bar\alpha_{t-\delta})\bar\alpha_t}
# + \sqrt{(1-\bar\alpha_t)\bar\alpha_{t-\delta}}\right)}\,\epsilon \tag{9}$$
#
# It looks worse than it is. Suppose all data were a single point $x_0$. Then the noise in $x_t$ is the same all along
# the curve. **How far may one step of $\phi$ go in such a world?**

# %% tags=["nbval-check-output"]
scheduler = PNDMScheduler(set_alpha_to_one=True)
alpha_bar_t, alpha_bar_end = scheduler.level(990), scheduler.level(10)

x_0, eps = 0.5, noise(0, 1000).double()
x_t = alpha_bar_t**0.5 * x_0 + (1 - alpha_bar_t) ** 0.5 * eps
x_end = alpha_bar_end**0.5 * x_0 + (1 - alpha_bar_end) ** 0.5 * eps
leap = scheduler.phi(x_t, eps, 990, 10)
print("one leap from t = 990 to t = 10 ends on the curve:", "yes" if (leap - x_end).abs().max() < 1e-3 else "no")

# %% [markdown]
# All the way. So $\phi$ makes no error of its own. All the error comes from the noise *changing* on the way, while
# $\phi$ uses the one that it was given. The question is only: which $\epsilon'$ should go in?
#
# **Adams and Bashforth's answer (1883).** Keep the last four predictions. Lay a cubic through them, go on with it
# into the step ahead, and take its mean there:
#
# $$\epsilon' = \tfrac{1}{24}\left(55\,\epsilon_t - 59\,\epsilon_{t+\delta} + 37\,\epsilon_{t+2\delta}
# - 9\,\epsilon_{t+3\delta}\right) \tag{12}$$
#
# $\epsilon_{t+\delta}$ is what the network said one step ago. The weights sum to 1, one of them is well above 2: this
# is extrapolation. It costs one call a step, as Euler does.
#
# **Runge and Kutta's answer (1901).** Remember nothing. Ask at the start, twice half way, and at the end, each time
# from where the last answer leads:
#
# $$\epsilon' = \tfrac16\left(\epsilon_1 + 2\epsilon_2 + 2\epsilon_3 + \epsilon_4\right) \tag{13}$$
#
# It costs four calls a step. Algorithm 2 of the paper, F-PNDM, makes three steps of this kind, to have something to
# look back at, and goes on with (12). Stable Diffusion skips them, and starts with a first step made twice and
# formulas of lower order: PLMS.

# %%
minidiff.read(PNDMScheduler.multistep)

# %% [markdown]
# ## Why *pseudo*
#
# A textbook would put the weights around something else. It has a curve $x(t)$ with a slope $dx/dt$, and combines
# slopes. In those coordinates the slope is
#
# $$\frac{dx}{dt} = -\frac{\beta(t)}{2}\left(x - \frac{\epsilon_\theta(x, t)}{\sqrt{1 - \bar\alpha_t}}\right),$$
#
# where $\beta(t)$ is the noise added per timestep. Back to the world with a single drawing, where nothing needs to be
# combined: $\epsilon$ is the same everywhere. One step from $t = 100$ to 0, straight along this slope, and one by
# $\phi$. How much of the drawing is in the result, and how much noise? By (4) of DDPM the squares of the two must add
# up to 1.

# %% tags=["nbval-check-output"]
t, end = 100, 0
alpha_bar_t, beta = scheduler.alpha_bar[t], scheduler.beta[t]


def straight(x, eps):
    return x + (t - end) * beta / 2 * (x - eps / (1 - alpha_bar_t) ** 0.5)


def phi(x, eps):
    return scheduler.phi(x, eps, t, end)


for step in (straight, phi):
    a, b = step(alpha_bar_t**0.5, 0), step((1 - alpha_bar_t) ** 0.5, 1)
    print(f"{step.__name__:8}: {a:.3f} of the drawing, {b:.3f} of the noise; squared and added: {a**2 + b**2:.2f}")

# %% [markdown]
# The straight step ends where no level of noise is: too much drawing, too much noise. The network was never trained
# there, and the next slope is asked for at that very place. PNDM combines the *noises*, which change little on the
# way, and leaves the transport to $\phi$, which is exact for them and lands where noise of level $t - \delta$ is
# expected. The formulas are classical, the step they are put into is not. That is all that *pseudo* means.
#
# ## How many calls?

# %%
figure, axes = plt.subplots(figsize=(6.4, 2.4), layout="constrained")
for name, skip, mark in (("F-PNDM", False, "o"), ("PLMS", True, "^")):
    scheduler = PNDMScheduler(skip_prk_steps=skip)
    scheduler.set_timesteps(10)
    axes.plot(scheduler.timesteps, mark + "-", label=f"{name}: {len(scheduler.timesteps)} calls", alpha=0.8)
axes.set(xlabel="call of the network", ylabel="timestep t", title="10 steps", xticks=range(0, 19, 3))
axes.legend()
plt.show()
print(scheduler.timesteps.tolist())

# %% tags=["nbval-check-output"]
for N in (10, 25, 50):
    counts = []
    for skip in (False, True):
        scheduler = PNDMScheduler(skip_prk_steps=skip)
        scheduler.set_timesteps(N)
        counts.append(len(scheduler.timesteps))
    print(f"N = {N}: F-PNDM calls {counts[0]} times, N + {counts[0] - N}; PLMS {counts[1]} times, N + {counts[1] - N}")

# %% [markdown]
# Nine more than steps: three Runge-Kutta steps of four calls each. So compare samplers by their *calls*, never by
# their steps.
#
# ## Of which order?
#
# Halve the step size of Euler's method and its error halves: order 1. Halve those of a method of order 4, and a
# sixteenth of the error is left. We let three samplers walk the exact network of the two heaps and measure the
# distance to the exact end. **The weights of (12) come from a cubic. Which order will the table show?**

# %%
tables = {
    "DDIM": orders(DDIMScheduler, mixture, clip_sample=False),
    "PLMS": orders(PNDMScheduler, mixture, skip_prk_steps=True),
    "F-PNDM": orders(PNDMScheduler, mixture),
}
for name, table in tables.items():
    print(f"{name}\n{table}\n")

# %% tags=["nbval-check-output"]
print({name: f"order {round(table.slopes[-1])}" for name, table in tables.items()})
print(f"PLMS with 20 steps is nearer than DDIM with 320: {tables['PLMS'].errors[1] < tables['DDIM'].errors[-1]}")

# %% [markdown]
# Two, not four; for both forms; and in the end with the same error, to one part in some hundred. This is no bug: the
# paper proves order 2 and no more. (12) assumes four predictions at *equal distances*. They are equally spaced in
# $t$. But lesson 3 showed what the curve's own coordinate is: $d\bar x = \epsilon\, d\sigma$, with $\sigma =
# \sqrt{(1-\bar\alpha)/ \bar\alpha}$, and in $\sigma$ the steps get shorter and shorter. The mean of $\epsilon$ over a
# step has to be taken with $\sigma$; (12) takes it with $t$. The difference is of third order in each step, so of
# second order in all. It does not depend on how the four predictions are combined, which is why both forms end alike.
# Exercise 2 wins the lost orders back.
#
# Order 2 is still a lot: see the last line.
#
# ## Run it

# %%
pipe = PNDMPipeline.from_pretrained(zoo.path("storybook-ddpm")).to(device)
pipe.set_progress_bar_config(disable=True)
x_T = noise(5, 8, 3, 32, 32)
images = pipe(8, latents=x_T, num_inference_steps=20).images
print(
    f"x_T {tuple(x_T.shape)} -> {len(images)} pictures of {images[0].size}; {len(pipe.scheduler.timesteps)} calls each"
)
widgets.sheet(images, columns=8, size=96)

# %% [markdown]
# A PLMS walk of 20 steps with its numbers, at call 14 first, where the history is full: $\epsilon'$ spreads as a
# predicted noise should, a little less than 1, though the weights it is made with are as large as 59 / 24. Move the
# slider back to the calls where the history grows. Then the transport.

# %%
plms = sampling.sampler("PLMS", pipe)
plms.set_progress_bar_config(disable=True)
minidiff.read(PNDMScheduler.multistep, run=lambda: plms(latents=x_T[:1], num_inference_steps=20), step=14)

# %%
minidiff.read(PNDMScheduler.phi, run=lambda: plms(latents=x_T[:1], num_inference_steps=20), step=14)

# %% [markdown]
# ## Three rulers, one curve
#
# The same noise, ten calls for DDIM and for PLMS, 59 for F-PNDM. While F-PNDM makes its Runge-Kutta steps the slider
# shows it going back and forth: those are questions, not places on the way.

# %%
walks = {}
for name, steps in (("DDIM, trailing", 10), ("PLMS, trailing", 9), ("F-PNDM, trailing", 50)):
    walker = sampling.sampler(name, pipe)
    walker.set_progress_bar_config(disable=True)
    walks[f"{name.partition(',')[0]}, {sampling.calls_of(name, steps)} calls"] = widgets.record(
        walker, latents=x_T[2:3], num_inference_steps=steps
    )
widgets.scrub(*walks.values(), labels=list(walks))

# %% [markdown]
# ### From how many calls on does it pay?
#
# On the two heaps the higher order won from the first line on. A network is not a formula. We measure, for eight
# noises, how far each sampler's pictures are from the end of the curve (F-PNDM with 100 steps), in levels of 255. It
# is the median that is shown: here and there a coarse walk comes to another picture altogether, and would outweigh
# all others. For this all start at $t = 999$ and end at the picture (`timestep_spacing="trailing"`,
# `set_alpha_to_one=True`), and nobody clips: only the ruler differs.

# %%
names = ("DDIM, trailing", "PLMS, trailing", "F-PNDM, trailing")
ends = sampling.draw(sampling.sampler("F-PNDM, trailing", pipe), x_T, 100)
far = {}
for calls in (10, 13, 20, 40):
    for name in names:
        steps = calls - sampling.calls_of(name, 0)
        if steps >= 4:  # F-PNDM has three Runge-Kutta steps and needs one more
            drawn = sampling.draw(sampling.sampler(name, pipe), x_T, steps)
            far[name, calls] = 255 * sampling.squares(drawn, ends).sqrt().median().item()

figure, axes = plt.subplots(figsize=(6.4, 2.6), layout="constrained")
for name in names:
    counts = [calls for one, calls in far if one == name]
    axes.loglog(counts, [far[name, calls] for calls in counts], "o-", label=name.partition(",")[0])
axes.minorticks_off()
axes.set(xlabel="calls of the network", xticks=(10, 20, 40), xticklabels=(10, 20, 40))
axes.set(ylabel="distance, levels of 255", yticks=(1, 2, 5, 10, 20), yticklabels=(1, 2, 5, 10, 20))
axes.legend()
plt.show()
print({f"{name.partition(',')[0]}, {calls} calls": round(value, 1) for (name, calls), value in far.items()})

# %% tags=["nbval-check-output"]
for calls in (20, 40):
    nearer = far["PLMS, trailing", calls] < 0.8 * far["DDIM, trailing", calls]
    print(
        f"{calls} calls: PLMS is nearer to the end of the curve than DDIM, by a fifth at least:",
        "yes" if nearer else "no",
    )

# %% [markdown]
# With ten calls the cubic is laid through points that are far apart, the first of them in the fog: looking back
# misleads. By twenty it pays: PLMS is nearer by a third, by forty a little more. F-PNDM spends twelve calls on its
# first three steps; until there are many more, too few are left for the others, and it pays later still.
#
# ## The claim
#
# The abstract says that PNDM with 50 steps draws better pictures than DDIM with 1000. We ask for less and count
# calls: PLMS with 10 against DDIM with 10, F-PNDM with 19 against DDIM with 19. First as published, where DDIM clips
# $\hat x_0$ and PNDM does not, and where 9, 10 and 19 steps begin at different timesteps (888, 900, 936). Then
# *trailing*, as above. *Named* and *Fréchet* are those of lesson 3; *distance* is that of the plot.

# %%
large = claims.measured("pndm")["pndm_against_ddim"]
print(statistics.table(large))
live, _ = pndm_against_ddim(pipe, samples=6)
print(statistics.table(live))

# %% tags=["nbval-check-output"]
for measure in ("named", "frechet", "distance"):
    print(f"large, by {measure}:")
    for claim, verdict in statistics.verdicts(large, measure).items():
        print(f"    {claim}: {verdict}")

# %% [markdown]
# The claim does not show here: with ten and with nineteen calls PNDM draws worse than DDIM, by every measure, as
# published and trailing. The plot above says why. Ten calls lie on the wrong side of the place where looking back
# begins to pay, and of F-PNDM's nineteen only seven are made after its first three steps, so these steps are long. By
# the plot it is from about twenty calls on that PLMS comes nearer to the end of the curve. A small world is easy for
# Euler.
#
# ## A call for nothing
#
# The published settings end at $\bar\alpha_0$, the level of timestep 0 (`set_alpha_to_one=False`). The last call is
# made *at* timestep 0. **So what does the last step do?**

# %% tags=["nbval-check-output"]
for set_alpha_to_one in (False, True):
    walker = PNDMPipeline(
        pipe.unet, PNDMScheduler.from_config(pipe.scheduler.config, set_alpha_to_one=set_alpha_to_one)
    )
    walker.set_progress_bar_config(disable=True)
    places = []

    def keep(pipe, i, t, tensors, places=places):
        places.append(tensors["latents"])

    walker(latents=x_T[:1], num_inference_steps=10, callback_on_step_end=keep)
    moved = (places[-1] - places[-2]).abs().max()
    print(
        f"set_alpha_to_one={set_alpha_to_one}: the last call is made at t = {walker.scheduler.timesteps[-1]}", end=", "
    )
    print("and moves nothing" if moved == 0 else "and moves the picture")

# %% [markdown]
# A step from a level to the same level: the network is called and its answer multiplied by 0. What noise of level
# $\bar\alpha_0$ is left stays in the picture, with a standard deviation of 0.01, or 1.3 levels of 255. Neither the
# authors' code (whose index is shifted by one) nor Stable Diffusion's settings (whose timesteps are) has this. We
# keep it as published, since that is how these checkpoints are sampled, and it stands in the ledger.
#
# ## With the official weights

# %%
pictures = official.show(PNDMPipeline, "google/ddpm-cifar10-32", batch_size=4, num_inference_steps=12)

# %%
pictures = official.show(PNDMPipeline, "google/ddpm-ema-bedroom-256", gpu=True, batch_size=4, num_inference_steps=50)

# %% [markdown]
# ## Exercises
#
# Each is checked by a property that only a right answer has: `minidiff.read(exercises)` shows it. Replace the `None`;
# a solution is folded below each.
#
# **1. Where 55, -59, 37, -9 come from.** Measure along the curve so that the step ahead goes from 0 to 1. The last
# four predictions were made at places $d$, a tensor of four numbers: $(0, -1, -2, -3)$ if all steps were alike. Give
# the four weights whose sum $\sum_j w_j f(d_j)$ is the mean of $f$ over the step ahead, for every polynomial $f$ of
# degree up to 3. (Four powers, four equations: `torch.linalg.solve`.)


# %%
def my_weights(d):
    return None  # instead: four weights


print(exercises.weights(my_weights))

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_weights(d):
#     powers = torch.arange(4, dtype=d.dtype)
#     return torch.linalg.solve(d ** powers[:, None], 1 / (powers + 1))
# ```
# </details>
#
# **2. The lost orders.** Your weights work for unequal distances too. So measure in $\sigma$ and not in $t$: with
# $\sigma$ at the last four predictions, newest first, and at the end of the step, say what $d$ is. The check walks
# the two heaps with $\epsilon' = \sum_j w_j \epsilon_j$ in $\phi$, from an exact start, and measures the order.


# %%
def my_places(sigmas, sigma_next):
    return None  # instead: the four places d, with 0 for the newest prediction and 1 for the end of the step


print(exercises.order(my_places, my_weights))

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_places(sigmas, sigma_next):
#     return (sigmas - sigmas[0]) / (sigma_next - sigmas[0])
# ```
# With $t$ in the place of $\sigma$ the same walk has order 2. The sampler that does it with $\sigma$ is known as LMS.
# </details>
#
# **3. $\phi$, in the coordinates of lesson 3.** Write $\phi$ with $\bar x = x / \sqrt{\bar\alpha}$ and $\sigma$
# instead of (9). Two properties make it the right one. Two steps along the same noise are one long step. And in a
# world with a single drawing it stays on the curve.


# %%
def my_phi(x_t, eps, alpha_bar_t, alpha_bar_prev):
    return None  # instead: x at alpha_bar_prev


print(exercises.phi(my_phi))

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_phi(x_t, eps, alpha_bar_t, alpha_bar_prev):
#     def sigma(alpha_bar):
#         return ((1 - alpha_bar) / alpha_bar) ** 0.5
#
#     x_bar = x_t / alpha_bar_t**0.5 + (sigma(alpha_bar_prev) - sigma(alpha_bar_t)) * eps
#     return alpha_bar_prev**0.5 * x_bar
# ```
# </details>
#
# ## What the ledger says

# %%
from minidiff.papers import ledger  # noqa: E402

for entry in ledger.pndm.ENTRIES:
    print(entry, end="\n\n")

# %% [markdown]
# ## Where to read on
#
# * The paper: section 3.3 for the pseudo methods, and the proof of order 2 in its appendix.
# * Hairer, Nørsett & Wanner, *Solving Ordinary Differential Equations I*, sections II.1, III.1 and III.5: Runge-Kutta,
#   Adams, and what becomes of them when steps are not alike.
# * *Common Diffusion Noise Schedules and Sample Steps are Flawed*, Lin et al.,
#   [arXiv:2305.08891](https://arxiv.org/abs/2305.08891), on where a walk should begin.
# * *DPM-Solver++*, Lu et al., [arXiv:2211.01095](https://arxiv.org/abs/2211.01095): the same idea in a coordinate
#   that suits the network better.
