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
# Lesson 3 followed a curve with Euler's method. There are better methods. You will
#
# * derive the weights 55, -59, 37, -9,
# * say what is *pseudo* about PNDM, and what it costs,
# * measure the order of a sampler, where the perfect network is known.

# %% [markdown]
# **You need:** [lesson 3](03_ddim.ipynb) with its section "A curve and its slope": $\bar x$, $\sigma$, Euler's method.
# Polynomials and their means; some Python. Numbers in brackets are those of the paper's equations.
#
# **To skip:** the sections "Why *pseudo*" and "A call for nothing" at first reading. The exercises take half an hour
# more.

# %% [markdown]
# | section | minutes |
# |---|---|
# | Data whose perfect network is known | 8 |
# | Which noise goes into the step? | 12 |
# | The code | 5 |
# | Why *pseudo* | 7 |
# | How many calls? | 3 |
# | Of which order? | 10 |
# | Run it | 5 |
# | The claim: 50 steps against 1000 | 10 |
# | A call for nothing | 3 |
# | With the official weights | 1 |
# | Exercises | 30 |
# | What the ledger says | 2 |
# | Where to read on | 1 |

# %%
import torch

import minidiff
from minidiff import DDIMScheduler, PNDMPipeline, PNDMScheduler, widgets, zoo
from minidiff.course import claims, official, statistics
from minidiff.course.claims import pndm, sampling
from minidiff.course.exercises import pndm as exercises
from minidiff.course.mixture import CLEAN, Mixture, orders, walk
from minidiff.course.questions import pndm as questions
from minidiff.widgets.plots import Plot

torch.set_grad_enabled(False)  # nothing is trained here
device = "cuda" if torch.cuda.is_available() else "cpu"


def noise(seed, *shape):
    return torch.randn(shape or (1, 3, 32, 32), generator=torch.Generator().manual_seed(seed))


# %% [markdown]
# ## Data whose perfect network is known
#
# We want to see the error of a sampler alone. So we need a network without errors. For drawings there is none. Let the
# data be numbers from two heaps, around $-1$ and $0.5$ (two Gaussians). Then the best answer is a formula: the
# mean of all noises that could have led to $x_t$.

# %%
mixture = Mixture(means=[[-1.0], [0.5]], stds=[0.2, 0.3])
ddim = DDIMScheduler(clip_sample=False, timestep_spacing="trailing")
plms = PNDMScheduler(skip_prk_steps=True, timestep_spacing="trailing", set_alpha_to_one=True)
network = mixture.as_network(ddim.alpha_bar)  # it can be called like a UNet

x_T = noise(0, 512, 1).double()
ends = mixture.flow(x_T, ddim.alpha_bar[-1].item(), CLEAN)  # of the exact curves, by thousands of tiny steps


def missed_by(scheduler, steps):
    """How far a walk ends from the end of its curve: the root mean square of 512 walks."""
    scheduler.set_timesteps(steps)
    return (walk(scheduler, network, x_T) - ends).square().mean().sqrt().item()


# %% [markdown]
# DDIM is Euler's method of lesson 3. PLMS (*pseudo linear multistep*) is a form of PNDM. It needs one call of the
# network more than it makes steps. So we give it one step less: what costs time are the *calls*. (`trailing`: both
# begin at $t = 999$.)

# %%
questions.eight_calls()

# %% jupyter={"source_hidden": true}
five, times = torch.tensor([[-1.4], [-0.7], [-0.3], [0.5], [1.3]]).double(), range(999, -1, -37)
levels, exact = ddim.alpha_bar[times], [five]
for start, end in zip(levels, levels[1:], strict=False):
    exact.append(mixture.flow(exact[-1], start.item(), end.item(), steps=50))


def places(scheduler, steps):
    """Timesteps and places of a walk; the first step of PLMS is made twice, and only the second try counts."""
    scheduler.set_timesteps(steps)
    t, x = scheduler.timesteps.tolist(), [five]
    for time in t:
        x.append(scheduler.step(network(x[-1], time).sample, time, x[-1]).prev_sample)
    if scheduler is plms:
        t, x = [t[0], *t[2:]], [x[0], *x[2:]]
    return [*t, 0], torch.cat(x, 1).T


calls, pages = (5, 8, 12, 20, 40), []
for k in calls:
    figure = Plot(figsize=(7.2, 2.5), layout="constrained", dpi=90)
    axes = figure.subplots(1, 2, sharey=True)
    for ax, name, scheduler, steps in zip(axes, ("DDIM", "PLMS"), (ddim, plms), (k, k - 1), strict=True):
        curves = ax.plot(times, torch.cat(exact, 1).T, color="0.75", linewidth=3)
        walks = ax.plot(*places(scheduler, steps), ".-", color="#c4502d" if name == "DDIM" else "#2d7dc4", markersize=4)
        ax.set(title=f"{name}, {k} calls: misses by {missed_by(scheduler, steps):.3f}")
        ax.set(xlabel="timestep t", ylabel="$x_t$" if name == "DDIM" else None)
        ax.legend([curves[0], walks[0]], ["exact", name], frameon=False, loc="center left", ncols=2)
        ax.invert_xaxis()
    pages.append(figure)
widgets.slides(pages, "calls", calls)

# %% tags=["nbval-check-output"]
for k in (5, 8, 20, 40):
    ratio = missed_by(ddim, k) / missed_by(plms, k - 1)
    verdict = "about the same" if 0.8 < ratio < 1.25 else "PLMS" if ratio > 1 else "DDIM"
    print(f"{k:2} calls, nearer to the exact end: {verdict}")

# %% [markdown]
# The walks are hardest to follow at their end. There $\epsilon$ changes fastest. With 8 to 14 calls neither
# method is clearly better: looking back helps some walks and misleads others. With 20 calls it pays. With 5 it does
# too, but there both are far off.

# %% [markdown]
# ## Which noise goes into the step?
#
# Take DDIM's step at $\eta = 0$ and call it $\phi$. It moves $x$ from $t$ to the next timestep kept, $t - \delta$,
# along some noise $\epsilon$. The paper prints a difference, $x_{t-\delta} - x_t$. With $x_t$ on the other side (9) is
#
# $$\phi(x_t, \epsilon, t, t-\delta) = \frac{\sqrt{\bar\alpha_{t-\delta}}}{\sqrt{\bar\alpha_t}}\,x_t
# - \frac{\bar\alpha_{t-\delta} - \bar\alpha_t}{\sqrt{\bar\alpha_t}\left(\sqrt{(1-\bar\alpha_{t-\delta})\bar\alpha_t}
# + \sqrt{(1-\bar\alpha_t)\bar\alpha_{t-\delta}}\right)}\,\epsilon \tag{9}$$

# %% [markdown]
# Suppose that the world had a single drawing $x_0$. Then the noise in $x_t$ would be the same all along the curve.

# %%
questions.longest_step()

# %% tags=["nbval-check-output"]
scheduler = PNDMScheduler(set_alpha_to_one=True)
alpha_bar_t, alpha_bar_end = scheduler.level(990), scheduler.level(10)

x_0, eps = 0.5, noise(0, 1000).double()
x_t = alpha_bar_t**0.5 * x_0 + (1 - alpha_bar_t) ** 0.5 * eps
x_end = alpha_bar_end**0.5 * x_0 + (1 - alpha_bar_end) ** 0.5 * eps
leap = scheduler.phi(x_t, eps, 990, 10)
print("one leap from t = 990 to t = 10 ends on the curve:", "yes" if (leap - x_end).abs().max() < 1e-3 else "no")

# %% [markdown]
# So $\phi$ makes no error of its own. All error comes from the noise that *changes* on the way, while $\phi$ uses only
# one. The question is: which $\epsilon'$ should go in?

# %% [markdown]
# **Adams and Bashforth's answer (1883).** Keep the last four predictions. Draw the cubic through them. Follow it into
# the step ahead, and take its mean there:
#
# $$\epsilon' = \tfrac{1}{24}\left(55\,\epsilon_t - 59\,\epsilon_{t+\delta} + 37\,\epsilon_{t+2\delta}
# - 9\,\epsilon_{t+3\delta}\right) \tag{12}$$
#
# $\epsilon_{t+\delta}$ is what the network said one step ago. The weights sum to 1. A step costs one call, as with
# Euler.

# %% jupyter={"source_hidden": true} tags=["diagram"]
d, eps = torch.tensor([-3.0, -2, -1, 0]).double(), torch.tensor([0.95, 0.9, 0.72, 0.4]).double()
cubic = torch.linalg.solve(d[:, None] ** torch.arange(4), eps)
line = torch.linspace(-3, 1, 200).double()
follow = (line[:, None] ** torch.arange(4)) @ cubic
mean = eps @ torch.tensor([-9, 37, -59, 55]).double() / 24
figure = Plot(figsize=(6.4, 2.7), layout="constrained")
axes = figure.subplots()
axes.axvspan(0, 1, color="#3572b0", alpha=0.1)
axes.set(ylim=(-0.15, 1.1))
axes.plot(line, follow, color="#3572b0", label="the cubic")
axes.plot(d, eps, "o", color="#282430", label="what the network said")
axes.plot([0, 1], [eps[-1], eps[-1]], "--", color="#c1571b", label="Euler: the last one")
axes.plot([0, 1], [mean, mean], color="#3f8f4f", linewidth=3, label=r"$\epsilon'$: the mean over the step")
ticks = [r"$t+3\delta$", r"$t+2\delta$", r"$t+\delta$", "$t$", r"$t-\delta$"]
axes.set(xticks=range(-3, 2), xticklabels=ticks, xlabel="the walk goes to the right", ylabel="predicted noise")
axes.annotate("the step ahead", (0.5, 1.0), ha="center")
axes.legend(frameon=False, loc="lower left")
figure

# %% [markdown]
# **Runge and Kutta's answer (1901).** Remember nothing. Ask at the start, twice half way, and at the end, each time
# from where the last answer leads:
#
# $$\epsilon' = \tfrac16\left(\epsilon_1 + 2\epsilon_2 + 2\epsilon_3 + \epsilon_4\right) \tag{13}$$
#
# A step costs four calls.

# %% [markdown]
# At the beginning there is nothing to look back at. *F-PNDM*, algorithm 2 of the paper, makes three steps by (13), then
# goes on with (12). *PLMS*, the form that [Stable Diffusion](https://arxiv.org/abs/2112.10752) uses, makes its first
# step twice, then uses shorter formulas until four predictions are there.

# %% [markdown]
# ## The code
#
# A PLMS walk of 20 steps with its numbers, at call 14. Move the slider back to the first calls and see the history
# grow. $\epsilon'$ spreads as a noise should, by about 1, although its weights are as large as 59 / 24.

# %%
pipe = PNDMPipeline.from_pretrained(zoo.path("storybook-ddpm")).to(device)
pipe.set_progress_bar_config(disable=True)
walker = sampling.sampler("PLMS", pipe)
walker.set_progress_bar_config(disable=True)
x_T = noise(5, 8, 3, 32, 32)
minidiff.read(PNDMScheduler.multistep, run=lambda: walker(latents=x_T[:1], num_inference_steps=20), step=14)

# %% [markdown]
# ## Why *pseudo*
#
# A textbook would use the weights for slopes $dx/dt$ of the curve $x(t)$, and not for noises. Lesson 3's $d\bar x =
# \epsilon\, d\sigma$, written in $x$ and $t$, is
#
# $$\frac{dx}{dt} = -\frac{\beta(t)}{2}\left(x - \frac{\epsilon_\theta(x, t)}{\sqrt{1 - \bar\alpha_t}}\right),$$
#
# where $\beta(t)$ is lesson 2's $\beta_t$.

# %% [markdown]
# Back to the world with a single drawing. We make one step from $t = 100$ to 0, once straight along this slope, and
# once by $\phi$. How much of the drawing is in the result, and how much noise? By (4) of lesson 2 both squares must sum
# to 1.

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
# The straight step ends with too much drawing and too much noise. The network never saw such an $x$, and is asked about
# it next. PNDM combines *noises*, which change little, and $\phi$ moves along them and ends at the right level. The
# formulas are classical, the step is not: this is all that *pseudo* means.

# %% [markdown]
# ## How many calls?

# %%
questions.calls()

# %% tags=["nbval-check-output"]
for N in (10, 25, 50):
    for name, skip in (("F-PNDM", False), ("PLMS", True)):
        scheduler = PNDMScheduler(skip_prk_steps=skip)
        scheduler.set_timesteps(N)
        k = len(scheduler.timesteps)
        print(f"{name}, {N} steps: {k} calls, {k - N} more than steps")

# %% [markdown]
# So compare samplers by their calls, never by their steps.

# %% [markdown]
# ## Of which order?
#
# Make all steps half as long. If the error becomes a half, the method has *order* 1; if a quarter, order 2; if a
# sixteenth, order 4. Euler has order 1.

# %%
questions.order()

# %% [markdown]
# We measure it twice. Left, the middle of the walk alone, from $\bar\alpha = 0.026$ to $0.66$. There $\epsilon$ changes
# smoothly from step to step, which the theory of orders assumes. Near the picture it does not: in the last timesteps
# $\sigma$ changes by large factors. Right, the whole walk, as a pipeline makes it.

# %%
steps = (10, 20, 40, 80, 160, 320)
schedulers = {
    "DDIM": (DDIMScheduler, {"clip_sample": False}),
    "PLMS": (PNDMScheduler, {"skip_prk_steps": True}),
    "F-PNDM": (PNDMScheduler, {"skip_prk_steps": False}),
}
measured = {}
for where in ("middle", "whole"):
    for name, (scheduler, options) in schedulers.items():
        measured[where, name] = orders(scheduler, mixture, steps, whole=where == "whole", **options)

# %% jupyter={"source_hidden": true}
figure = Plot(figsize=(8, 3), layout="constrained")
axes = figure.subplots(1, 2, sharey=True)
titles = {"middle": r"the middle: $\bar\alpha$ from 0.026 to 0.66", "whole": "the whole walk"}
for ax, (where, title) in zip(axes, titles.items(), strict=True):
    for name in schedulers:
        counts = [sampling.calls_of(name, N) for N in steps]
        ax.loglog(counts, measured[where, name].errors, "o-", label=name, markersize=4)
    ax.set(title=title, xlabel="calls of the network", xticks=(10, 40, 160), xticklabels=(10, 40, 160))
axes[0].set(ylabel="distance to the exact end")
axes[0].legend(frameon=False)
figure

# %% tags=["nbval-check-output"]
for (where, name), found in measured.items():
    if where == "middle":
        print(f"the middle, {name}: order {round(found.slopes[-1])}")
for where in titles:
    nearer = measured[where, "PLMS"].errors[1] < measured[where, "DDIM"].errors[-1]
    print(f"{where}: PLMS with 20 steps is nearer than DDIM with 320:", "yes" if nearer else "no")

# %% [markdown]
# In the middle PLMS with 20 steps beats DDIM with 320. On the whole walk it does not, and its error falls unevenly:
# there is no order to read off. Both begin alike. PLMS needs some 40 steps for what DDIM reaches with 320. That is the
# number to remember.

# %% [markdown]
# Why order 2, not 4? (12) assumes that the four predictions lie at *equal distances*. In $t$ they do. But the curve's
# own coordinate is $\sigma$: $d\bar x = \epsilon\, d\sigma$. In $\sigma$ the steps get shorter and shorter. So the mean
# over the step is taken in the wrong coordinate. Exercise 2 wins the lost orders back.

# %% jupyter={"source_hidden": true, "outputs_hidden": true}
for (where, name), found in measured.items():
    print(f"{titles[where] if where == 'whole' else 'the middle'}, {name}\n{found}\n")

# %% [markdown]
# ## Run it

# %%
images = pipe(8, latents=x_T, num_inference_steps=20).images
print(f"{len(images)} pictures by F-PNDM; 20 steps, {len(pipe.scheduler.timesteps)} calls each")
widgets.sheet(images, columns=8, size=96)

# %% [markdown]
# Which timesteps are kept? *Leading*, the published choice, takes multiples of $1000 / N$ for $N$ steps. The first of
# them is below 999 and depends on $N$. *Trailing* always begins at 999. To compare samplers on one curve, all must
# begin at one place. So here all are trailing, and no $\hat x_0$ is clipped.

# %% [markdown]
# One noise, ten steps by each. The slider shows both at the same $t$.

# %%
walks = {}
for name in ("DDIM, trailing", "PLMS, trailing"):
    walker = sampling.sampler(name, pipe)
    walker.set_progress_bar_config(disable=True)
    label = f"{name.partition(',')[0]}, {sampling.calls_of(name, 10)} calls"
    walks[label] = widgets.record(walker, latents=x_T[2:3], num_inference_steps=10)
widgets.scrub(*walks.values(), labels=list(walks), by="t")

# %% [markdown]
# How far do their pictures end from the end of the curve? For this we take F-PNDM with 100 steps as the end. We count
# in shades, for eight noises, and take the median: a few walks come to another picture, and would outweigh the others
# in a mean.

# %%
names = ("DDIM, trailing", "PLMS, trailing", "F-PNDM, trailing")
ends = sampling.draw(sampling.sampler("F-PNDM, trailing", pipe), x_T, 100)
far = {name: {} for name in names}
for name in names:
    for calls in (10, 20, 40):
        steps = calls - sampling.calls_of(name, 0)
        if steps >= 4:  # F-PNDM has three Runge-Kutta steps and needs one more
            drawn = sampling.draw(sampling.sampler(name, pipe), x_T, steps)
            far[name][calls] = 255 * sampling.squares(drawn, ends).sqrt().median().item()

# %% jupyter={"source_hidden": true}
figure = Plot(figsize=(6.4, 2.6), layout="constrained")
axes = figure.subplots()
for name, line in far.items():
    axes.loglog(list(line), list(line.values()), "o-", label=name.partition(",")[0])
axes.minorticks_off()
axes.set(xlabel="calls of the network", xticks=(10, 20, 40), xticklabels=(10, 20, 40))
axes.set(ylabel="distance, shades", yticks=(1, 2, 5, 10, 20), yticklabels=(1, 2, 5, 10, 20))
axes.legend(frameon=False)
figure

# %% tags=["nbval-check-output"]
for calls in (10, 20, 40):
    ratio = far["PLMS, trailing"][calls] / far["DDIM, trailing"][calls]
    nearer = "PLMS" if ratio < 0.8 else "DDIM" if ratio > 1.25 else "none"
    print(f"{calls} calls, nearer to the end of the curve: {nearer}")

# %% [markdown]
# With ten calls looking back misleads. From about 20 on it pays, as on the two heaps. F-PNDM spends 12 calls on its
# first three steps, so it pays later still.

# %% [markdown]
# ## The claim: 50 steps against 1000
#
# The paper's abstract: with 50 steps PNDM draws better pictures than DDIM with 1000. Its measure is the FID, on
# photographs. Ours is the Fréchet distance of lessons 2 and 3. Each sampler runs as published: DDIM clips $\hat x_0$,
# PNDM does not, and the timesteps are leading. Each has the same noises.

# %%
large = claims.measured("pndm")
claim = large["thousand_steps"]

# %% jupyter={"source_hidden": true}
entries = {f"{row['sampler']}, {row['calls']} calls": row["frechet"] for row in claim["rows"]}
statistics.bars(
    entries,
    f"Fréchet distance ({claim['samples']} pictures a row; less is better)",
    floor=claim["floor"],
)

# %% tags=["nbval-check-output"]
asked = lambda walk: f"{walk[0]} with {sampling.calls_of(*walk)} calls"
for part in (claim, large["as_many_calls"]):
    print(f"{part['samples']} pictures a row:")
    for two in part["comparisons"]:
        print(f"  {asked(two['better'])} is better than {asked(two['than'])}: {two['frechet']['verdict']}")

# %% [markdown]
# By this distance 500 pictures cannot tell PLMS with 20 calls from DDIM with 1000. But neither can they tell DDIM with
# 20 calls from it. So 1000 steps gain too little here for this test to decide the claim.

# %% [markdown]
# On CIFAR-10 the paper has a FID of 3.95 for F-PNDM with 59 calls; DDIM's paper has 4.67 for 50 steps, 4.04 for 1000.
#
# Against DDIM with as many calls, among 1,000 pictures, PLMS has the smaller distance each time. *Named* cannot tell
# them apart.

# %% [markdown]
# <details><summary>Why "yes", where the bars overlap?</summary>
#
# The bars' intervals say how different another 500 noises would be. But both samplers begin at the *same* noises, and
# where one fails the other often fails too. So the difference is measured with the same pictures left out or repeated
# on both sides. It varies less than either of the two.
# </details>

# %% [markdown]
# **Where it fails: too few calls.** 1,000 pictures a row, the same settings.

# %% jupyter={"source_hidden": true}
few = large["pndm_against_ddim"]
published = [row for row in few["rows"] if "trailing" not in row["sampler"]]
entries = {f"{row['sampler']}, {row['calls']} calls": row["frechet"] for row in published}
statistics.bars(entries, "Fréchet distance (less is better)", floor=few["floor"])

# %% tags=["nbval-check-output"]
frechet = {(row["sampler"], row["calls"]): row["frechet"] for row in published}
for name, calls in (("PLMS", 10), ("F-PNDM", 19)):
    better = statistics.verdict(frechet[name, calls], frechet["DDIM", calls], less_is_better=True)
    print(f"{name} with {calls} calls is better than DDIM with {calls}: {better}")

# %% [markdown]
# PLMS with 10 calls draws worse than DDIM, and so does F-PNDM with 19. Of the 19 calls of F-PNDM only seven come after
# its first three steps, so these steps are long.

# %% jupyter={"source_hidden": true, "outputs_hidden": true}
print(statistics.table(few))
print("\nlive, with few pictures:")
print(statistics.table(pndm.as_many_calls(pipe, samples=4, calls=(20,))[0]))

# %% [markdown]
# ## A call for nothing
#
# The published settings end at $\bar\alpha_0$, the level of timestep 0 (`set_alpha_to_one=False`). And the last call is
# made *at* timestep 0. What does this last step do?

# %% tags=["nbval-check-output"]
for to_one in (False, True):
    walker = PNDMPipeline(pipe.unet, PNDMScheduler.from_config(pipe.scheduler.config, set_alpha_to_one=to_one))
    walker.set_progress_bar_config(disable=True)
    x = widgets.record(walker, latents=x_T[:1], num_inference_steps=10).x
    moves = "the picture" if (x[-1] - x[-2]).abs().max() > 0 else "nothing"
    print(f"set_alpha_to_one={to_one}: the last step moves {moves}")

# %% [markdown]
# It goes from a noise level to the same level. The network is called, and its answer multiplied by 0. The noise of
# $\bar\alpha_0$ stays in the picture: 1.3 shades. These checkpoints are published so, and we keep it.

# %% [markdown]
# ## With the official weights

# %%
pictures = official.show(PNDMPipeline, "google/ddpm-cifar10-32", batch_size=4, num_inference_steps=12)

# %%
pictures = official.show(PNDMPipeline, "google/ddpm-ema-bedroom-256", gpu=True, batch_size=4, num_inference_steps=50)

# %% [markdown]
# ## Exercises
#
# Replace the `None` and run the cell: it says whether you are right, and if not, why. Hints and a solution are folded
# below.

# %% [markdown]
# **1. Where 55, -59, 37, -9 come from.** Count so that the step ahead goes from 0 to 1. The last four predictions were
# made at places $d$, a tensor of four numbers: $(0, -1, -2, -3)$ if all steps were alike. Give the four weights $w_j$
# for which $\sum_j w_j f(d_j)$ is the mean of $f$ over the step ahead, for every polynomial $f$ of degree up to 3.


# %%
def my_weights(d):
    return None  # instead: four weights


print(exercises.weights(my_weights))

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# It is enough that it holds for $1, x, x^2, x^3$: four equations for four weights.
# </details>
#
# <details><summary>Hint 2</summary>
#
# The mean of $x^k$ from 0 to 1 is $1 / (k + 1)$. `torch.linalg.solve(A, b)` solves $A w = b$; row $k$ of $A$ holds
# `d**k`.
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def my_weights(d):
#     powers = torch.arange(4, dtype=d.dtype)
#     return torch.linalg.solve(d ** powers[:, None], 1 / (powers + 1))
# ```
# </details>

# %% [markdown]
# **2. The lost orders.** Your weights work for unequal distances too. So measure distance in $\sigma$ and not in $t$.
# You get $\sigma$ at the last four predictions, newest first, and at the end of the step. Say what $d$ is. The check
# walks the two heaps with it, after three exact steps, and measures the order.


# %%
def my_places(sigmas, sigma_next):
    return None  # instead: the four places d, with 0 for the newest prediction and 1 for the end of the step


print(exercises.order(my_places, my_weights))

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Move and stretch: the newest $\sigma$ becomes 0, and `sigma_next` becomes 1.
# </details>
#
# <details><summary>Hint 2</summary>
#
# Subtract the newest $\sigma$ from all. Then divide by what the last one, `sigma_next`, has become.
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def my_places(sigmas, sigma_next):
#     return (sigmas - sigmas[0]) / (sigma_next - sigmas[0])
# ```
# The sampler that does this is known as LMS.
# </details>

# %% [markdown]
# **3. $\phi$, on paper.** Lesson 3 writes $\phi$ as $\bar x_{t-\delta} = \bar x_t + \big(\sigma(t-\delta) -
# \sigma(t)\big)\,\epsilon$. Derive (9) from it on paper. Then write one of the two forms. The check asks for two
# properties: two steps along the same noise are one long step, and a world with a single drawing is walked exactly.


# %%
def my_phi(x_t, eps, alpha_bar_t, alpha_bar_prev):
    return None  # instead: x at alpha_bar_prev


print(exercises.phi(my_phi))

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Put in $\bar x = x / \sqrt{\bar\alpha}$ and multiply by $\sqrt{\bar\alpha_{t-\delta}}$. Now write the difference of
# both $\sigma$ as one fraction.
# </details>
#
# <details><summary>Hint 2</summary>
#
# Its numerator is a difference of two roots, $p - q$. Multiply above and below by $p + q$: above stands $p^2 - q^2$.
# </details>
#
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
# With $p^2 = (1 - \bar\alpha_{t-\delta})\,\bar\alpha_t$ and $q^2 = (1 - \bar\alpha_t)\,\bar\alpha_{t-\delta}$ one gets
# $p^2 - q^2 = -(\bar\alpha_{t-\delta} - \bar\alpha_t)$, the numerator of (9).
# </details>

# %% [markdown]
# ## What the ledger says
#
# Paper, original code and the library `diffusers` differ in five places. One is the call for nothing. All are folded
# here:

# %% jupyter={"source_hidden": true, "outputs_hidden": true}
from minidiff.papers import ledger  # noqa: E402

for entry in ledger.pndm.ENTRIES:
    print(entry, end="\n\n")

# %% [markdown]
# ## Where to read on
#
# * [The paper](https://arxiv.org/abs/2202.09778): section 3.3 for the methods, the appendix for the proof of order 2.
# * Hairer, Nørsett & Wanner, [*Solving Ordinary Differential Equations
#   I*](https://doi.org/10.1007/978-3-540-78862-1), sections II.1 and III.1: Runge-Kutta and Adams.
# * [Lin et al.](https://arxiv.org/abs/2305.08891): at which timestep a walk should begin.
# * [Lu et al.](https://arxiv.org/abs/2211.01095), *DPM-Solver++*: the same idea in a coordinate that suits the network
#   better.
