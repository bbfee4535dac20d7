r"""What DDIM's paper claims, measured on storybook-ddpm.

Denoising Diffusion Implicit Models. Song, Meng & Ermon, ICLR 2021, arXiv:2010.02502, table 1 (fewer steps), section 5.2
(x_T alone says what is to be seen), section 5.3 (interpolation) and table 2 (reconstruction).
"""

import torch

from minidiff.course.claims.sampling import BATCH, compared, count, draw, drawings, noises, sampler, squares
from minidiff.course.statistics import resamples, with_interval

STEPS = (10, 20, 50, 100)  # the columns of the paper's tables
LOST = 20.0  # dB of PSNR; a drawing that comes back with less has become another one


def ddim_against_ddpm(pipe, samples=1000, steps=STEPS, large=(10,), seed=0, bar=None):
    r"""DDIM (\eta = 0) draws better pictures than DDPM in as many steps.

    Args:
        pipe: a pipeline with `unet` and `scheduler`.
        samples: pictures a row.
        steps: for both.
        large: steps at which DDPM's other variance, "fixed_large", is tried too.
        seed: of the noises.
        bar: a tqdm bar that counts the network's calls, one a picture.
    Returns:
        (result, pictures): a dict that JSON can hold, with "rows" and "comparisons", and {(sampler, steps): (samples,
        3, H, W) in [0, 1]}. In a row "same" is the share of noises that give the same object as with the most steps:
        section 5.2, x_T alone says what is to be seen.
    """
    x_T = noises(pipe, samples, seed)
    pictures = {}
    for N in steps:
        pictures["DDIM", N] = draw(sampler("DDIM", pipe), x_T, N, seed, bar)
        pictures["DDPM", N] = draw(sampler("DDPM", pipe), x_T, N, seed, bar)
        if N in large:
            pictures["DDPM, large", N] = draw(sampler("DDPM, large", pipe), x_T, N, seed, bar)
    result, looked = compared(pictures, [(("DDIM", N), ("DDPM", N)) for N in steps])
    weights = resamples(samples)
    for row in result["rows"]:
        if row["sampler"] in ("DDIM", "DDPM"):
            here, there = looked[row["sampler"], row["steps"]], looked[row["sampler"], max(steps)]
            row["same"] = with_interval(weights @ (here.object.argmax(1) == there.object.argmax(1)).double())
    return result, pictures


@torch.no_grad()
def encoding(pipe, samples=1000, steps=STEPS, seed=0, bar=None):
    r"""At \eta = 0 the noise x_T is a code of the picture: from x_0 to x_T and back again the picture stays the same,
    the more so the smaller the steps.

    Args:
        samples: drawings, none of which the network was trained on.
    Returns:
        (result, pictures): rows with "psnr" in dB, its mean over drawings; "mse", the paper's measure; and "lost", the
        share of drawings with less than `LOST` dB; pictures {"drawings" or steps: (samples, 3, H, W) in [0, 1]}.
    """
    x_0 = drawings(samples, pipe.unet.sample_shape[-1], seed)
    pictures, rows, weights = {"drawings": x_0 / 2 + 0.5}, [], resamples(samples)
    for N in steps:
        scheduler = sampler("DDIM, no clip", pipe).scheduler
        x_T = encode(pipe.unet, scheduler, x_0.to(pipe.device), N, bar)
        pictures[N] = draw(sampler("DDIM, no clip", pipe), x_T, N, seed, bar)
        mse = squares(pictures[N], pictures["drawings"])  # (samples,)
        psnr = -10 * torch.log10(mse.clamp(min=1e-10))
        measures = {"psnr": psnr, "mse": mse, "lost": (psnr < LOST).double()}
        rows.append({"steps": N} | {name: with_interval(weights @ values) for name, values in measures.items()})
    return {"samples": samples, "rows": rows}, pictures


@torch.no_grad()
def encode(unet, scheduler, x_0, steps, bar=None):
    """x_T, (n, C, H, W), whose DDIM picture is about x_0; `BATCH` at a time."""
    scheduler.set_timesteps(steps)
    found = []
    for x_t in x_0.split(BATCH):
        for t in reversed(scheduler.timesteps):
            x_t = scheduler.inverse_step(unet(x_t, t).sample, t, x_t).prev_sample
            count(bar, len(x_t))
        found.append(x_t)
    return torch.cat(found)


def interpolation(pipe, samples=1000, steps=10, seed=0, bar=None):
    """Between two noises lie pictures: along the great circle, and not along the chord, which leaves the sphere of
    noises.

    Each of `samples` pairs of noises gives one point, at its own u between 0 and 1, so that all pictures are
    independent.
    Args, Returns: as `ddim_against_ddpm`.
    """
    x_a, x_b = noises(pipe, samples, seed + 1), noises(pipe, samples, seed + 2)
    u = ((torch.arange(samples) + 0.5) / samples).reshape(-1, 1, 1, 1)
    paths = {"great circle": slerp(x_a, x_b, u), "chord": (1 - u) * x_a + u * x_b}
    pictures = {(name, steps): draw(sampler("DDIM", pipe), x_T, steps, seed, bar) for name, x_T in paths.items()}
    return compared(pictures, [(("great circle", steps), ("chord", steps))])[0], pictures


def slerp(a, b, u):
    r"""The point at u, from 0 to 1, of the great circle from a to b; each (B, ...).

    DDIM's appendix D.5 walks so between noises: x = \frac{\sin((1 - u) \theta)}{\sin\theta} a + \frac{\sin(u
    \theta)}{\sin\theta} b, where \theta is the angle between them.
    """
    flat_a, flat_b = a.flatten(1), b.flatten(1)
    cosine = (flat_a * flat_b).sum(1) / (flat_a.norm(dim=1) * flat_b.norm(dim=1))
    theta = torch.acos(cosine.clamp(-1, 1)).reshape(-1, *[1] * (a.ndim - 1))  # (B, 1, ...)
    return (torch.sin((1 - u) * theta) * a + torch.sin(u * theta) * b) / torch.sin(theta)
