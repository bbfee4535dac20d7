# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 0. Start here
#
# In ten minutes you will have
#
# * drawn pictures with a diffusion model that runs on your own processor,
# * watched one of them come out of noise, step by step,
# * read the line of code that does it beside the equation that it implements,
# * asked a machine whether the two agree.
#
# No account, no download, no GPU. The weights, a few megabytes, came with the package. All cells together run in half a
# minute.

# %%
import torch

import minidiff
from minidiff import DDIMPipeline, DDIMScheduler, widgets, zoo
from minidiff.course.exercises import start_here as exercises

device = "cuda" if torch.cuda.is_available() else "cpu"
print("runs on the", {"cuda": "GPU", "cpu": "processor"}[device])

# %% [markdown]
# ## A picture
#
# A *pipeline* is a trained network and a rule for using it. This one is a DDIM; lesson 3 is about it. We ask for eight
# pictures, and hand over the one thing that they depend on: a source of random numbers with a seed.

# %%
pipe = DDIMPipeline.from_pretrained(zoo.path("storybook-ddpm")).to(device)
pipe.set_progress_bar_config(disable=True)

images = pipe(batch_size=8, generator=torch.Generator().manual_seed(7), num_inference_steps=50).images
widgets.sheet(images, columns=8, size=96)

# %% [markdown]
# Nobody drew these. The network has seen 50,000 drawings of a small world, made of six objects, eight colours, four
# times of day and, sometimes, mountains. Here are four drawings of that world, made by a program:

# %%
drawings = [zoo.world.draw(seed=seed, size=32) for seed in (3, 14, 15, 92)]
for drawing in drawings:
    print(drawing.caption)
widgets.sheet([drawing.image for drawing in drawings], columns=4, size=96)

# %% [markdown]
# ## Where the picture comes from
#
# The walk begins at pure noise, here called $x_T$, and ends at a picture, $x_0$. In between, at every step, the network
# is shown the picture of the moment, $x_t$, and asked one question: *which part of this is noise?* Take away what it
# answers and you get the picture that it believes in at this moment, $\hat x_0$.
#
# **Before you move the slider: what will the network believe in when it is shown nothing but noise?**

# %%
walk = widgets.record(pipe, generator=torch.Generator().manual_seed(7), num_inference_steps=24)
widgets.scrub(walk)

# %% [markdown]
# Nothing that one could name: coloured fog, since it has next to nothing to go by (lesson 2 says why it is coloured).
# Then a sky, then a shape, then a thing. It commits to large features first and to small ones last. Lesson 2 puts a
# number on that.
#
# ## Same seed, same picture
#
# After $x_T$ nothing in this pipeline is random. So the seed is the picture's address. Is it, even if the picture is
# drawn alone, or in company?

# %% tags=["nbval-check-output"]
alone = pipe(1, torch.Generator().manual_seed(3), num_inference_steps=10, output_type="pt").images
seeds = [torch.Generator().manual_seed(seed) for seed in (1, 2, 3)]
company = pipe(3, seeds, num_inference_steps=10, output_type="pt").images
print(tuple(alone.shape), tuple(company.shape))
print("the third of three is the one drawn alone:", "yes" if (company[2] - alone[0]).abs().max() < 1e-3 else "no")

# %% [markdown]
# ## What is a picture worth?
#
# Looking is good, counting is better. The zoo has an *evaluator*, a small network that names what a picture of this
# world shows, and says "none of these" to rubbish. It judges every model in this course.

# %%
few = pipe(64, torch.Generator().manual_seed(0), num_inference_steps=3, output_type="pt").images
many = pipe(64, torch.Generator().manual_seed(0), num_inference_steps=20, output_type="pt").images
named = {steps: zoo.evaluate(images.cpu())["named"] for steps, images in ((3, few), (20, many))}
for steps, share in named.items():
    print(f"{steps:2} steps: {100 * share:.0f} % of 64 pictures show an object beyond doubt")

# %% tags=["nbval-check-output"]
print("more steps, better pictures:", "yes" if named[20] > named[3] else "no")

# %% [markdown]
# ## The code beside its equations
#
# This is the whole step from $x_t$ to $x_{t-1}$: each equation of the paper, with its number, beside the line that
# computes it. It is the code that just ran, read from the installed package. **Point at a letter**: wherever equations
# and code mean the same thing, it lights up, and a line says what it stands for.

# %%
minidiff.read(DDIMScheduler.step)

# %% [markdown]
# An equation beside a line is a comment, and comments lie. Here they cannot: a checker reads the equation, works it out
# on the same numbers as the line, and compares. Then it makes misprints, a plus for a minus, one name for another, and
# demands that each is noticed. This is the check of the whole package (`minidiff pairs` prints it):

# %% tags=["nbval-check-output"]
from minidiff.papers.check import report  # noqa: E402

checked = report.check_package()
print("equations that do not hold:", len(checked.failures))

# %% [markdown]
# ## What else is promised
#
# **One to one.** The weights that the papers' authors published load into the same classes, and the pictures are
# those of the original code. Where a paper, its code and today's libraries disagree, a *ledger* says so. One of its
# entries:

# %%
from minidiff.papers import ledger  # noqa: E402

print(ledger.entry("DDIM target"))

# %% [markdown]
# **Runs anywhere.** Every lesson runs on two processor cores in less than a minute, with the weights of the package.
# With a GPU the same lesson runs there, and shows what the large networks draw.
#
# ## The map
#
# | lesson | what you can do afterwards |
# |---|---|
# | [2. DDPM](02_ddpm.ipynb) | derive the step from noise to picture, and train a network for it |
# | [3. DDIM](03_ddim.ipynb) | draw in a fifth of the steps, and turn pictures back into noise |
# | [4. PNDM](04_pndm.ipynb) | follow the same curve with a better ruler, and measure how good it is |
#
# ## Exercises
#
# Each is checked by a property that only a right answer has: `minidiff.read(exercises)` shows it. Replace the `...`;
# a solution is folded below each.
#
# **1. A callback.** Every pipeline calls a function of yours after each step: `f(pipe, i, t, tensors)`. Write one that
# stops the walk after the fifth step. (The loop ends when somebody sets `pipe.interrupt = True`.)


# %%
def stop_after_five(pipe, i, t, tensors): ...


print(exercises.stop_after_five(stop_after_five, pipe))

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def stop_after_five(pipe, i, t, tensors):
#     pipe.interrupt = i == 4  # the first step is number 0
# ```
# </details>
#
# **2. Half way.** `latents=` starts a walk from noise of your own. Make a noise that is half way between those of the
# seeds 1 and 2. The check is about its size: the numbers of a noise have variance 1, and so must yours.


# %%
def half_way(a, b): ...  # two noises, (1, 3, 32, 32) each


print(exercises.half_way(half_way))

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def half_way(a, b):
#     return (a + b) / 2**0.5  # variances add, so the mean (a + b) / 2 would have a variance of one half
# ```
# Then look at `pipe(latents=half_way(torch.randn(1, 3, 32, 32), torch.randn(1, 3, 32, 32))).images[0]`. Lesson 3
# walks the whole way.
# </details>
#
# **3. What the network believes.** Without noise the network has nothing to find. Show it a clean drawing and tell it
# that `t = 0`: how large is the noise that it reports, as a standard deviation? Compare with what it reports for
# pure noise and `t = 999`. The check asks that your two numbers are what a good network says.


# %%
def reported_noise(unet, x, t): ...  # unet(x, t).sample is what the network says; return its standard deviation


print(exercises.reported_noise(reported_noise, pipe.unet))

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def reported_noise(unet, x, t):
#     return unet(x, t).sample.std().item()
# ```
# It does not report zero for the clean drawing: at `t = 0` there always *was* a little noise in training, of standard
# deviation 0.01, and the network, asked for it in units of its own size, makes out what it can.
# </details>
#
# ## Where to read on
#
# * [Lesson 2](02_ddpm.ipynb), from the beginning: what noise does to a picture, and why it can be undone.
# * Lilian Weng, *What are diffusion models?*, for the mathematics in one sitting.
# * `minidiff --help`, for what can be done without a notebook.
