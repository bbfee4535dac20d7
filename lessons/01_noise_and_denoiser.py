# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 1. Noise, and a network that undoes it
#
# You train a diffusion model, a network that makes data out of noise, in half a minute. Then you can
#
# * write a denoiser, train it, walk from noise to data,
# * say why the network answers with a mean, and why one step is not enough,
# * name the parts of a U-Net.

# %% [markdown]
# **You need:** some Python and PyTorch (tensors, layers), and what a mean and a variance are. Lesson 0 helps, but is
# not needed.
#
# **To skip:** "Arrows", which lessons 2 to 4 do not need; "From points to pictures", if you know the U-Net.

# %% [markdown]
# | section | minutes |
# |---|---|
# | Points and noise | 5 |
# | A denoiser | 5 |
# | The walk | 5 |
# | The training | 5 |
# | The answer is a mean | 10 |
# | Why not all at once? | 5 |
# | Arrows | 5 |
# | From points to pictures | 10 |
# | Exercises | 30 |
# | Where to read on | 1 |

# %%
import torch
from IPython.display import HTML, display
from torch import nn
from torch.nn.functional import silu

from minidiff import DDIMPipeline, DDPMScheduler, widgets, zoo
from minidiff.course import architecture, points
from minidiff.course.claims import sampling
from minidiff.course.exercises import noise_and_denoiser as exercises
from minidiff.course.questions import noise_and_denoiser as questions
from minidiff.models.embeddings import timestep_embedding

generator = torch.Generator().manual_seed(0)  # all chance in this lesson comes from here

# %% [markdown]
# ## Points and noise
#
# A picture is a list of numbers, 3,072 for a small one. That is hard to see. Our first data have two numbers only: each
# is a point in the plane, called $x_0$, near a spiral.
#
# *Noise*, $\epsilon$ (epsilon), is a random point. Its two numbers are normal, with mean 0 and variance 1.

# %% [markdown]
# We mix the two. At *time* $t$, from 0 to 999, the noised point is
#
# $$x_t = a_t\, x_0 + b_t\, \epsilon.$$
#
# $a_t$ says how much of the point is left, $b_t$ how much noise there is; $a_t^2 + b_t^2 = 1$. At $t = 0$ nearly all is
# point, at $t = 999$ nearly all is noise. Lesson 2 says why.

# %%
alpha_bar = DDPMScheduler().alpha_bar  # lesson 2 is about this table
a, b = alpha_bar**0.5, (1 - alpha_bar) ** 0.5


def noised(x_0, eps, t):
    return a[t, None] * x_0 + b[t, None] * eps  # (n, 2)


x_0, eps = points.spiral(1000, generator), torch.randn(1000, 2, generator=generator)
clouds = {}
for t in (0, 100, 300, 600, 999):
    clouds[f"t = {t}: a = {a[t]:.2f}, b = {b[t]:.2f}"] = noised(x_0, eps, torch.tensor([t]))
points.panels(clouds)

# %% [markdown]
# ## A denoiser
#
# Adding noise is easy. Can it be undone? We want a network that is shown $x_t$ and $t$, and says which point it was.
# Its answer is called $\hat x_0$ (the hat means "guess").
#
# Ours has four layers. To see fine detail it also gets sines and cosines of what it is shown.


# %%
class Denoiser(nn.Module):
    def __init__(self, width=128):
        super().__init__()
        self.waves = torch.pi * 2.0 ** torch.arange(-1, 4)  # five waves, from long to short
        self.layers = nn.Sequential(
            nn.Linear(3 + 3 * 5 * 2, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, 2),
        )

    def forward(self, x_t, t):
        shown = torch.cat([x_t, t[:, None] / 1000], dim=1)  # (n, 3)
        angles = (shown[:, :, None] * self.waves).flatten(1)  # (n, 15)
        return self.layers(torch.cat([shown, angles.sin(), angles.cos()], dim=1))  # (n, 2), the guess


# %% [markdown]
# ## The walk
#
# To make a new point, a *particle* starts at pure noise and walks from $t = 999$ to 0. Each step has three lines:
#
# 1. Ask the network for $\hat x_0$.
# 2. Compute the noise that goes with it, $\hat\epsilon = (x_t - a_t \hat x_0) / b_t$.
# 3. Mix the two again, with a little less noise.


# %%
def walk_times(steps):
    # The square makes small steps at small times, where the shape is decided.
    return (999 * torch.linspace(1, 0, steps + 1) ** 2).round().long()


@torch.no_grad()
def walk(network, x, steps):
    times = walk_times(steps)
    places = [x]
    for t, t_next in zip(times, times[1:]):
        x_0_hat = network(x, t.expand(len(x)))
        eps_hat = (x - a[t] * x_0_hat) / b[t]
        x = a[t_next] * x_0_hat + b[t_next] * eps_hat
        places.append(x)
    return places


# %% [markdown]
# ## The training
#
# Take points, noise them, let the network guess, and compare. The *loss* of one point is its squared error:
#
# $$L = \lVert x_0 - \hat x_0 \rVert^2 / 2.$$
#
# (The bars mean length; we divide by 2, the count of numbers in a point.) Training makes its mean over many points
# small.

# %%
questions.loss()


# %%
def train(network, steps, watch):
    optimiser = torch.optim.Adam(network.parameters())
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, steps)  # how fast it learns: up, then down to 0
    for step in range(1, steps + 1):
        x_0, eps = points.spiral(256, generator), torch.randn(256, 2, generator=generator)
        t = (1000 * torch.rand(256, generator=generator) ** 2).long()  # small times more often
        loss = (x_0 - network(noised(x_0, eps, t), t)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rate.step()
        watch(step, loss.item())


# %% [markdown]
# Now train, and watch. On the left the loss falls. On the right 300 particles walk with the network as it is at that
# moment. They always start from the same noise. When the training is over, the slider shows it again.

# %%
every = 300
losses, frames, start = [], [], torch.randn(300, 2, generator=generator)


def watch(step, loss):
    losses.append(loss)
    if step % every == 0:
        frames.append(points.progress(losses, walk(network, start, steps=20)[-1]))
        live.update(HTML(frames[-1]))


# %%
torch.manual_seed(0)  # for the first weights
network = Denoiser()
live = display(HTML("The first picture comes after 300 steps of training."), display_id=True)
train(network, 6000, watch)
live.update(widgets.player(frames, "training", [f"step {(k + 1) * every}" for k in range(len(frames))]))

# %% [markdown]
# Did it work? We count how many of 2,000 new particles end near the spiral: at most 0.2 away from its line. Of true
# data nearly all are.

# %%
new = walk(network, torch.randn(2000, 2, generator=generator), steps=50)
share, of_data = points.share_near(new[-1]), points.share_near(points.spiral(2000, generator))
print(f"near the spiral: {100 * share:.0f} % of the particles, {100 * of_data:.0f} % of true data")
print(f"loss: {sum(losses[:50]) / 50:.2f} in the first 50 steps, {sum(losses[-500:]) / 500:.2f} in the last 500")

# %% tags=["nbval-check-output"]
print("at least three of four particles end near the spiral:", "yes" if share >= 0.75 else "no")

# %% [markdown]
# Here is their walk, in 50 steps. Move the slider: the spiral gets its shape late, below $t = 100$.

# %%
shown = [*range(0, 45, 4), *range(45, 51)]
times = walk_times(50).tolist()
clouds = [points.cloud(new[k][:300], f"t = {times[k]}") for k in shown]
widgets.player(clouds, "step", [f"{k} of 50" for k in shown])

# %%
points.panels({f"t = {times[k]}": new[k] for k in (0, 20, 35, 45, 50)})

# %% [markdown]
# ## The answer is a mean
#
# The loss does not fall to 0. Why? Many points can become the same $x_t$: a near one with little noise, a far one with
# much. The network does not know which it was. It has to give one answer for all.

# %% [markdown]
# Which answer costs least? Let $m$ be the mean of all possible $x_0$. For any answer $c$
#
# $$\text{mean of } \lVert x_0 - c \rVert^2 = \text{mean of } \lVert x_0 - m \rVert^2 + \lVert m - c \rVert^2.$$
#
# The first part does not depend on the answer. The second is 0 only for $c = m$. So squared error makes the mean the
# best answer.

# %% [markdown]
# <details><summary>Why is that so? Three lines</summary>
#
# Write $x_0 - c = (x_0 - m) + (m - c)$ and square:
#
# $$\lVert x_0 - m \rVert^2 + 2\,(x_0 - m) \cdot (m - c) + \lVert m - c \rVert^2.$$
#
# Take the mean over all $x_0$. In the middle part only $x_0 - m$ varies, and its mean is 0: $m$ is the mean of $x_0$.
# So the middle part is gone.
# </details>

# %% [markdown]
# Does the network know? We count. Noise two million points to $t = 200$, keep those that land within 0.1 of one place,
# and look which points they were: the possible ones. Their mean should be the network's answer at this place. In the
# picture this mean lies between two arms of the spiral, where no point is.

# %%
place, t = torch.tensor([0.4, 0.8]), torch.tensor([200])
x_0 = points.spiral(2_000_000, generator)
x_t = noised(x_0, torch.randn(x_0.shape, generator=generator), t)
possible = x_0[(x_t - place).norm(dim=1) < 0.1]
with torch.no_grad():
    x_0_hat = network(place[None], t)[0]
m = possible.mean(dim=0)
print(f"{len(possible)} points; their mean is ({m[0]:.2f}, {m[1]:.2f})")
print(f"the network's answer is      ({x_0_hat[0]:.2f}, {x_0_hat[1]:.2f})")

# %% tags=["nbval-check-output"]
print("the network answers the mean of the possible points:", "yes" if (m - x_0_hat).norm() < 0.2 else "no")

# %% jupyter={"source_hidden": true}
figure = points.panels({"the possible points": possible[:1500]}, size=3)
marks = figure.axes[0]
marks.plot(*place, "k+", markersize=12, label="$x_t$, what is shown")
marks.plot(*m, "o", color="#c1571b", markersize=9, label="their mean")
marks.plot(*x_0_hat, "x", color="black", label=r"$\hat x_0$, the answer")
marks.legend(fontsize=7, loc="upper left", framealpha=0.9)
figure

# %%
questions.all_noise()

# %% [markdown]
# ### The same in pictures
#
# The network of lesson 0 does the same with drawings. It was trained to answer the noise, $\hat\epsilon$, and not the
# picture. Each follows from the other: $\hat x_0 = (x_t - b_t \hat\epsilon) / a_t$.

# %% [markdown]
# Below: the mean of 1,000 drawings, $\hat x_0$ for two noises at $t = 999$, and the mean of $\hat x_0$ for 64 noises.

# %%
drawings = sampling.drawings(1000, size=32, seed=0)  # (1000, 3, 32, 32)
mean = drawings.mean(dim=0)

pipe = DDIMPipeline.from_pretrained(zoo.path("storybook-ddpm"))
x_T = torch.randn(64, 3, 32, 32, generator=generator)
with torch.no_grad():
    eps_hat = pipe.unet(x_T, 999).sample
x_0_hat = (x_T - b[999] * eps_hat) / a[999]
rows = torch.stack([mean, x_0_hat[0], x_0_hat[1], x_0_hat.mean(dim=0)])
widgets.sheet(sampling.images((rows / 2 + 0.5).clamp(0, 1)), columns=4, size=160)

# %% [markdown]
# A blue sky, two pale moons, a brown blob, green ground: what drawings share is in the mean. A single $\hat x_0$ has
# coloured grain on top, the network's error. In $\hat\epsilon$ it is small, but we divide by $a_{999} = 0.006$. In the
# mean of many answers most of it cancels.

# %% tags=["nbval-check-output"]
distance = lambda x: (x - mean).square().mean(dim=(-3, -2, -1)).sqrt()
nearer = distance(x_0_hat.mean(dim=0)) < distance(drawings).min() / 2
print("64 answers together are twice as near to the mean as any drawing:", "yes" if nearer else "no")

# %% [markdown]
# ## Why not all at once?
#
# The network gives an answer at once, from pure noise. The walk asks it 50 times.

# %%
x = torch.randn(2000, 2, generator=generator)
ends = {steps: walk(network, x, steps)[-1] for steps in (1, 2, 5, 10, 50)}
shares = {steps: points.share_near(end) for steps, end in ends.items()}
questions.at_once(shares[1], shares[50])

# %%
points.panels({f"steps: {steps}, near: {100 * shares[steps]:.0f} %": end for steps, end in ends.items()})

# %% tags=["nbval-check-output"]
print("one step:  less than a tenth end near the spiral:", "yes" if shares[1] < 0.1 else "no")
print("50 steps:  at least three of four do:            ", "yes" if shares[50] >= 0.75 else "no")

# %% [markdown]
# A small step needs only a direction. When it is made there is a little less noise, so fewer points are possible,
# and their mean is a better answer. At the end hardly more than one point is possible: there the mean *is* a point.
# Each step is small, and nearly right.

# %% [markdown]
# ## Arrows
#
# At every place the network says where to go: towards $a_t \hat x_0$, which is $x_t$ without its noise. This arrow,
# divided by the variance of the noise, is called the *score*:
#
# $$s(x_t) = \frac{a_t\,\hat x_0 - x_t}{b_t^2}.$$
#
# If the answer is the mean, the score points where noised data lie denser. It is the slope of the logarithm of their
# density (exercise 2).

# %% jupyter={"source_hidden": true}
line = torch.linspace(-2.7, 2.7, 17)
grid = torch.cartesian_prod(line, line)
seen = {k: new[k][:500] for k in (15, 30, 45)}
figure = points.panels({f"t = {times[k]}": cloud for k, cloud in seen.items()}, size=3)
for axes, k in zip(figure.axes, seen):
    t = torch.tensor(times[k])
    with torch.no_grad():
        score = (a[t] * network(grid, t.expand(len(grid))) - grid) / b[t] ** 2
    axes.quiver(*grid.T, *(score / score.norm(dim=1, keepdim=True).clamp(min=1e-6)).T, color="#c1571b", width=0.004)
figure

# %% [markdown]
# Blue are the particles of the walk at that time. All arrows are drawn equally long; only their directions count here.
# With much noise all arrows point to the middle. With little noise those near the spiral point to its nearest part.

# %% [markdown]
# ## From points to pictures
#
# For pictures the training, the walk and the reason stay the same. Only the network changes: to a *U-Net*. It must see
# two things: the whole (is there a sky?) and each pixel (which part of it is noise?).

# %% jupyter={"source_hidden": true} tags=["diagram"]
architecture.diagram(pipe.unet)

# %% [markdown]
# A *map* is a picture of some feature, such as edges. On the way down (blue) there are ever more maps, each smaller,
# so that far pixels meet. On the way up (green) they grow again. Small maps do not know where exactly an edge was. So
# the maps of the way down are kept, and put beside.

# %% [markdown]
# Here is the same network, called part by part. `temb` is the time as a list of numbers, told to every block. `kept` is
# the list of maps for the way up. `silu` is the smooth bend between the layers; our denoiser has it too.


# %%
def forward(unet, x_t, t):
    """x_t (n, 3, 32, 32) and t (n,) -> the noise in x_t, (n, 3, 32, 32)."""
    waves = timestep_embedding(t, 24, freq_shift=1)  # (n, 24): sines and cosines of t
    temb = unet.time_embedding(waves)  # (n, 96)

    h = unet.conv_in(x_t)  # (n, 24, 32, 32)
    kept = [h]
    for block in unet.down_blocks:  # the blue boxes
        h, maps = block(h, temb)
        kept += maps

    h = unet.mid_block(h, temb)  # (n, 96, 4, 4)

    for block in unet.up_blocks:  # the green boxes; each takes its maps from the end of `kept`
        h = block(h, kept, temb)

    return unet.conv_out(silu(unet.conv_norm_out(h)))


# %% tags=["nbval-check-output"]
with torch.no_grad():
    by_parts = forward(pipe.unet, x_T[:2], torch.tensor([999, 999]))
print("shape:", tuple(by_parts.shape))
print("the same as the whole network:", "yes" if torch.allclose(by_parts, eps_hat[:2], atol=1e-4) else "no")

# %% [markdown]
# ## Exercises
#
# Each is checked by a property that only a right answer has. Replace the `...`; hints and a solution are folded below.

# %% [markdown]
# **1. The best denoiser.** Let the data be a few numbers, all equally frequent. Then no network is needed: write the
# best $\hat x_0$. How likely is it that $x_t$ came from the number $x_k$? In proportion to
# $\exp\!\big(-(x_t - a x_k)^2 / (2 b^2)\big)$, the density of the noise that leads from $a x_k$ to $x_t$.


# %%
def best_guess(x_t, data, a, b): ...  # x_t: (n,), data: (K,); return (n,)


print(exercises.best_guess(best_guess))

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# The answer is a mean of the data, but not all count the same: those that explain $x_t$ with little noise count more.
# </details>
#
# <details><summary>Hint 2</summary>
#
# `x_t[:, None] - a * data` has the shape (n, K). The weights of each row must sum to 1. `torch.softmax(..., dim=1)`
# takes the exponential and divides by the sum.
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def best_guess(x_t, data, a, b):
#     weights = torch.softmax(-((x_t[:, None] - a * data) ** 2) / (2 * b**2), dim=1)  # (n, K)
#     return weights @ data
# ```
# </details>

# %% [markdown]
# **2. From answer to arrow.** Write the score. The check takes the slope of the log-density itself, from differences.


# %%
def arrow(x_t, x_0_hat, a, b): ...  # return the score, shaped like x_t


print(exercises.arrow(arrow))

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# An arrow from $x_t$ to some place is the place minus $x_t$. Which place? The answer, shrunk as the data are.
# </details>
#
# <details><summary>Hint 2</summary>
#
# The log of a normal density with mean $m$ and variance $b^2$ is $-(x - m)^2 / (2 b^2)$ plus a constant. Its slope?
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def arrow(x_t, x_0_hat, a, b):
#     return (a * x_0_hat - x_t) / b**2
# ```
# Noised data are a mixture of normal densities, one around each $a x_k$. The slope of its log is the mean of their
# slopes, with the weights of exercise 1. So $x_k$ becomes $\hat x_0$.
# </details>

# %% [markdown]
# **3. On paper: another loss.** Squared error gives the mean. What does $|x_0 - c|$, the absolute error, give? Take the
# numbers 0, 0 and 9: which $c$ costs least? Draw the cost over $c$. Then write the answer for any odd count of numbers.


# %%
def least_absolute(values): ...  # (n,) with n odd; return the number that costs least


print(exercises.absolute(least_absolute))

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Move $c$ a little to the right. For each number on its left the error grows, for each on its right it falls.
# </details>
#
# <details><summary>Hint 2</summary>
#
# So it does not matter how far the numbers are, only how many are on each side. When is it balanced?
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def least_absolute(values):
#     return values.sort().values[len(values) // 2]  # the median: as many numbers on its left as on its right
# ```
# To think about: would a network with this loss, in one step from pure noise, draw something that looks like data?
# </details>

# %% [markdown]
# ## Where to read on
#
# * [Lesson 2](02_ddpm.ipynb) begins here: where $a_t$ and $b_t$ come from, and why a step may add fresh noise.
# * Sohl-Dickstein et al. 2015, [arXiv:1503.03585](https://arxiv.org/abs/1503.03585): the idea, with a spiral too.
# * Vincent 2011, *A Connection Between Score Matching and Denoising Autoencoders*,
#   [doi:10.1162/NECO_a_00142](https://doi.org/10.1162/NECO_a_00142): why a denoiser's arrow is the score.
