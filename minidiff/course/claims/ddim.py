r"""What DDIM's paper claims, measured on storybook-ddpm.

Denoising Diffusion Implicit Models. Song, Meng & Ermon, ICLR 2021, arXiv:2010.02502, table 1 (fewer steps), section 5.2
(x_T alone says what is to be seen), section 5.3 (interpolation) and table 2 (reconstruction); and where on the walk its
steps cost most, of which the paper says nothing.

All of it takes about 36 minutes of one core, at 300 calls of the network a second.
"""

import torch

from minidiff.course.claims.sampling import BATCH, Work, compared, draw, drawings, noises, sampler, squares
from minidiff.course.mixture import walk
from minidiff.course.statistics import medians, resamples, with_interval

STEPS = (10, 20, 50, 100)  # the columns of the paper's tables
CODED = 500  # drawings, at most: there and back is twice the way
CURVES = 250  # walks, at most, whose steps are looked at
LOST = 20.0  # dB of PSNR; a drawing that comes back with less has become another one


def ddim_against_ddpm(pipe, samples=1000, steps=STEPS, large=(10,), seed=0, work=None):
    r"""DDIM (\eta = 0) draws better pictures than DDPM in as many steps, and as good ones with 20 as DDPM with 100.

    Args:
        pipe: a pipeline with `unet` and `scheduler`.
        samples: pictures a row.
        steps: for both.
        large: steps at which DDPM's other variance, "fixed_large", is tried too.
        seed: of the noises.
        work: a `Work`, for a measurement that takes long.
    Returns:
        (result, pictures): a dict that JSON can hold, with "rows" and "comparisons", and {(sampler, steps): (samples,
        3, H, W) in [0, 1]}. In a row "same" is the share of noises that give the same object as with the most steps:
        section 5.2, x_T alone says what is to be seen.
    """
    x_T = noises(pipe, samples, seed)
    pictures = {}
    for N in steps:
        pictures["DDIM", N] = draw(sampler("DDIM", pipe), x_T, N, seed, work)
        pictures["DDPM", N] = draw(sampler("DDPM", pipe), x_T, N, seed, work)
        if N in large:
            pictures["DDPM, large", N] = draw(sampler("DDPM, large", pipe), x_T, N, seed, work)
    against = [(("DDIM", N), ("DDPM", N)) for N in steps]
    if {20, 100} <= set(steps):
        against.append((("DDIM", 20), ("DDPM", 100)))
    result, looked = compared(pictures, against)
    weights = resamples(samples)
    for row in result["rows"]:
        if row["sampler"] in ("DDIM", "DDPM"):
            here, there = looked[row["sampler"], row["steps"]], looked[row["sampler"], max(steps)]
            row["same"] = with_interval(weights @ (here.object.argmax(1) == there.object.argmax(1)).double())
    return result, pictures


def encoding(pipe, samples=1000, steps=STEPS, seed=0, work=None):
    r"""At \eta = 0 the noise x_T is a code of the picture: from x_0 to x_T and back again the picture stays the same,
    the more so the smaller the steps.

    Args:
        samples: drawings, none of which the network was trained on; `CODED` at most.
    Returns:
        (result, pictures): rows with "psnr" in dB, its mean over drawings; "mse", the paper's measure; "lost", the
        share of drawings with less than `LOST` dB; "which", their places; and "std", the spread of the noise that was
        found, which is that of noise, 1, only if the code is one that the network knows; pictures {"drawings" or
        steps: (samples, 3, H, W) in [0, 1]}.
    """
    x_0 = drawings(min(samples, CODED), pipe.unet.sample_shape[-1], seed)
    pictures, rows, weights = {"drawings": x_0 / 2 + 0.5}, [], resamples(len(x_0))
    for N in steps:
        walker = sampler("DDIM, no clip", pipe)
        x_T = encode(pipe.unet, walker.scheduler, x_0.to(pipe.device), N, work)
        pictures[N] = draw(walker, x_T, N, seed, work)
        mse = squares(pictures[N], pictures["drawings"])  # (samples,)
        psnr = -10 * torch.log10(mse.clamp(min=1e-10))
        lost, std = psnr < LOST, x_T.cpu().double().flatten(1).std(dim=1)
        measures = {"psnr": psnr, "mse": mse, "lost": lost.double(), "std": std}
        row = {"steps": N} | {name: with_interval(weights @ values) for name, values in measures.items()}
        rows.append(row | {"which": lost.nonzero().flatten().tolist()})
    return {"samples": len(x_0), "rows": rows}, pictures


@torch.no_grad()
def encode(unet, scheduler, x_0, steps, work=None):
    """x_T, (n, C, H, W), whose DDIM picture is about x_0; `BATCH` at a time."""
    work = work or Work()
    scheduler.set_timesteps(steps)

    def found(x_t):
        for t in reversed(scheduler.timesteps):
            x_t = scheduler.inverse_step(unet(x_t, t).sample, t, x_t).prev_sample
            work.count(len(x_t))
        return x_t

    key = "encode", dict(scheduler.config), steps
    return torch.cat([work.batch(found, some, *key).to(x_0.device) for some in x_0.split(BATCH)])


def interpolation(pipe, samples=1000, steps=10, seed=0, work=None):
    """Between two noises lie pictures: along the great circle, and not along the chord, which leaves the sphere of
    noises.

    Each of `samples` pairs of noises gives one point, at its own u between 0 and 1, so that all pictures are
    independent.
    Args, Returns: as `ddim_against_ddpm`.
    """
    x_a, x_b = noises(pipe, samples, seed + 1), noises(pipe, samples, seed + 2)
    u = ((torch.arange(samples) + 0.5) / samples).reshape(-1, 1, 1, 1)
    paths = {"great circle": slerp(x_a, x_b, u), "chord": (1 - u) * x_a + u * x_b}
    pictures = {(name, steps): draw(sampler("DDIM", pipe), x_T, steps, seed, work) for name, x_T in paths.items()}
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


@torch.no_grad()
def euler_error(pipe, samples=CURVES, steps=50, seed=0, work=None):
    r"""What a step gets wrong, by its place on the walk.

    In the coordinates \bar x = x / \sqrt{\bar\alpha} and \sigma = \sqrt{(1 - \bar\alpha) / \bar\alpha} a step goes
    straight on, by \Delta\sigma along the \epsilon of its beginning. At its end \epsilon has turned by \Delta\epsilon,
    so it is off by about half of \Delta\sigma \Delta\epsilon; in x_t's own coordinates \sqrt{\bar\alpha} times as much.

    Args: as `ddim_against_ddpm`, but `CURVES` pictures at most.
    Returns:
        (result, None): rows with the timestep "t" at which a step begins, and "wrong", |\Delta\sigma|
        |\Delta\epsilon| \sqrt{\bar\alpha} with the level of its end, the root mean square over pixels, in shades
        (255 from black to white); its mean over noises. The last step has no row, since where it ends there is no
        \epsilon.
    """
    work, x_T = work or Work(), noises(pipe, samples, seed)[:CURVES]
    scheduler = sampler("DDIM, trailing", pipe).scheduler
    scheduler.set_timesteps(steps)
    alpha_bar = scheduler.alpha_bar[scheduler.timesteps].double()
    sigma = ((1 - alpha_bar) / alpha_bar) ** 0.5

    def turned(x_t):
        before, changes = None, []
        for t in scheduler.timesteps:
            eps = pipe.unet(x_t, t).sample
            if before is not None:
                changes.append(squares(eps, before).sqrt().cpu())
            before, x_t = eps, scheduler.step(eps, t, x_t).prev_sample
            work.count(len(x_t))
        return torch.stack(changes)  # (steps - 1, B)

    key = "euler_error", dict(scheduler.config), steps
    changes = torch.cat([work.batch(turned, some.to(pipe.device), *key) for some in x_T.split(BATCH)], dim=1)
    wrong = 255 / 2 * (sigma[:-1] - sigma[1:]) * alpha_bar[1:] ** 0.5 * (resamples(len(x_T)) @ changes.T)
    times = scheduler.timesteps.tolist()
    rows = [{"t": t, "wrong": with_interval(values)} for t, values in zip(times[:-1], wrong.T, strict=True)]
    return {"samples": len(x_T), "steps": steps, "rows": rows}, None


@torch.no_grad()
def coarsening(pipe, samples=CURVES, steps=50, factor=5, ends=(700, 500, 300, 100, 0), seed=0, work=None):
    """Where on the walk a step may be long: one part of it is walked in steps `factor` times as long, the rest as
    before.

    Args:
        samples, seed, work: as `ddim_against_ddpm`, but `CURVES` pictures at most.
        steps: of the walk before, which begins at T - 1.
        ends: the least timesteps of the parts, the noisiest part first.
    Returns:
        (result, pictures): rows with the "part", such as "t = 999 to 700", and "moved", how far the picture is from
        that of the walk before: the root mean square over pixels, in shades (255 from black to white), and of that the
        median over noises. Pictures {part: (samples, 3, H, W) in [0, 1]}; that of the walk before is called "even".
    """
    work, x_T = work or Work(), noises(pipe, samples, seed)[:CURVES]
    scheduler = sampler("DDIM, trailing", pipe).scheduler
    scheduler.set_timesteps(steps)
    even, first, walks = scheduler.timesteps.tolist(), len(scheduler), {}
    for end in ends:
        part = [t for t in even if end <= t < first]
        walks[f"t = {first - 1} to {end}"] = [t for t in even if t not in part or t in part[::factor]]
        first = end

    def walked(x_T):
        x_0 = walk(scheduler, pipe.unet, x_T)
        work.count(len(x_T) * len(scheduler.timesteps))
        return (x_0 / 2 + 0.5).clamp(0, 1).cpu()

    pictures, rows, weights = {}, [], resamples(len(x_T))
    for name, times in {"even": even, **walks}.items():
        scheduler.set_timesteps(timesteps=times, device=pipe.device)
        key = "coarsening", dict(scheduler.config), times
        pictures[name] = torch.cat([work.batch(walked, some.to(pipe.device), *key) for some in x_T.split(BATCH)])
    for name in walks:
        moved = 255 * squares(pictures[name], pictures["even"]).sqrt()
        rows.append({"part": name, "moved": with_interval(medians(weights, moved))})
    return {"samples": len(x_T), "steps": steps, "factor": factor, "rows": rows}, pictures


PARTS = {
    ddim_against_ddpm: lambda n: 370 * n,
    encoding: lambda n: 360 * min(n, CODED),
    interpolation: lambda n: 20 * n,
    euler_error: lambda n: 50 * min(n, CURVES),
    coarsening: lambda n: 260 * min(n, CURVES),
}
