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
# * drawn pictures with a diffusion model, on your own computer,
# * watched one of them come out of noise, step by step,
# * read the line of code that does it, beside the equation that it computes,
# * asked a machine whether the two agree.

# %% [markdown]
# **You need:** this notebook, and nothing else. No account, no download, no GPU; no mathematics, and no experience with
# neural networks. The exercises ask for a little Python.
#
# **To skip:** the exercises, if you have only ten minutes. No later lesson needs them.

# %% [markdown]
# | section | minutes |
# |---|---|
# | A picture | 1 |
# | Where the picture comes from | 3 |
# | Same seed, same picture | 1 |
# | How good are the pictures? | 1 |
# | The code beside its equations | 3 |
# | What comes next | 1 |
# | Exercises | 15 |
# | Where to read on | 1 |

# %%
import torch

import minidiff
from minidiff import DDIMPipeline, DDIMScheduler, widgets, zoo
from minidiff.course.exercises import start_here as exercises
from minidiff.course.questions import start_here as questions

device = "cuda" if torch.cuda.is_available() else "cpu"
print("runs on the", {"cuda": "GPU", "cpu": "processor"}[device])

# %% [markdown]
# ## A picture
#
# *Noise* is a picture made of random numbers. A *diffusion model* turns noise into a picture that looks like those it
# has learnt from. It has two parts: a *network*, a function with 2.4 million numbers, adjusted by training, and a rule
# for using it, called a *scheduler*. Both together are a *pipeline*, or a *sampler*.

# %% [markdown]
# We load a pipeline and ask for eight pictures. Its rule is called DDIM; lesson 3 explains it. The number 3 is a
# *seed*: it decides which random numbers come. So you get the same eight pictures as we did.

# %%
pipe = DDIMPipeline.from_pretrained(zoo.path("storybook-ddpm")).to(device)
pipe.set_progress_bar_config(disable=True)

images = pipe(batch_size=8, generator=torch.Generator().manual_seed(3), num_inference_steps=50).images
widgets.sheet(images, columns=8, size=96)

# %% [markdown]
# Nobody drew these. (The second one is not quite right. How often that happens, we count below.) The network has learnt
# from 50,000 drawings of a small world: six objects, eight colours, and four kinds of sky (day, sunset, night, snow),
# with or without mountains. Those drawings were made by a program. Here are four:

# %%
drawings = [zoo.world.draw(seed=seed, size=32) for seed in (3, 14, 15, 92)]
for drawing in drawings:
    print(drawing.caption)
widgets.sheet([drawing.image for drawing in drawings], columns=4, size=96)

# %% [markdown]
# ## Where the picture comes from
#
# A picture is made in many steps. They begin with pure noise, called $x_T$, and end with a picture, $x_0$. At each step
# the network looks at the picture so far, $x_t$, and answers one question: *which part of this is noise?* A little of
# it is removed. We record 24 steps.

# %%
walk = widgets.record(pipe, generator=torch.Generator().manual_seed(3), num_inference_steps=24)

# %% jupyter={"source_hidden": true} tags=["diagram"]
i = 18
widgets.diagram(
    {
        "x_t": (1.0, 1.55, walk.x[i][0], "$x_t$, the picture so far"),
        "network": (2.6, 1.55, "network"),
        "eps": (4.1, 1.55, walk.eps[i][0] / 3, "what it takes for noise"),
        "rule": (5.7, 1.55, "rule: remove\na little of it"),
        "x_prev": (7.3, 1.55, walk.x[i + 1][0], "the next picture"),
    },
    [
        ("x_t", "network"),
        ("network", "eps"),
        ("eps", "rule"),
        ("rule", "x_prev"),
        ("x_t", "rule", "", -0.35),
        ("x_prev", "x_t", "again, until no noise is left", -0.28),
    ],
    width=8.1,
    height=2.9,
)

# %% [markdown]
# If we removed *all* of that noise at once, we would see the picture that the network believes in at this moment. It is
# called $\hat x_0$. (A hat on a letter means: a guess of it.) Here is a question about it. Choose first, then look.

# %%
questions.first_belief()

# %% [markdown]
# Now press the play button, or move the slider. On the left is $x_t$, in the middle $\hat x_0$, on the right the noise
# that the network sees (a third of it, to make it easier to look at).

# %%
widgets.scrub(walk)

# %% [markdown]
# The first $\hat x_0$ is grainy, but nearly the mean of all drawings: a sky, a ground, something brown in the middle, a
# sun or moon on the left *and* on the right. Then it is night. The brown thing becomes a tree, and one of the moons
# goes. Large things are decided first, small ones last. Lesson 2 measures this.

# %% [markdown]
# ## Same seed, same picture
#
# After the first noise, nothing in this pipeline is random. So the seed decides the whole picture. Does it matter
# whether the picture is made alone, or together with others? We make the picture of seed 3 both ways.

# %% tags=["nbval-check-output"]
alone = pipe(1, torch.Generator().manual_seed(3), num_inference_steps=10, output_type="pt").images
seeds = [torch.Generator().manual_seed(seed) for seed in (1, 2, 3)]
company = pipe(3, seeds, num_inference_steps=10, output_type="pt").images
print(tuple(alone.shape), tuple(company.shape))  # how many, colours, height, width
print("the third of three is the one made alone:", "yes" if (company[2] - alone[0]).abs().max() < 1e-3 else "no")

# %% [markdown]
# ## How good are the pictures?
#
# Looking is good, counting is better. The *evaluator* is a second small network. It says what a picture of this world
# shows, or "none of these". We call a picture *named* if the evaluator is at least 90 % sure of its object. We count
# among 64 pictures, made in 3 steps and in 20.

# %%
few = pipe(64, torch.Generator().manual_seed(0), num_inference_steps=3, output_type="pt").images
many = pipe(64, torch.Generator().manual_seed(0), num_inference_steps=20, output_type="pt").images
named = {steps: zoo.evaluate(images.cpu())["named"] for steps, images in ((3, few), (20, many))}
for steps, share in named.items():
    print(f"{steps:2} steps: {100 * share:.0f} % of 64 pictures are named")

# %% tags=["nbval-check-output"]
print("more steps, more pictures are named:", "yes" if named[20] > named[3] else "no")

# %% [markdown]
# ## The code beside its equations
#
# Here is the whole rule, the code that has just run. Each equation of the paper, with its number there, stands beside
# the line that computes it. You need not understand it today. **Point at a letter**: it lights up wherever it stands,
# and a line says what it means.

# %%
minidiff.read(DDIMScheduler.step)

# %% [markdown]
# An equation beside a line is only a comment, and comments can be wrong. So a program, the checker, computes the
# equation with the same numbers as the line, and compares. No program compares the equation with the printed paper.
# That is left to people: to us, and to you. The number says where to look.

# %% [markdown]
# Does the checker notice errors? It makes some, one at a time: in the line of code it turns a plus into a minus, or
# takes another name. Each of these *misprints* should be noticed. Here is the check of the whole package (some ten
# seconds). A *pair* is a line and its equations.

# %%
from minidiff.papers.check import report  # noqa: E402

checked = report.check_package()
print(report.summary(checked))

# %% tags=["nbval-check-output"]
print("every line agrees with its equation:", "no" if checked.failures else "yes")

# %% [markdown]
# A misprint that is not noticed must be one that changes nothing, and stand in a list, with the reason. In a terminal,
# `minidiff pairs` prints all of it.

# %% [markdown]
# ## What comes next
#
# | lesson | what you can do afterwards |
# |---|---|
# | [1. Noise and denoiser](01_noise_and_denoiser.ipynb) | write and train a denoiser of your own in half a minute |
# | [2. DDPM](02_ddpm.ipynb) | derive the step from noise to picture |
# | [3. DDIM](03_ddim.ipynb) | draw in a fifth of the steps, and turn pictures back into noise |
# | [4. PNDM](04_pndm.ipynb) | say what a better step costs, and when it pays |

# %% [markdown]
# All lessons run on two processor cores in less than a minute each. At the end of most, the same code loads the large
# networks that the papers' authors published. That needs a connection, and sometimes a GPU; without them the lesson
# says so and goes on.

# %% [markdown]
# ## Exercises
#
# Replace the `...` and run the cell. It says whether you are right, and if not, what is wrong. Below each cell two
# hints and a solution are folded.

# %% [markdown]
# **1. A cat at night (open: many answers are right).** Find a seed whose picture, in 20 steps, shows a cat at night.
# About one picture in 24 does.

# %%
seed = ...

print(exercises.cat_at_night(seed, pipe))

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# You can try one seed after the other. It is faster to draw many pictures at once, each with its own seed.
# </details>
#
# <details><summary>Hint 2</summary>
#
# The section "Same seed, same picture" gives the pipeline a list of three seeds. Give it 48, and show the sheet.
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# seeds = [torch.Generator().manual_seed(seed) for seed in range(48)]
# widgets.sheet(pipe(48, seeds, num_inference_steps=20).images, columns=8)  # look at it, and count from 0
# seed = 24
# ```
# </details>

# %% [markdown]
# **2. Stop after five.** A pipeline calls a function of yours after each step, as `f(pipe, i, t, tensors)`; `i` is the
# number of the step. If the function sets `pipe.interrupt = True`, the walk ends. End it after the fifth step.


# %%
def stop_after_five(pipe, i, t, tensors): ...


print(exercises.stop_after_five(stop_after_five, pipe))

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# The function is called 20 times. At which call must it act, and what must it leave alone at the others?
# </details>
#
# <details><summary>Hint 2</summary>
#
# Python counts from 0: the first step has `i = 0`, so the fifth has `i = 4`.
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def stop_after_five(pipe, i, t, tensors):
#     if i == 4:
#         pipe.interrupt = True
# ```
# </details>

# %% [markdown]
# **3. Half way.** A walk can begin with noise of your own: `pipe(latents=...)`. Make a noise half way between two
# others. It must be noise itself: the *variance* of its numbers, the mean of their squares, must be 1. (That of both
# others is 1.)


# %%
def half_way(a, b): ...  # two noises, each (1, 3, 32, 32): one picture, three colours, 32 times 32 pixels


print(exercises.half_way(half_way))

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Try the mean, `(a + b) / 2`, and read what the check says of its variance.
# </details>
#
# <details><summary>Hint 2</summary>
#
# The noises have nothing to do with each other, so the variance of `a + b` is 1 + 1 = 2. If you divide numbers by $c$,
# their variance is divided by $c^2$.
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def half_way(a, b):
#     return (a + b) / 2**0.5
# ```
# Look at its picture: `pipe(latents=half_way(torch.randn(1, 3, 32, 32), torch.randn(1, 3, 32, 32))).images[0]`. Lesson
# 3 walks the whole way from one picture to another.
# </details>

# %% [markdown]
# ## Where to read on
#
# * [Lesson 1](01_noise_and_denoiser.ipynb): train a network yourself, and see why it answers with a mean.
# * Lilian Weng, [*What are diffusion models?*](https://lilianweng.github.io/posts/2021-07-11-diffusion-models/): all
#   the mathematics on one page.
# * `minidiff --help` in a terminal: what can be done without a notebook.
