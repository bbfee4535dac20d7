r"""What the papers of DDIM and PNDM claim, measured on storybook-ddpm: a thousand pictures for measures.json, a few for
a lesson.

Denoising Diffusion Implicit Models. Song, Meng & Ermon 2021, arXiv:2010.02502, table 1 (fewer steps), section 5.3
(interpolation) and table 2 (reconstruction). Pseudo Numerical Methods for Diffusion Models on Manifolds. Liu, Ren, Lin
& Zhao 2022, arXiv:2202.09778, section 4 (more from as many calls of the network).

All samplers start from the same noises x_T, so they are compared picture by picture. An interval is a bootstrap one, of
95 %: pictures are resampled, and for a difference the same ones on both sides.
"""

import json
import time

import numpy as np
import torch

from minidiff import zoo
from minidiff.noise import randn
from minidiff.pipelines.base import pil_images
from minidiff.pipelines.ddim import DDIMPipeline
from minidiff.pipelines.ddpm import DDPMPipeline
from minidiff.pipelines.pndm import PNDMPipeline
from minidiff.progress import progress_bar
from minidiff.schedulers.ddim import DDIMScheduler
from minidiff.schedulers.ddpm import DDPMScheduler
from minidiff.schedulers.pndm import PNDMScheduler
from minidiff.zoo import evaluator, world

STEPS = (10, 20, 50, 100)  # the columns of DDIM's tables
BATCH = 100  # pictures drawn at a time
RESAMPLES = 1000
CURVES = 250  # at most, whose ends are looked for with many calls
LOST = 20.0  # dB of PSNR; a drawing that comes back with less has become another one


def measure(folder, samples=1000):
    """All claims, large: two to three hours on one core.

    Args:
        folder: of storybook-ddpm, or what else `DDPMPipeline.from_pretrained` takes.
        samples: pictures a sampler; 16 to try it out.
    Returns:
        dict that JSON can hold: the results of the functions below by their names, and how long it took.
    """
    pipe, started = DDPMPipeline.from_pretrained(folder), time.monotonic()
    with progress_bar(apart=600, desc="claims", unit=" calls", unit_scale=True, mininterval=5) as bar:
        results = {
            "ddim_against_ddpm": ddim_against_ddpm(pipe, samples, bar=bar)[0],
            "pndm_against_ddim": pndm_against_ddim(pipe, samples, bar=bar)[0],
            "encoding": encoding(pipe, samples, bar=bar)[0],
            "interpolation": interpolation(pipe, samples, bar=bar)[0],
            "coarse_to_fine": coarse_to_fine(pipe, samples, bar=bar)[0],
        }
    return results | {"minutes": round((time.monotonic() - started) / 60, 1)}


def measured(name="storybook-ddpm", what="claims"):
    """dict: what was measured after training, "claims" or "quality", out of the measures.json beside the weights.

    Raises:
        FileNotFoundError: these weights were not measured.
    """
    file = zoo.path(name) / "measures.json"
    measures = json.loads(file.read_text())["measures"] if file.exists() else {}
    if what not in measures:
        raise FileNotFoundError(f"{file} holds no {what}; `minidiff train {name}` measures them after training")
    return measures[what]


# ------------------------------------------------------------------------------------------------------ the claims


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
    looked = look_at(pictures)
    result = judged(looked, [(("DDIM", N), ("DDPM", N)) for N in steps])
    weights = resamples(samples)
    for row in result["rows"]:
        if row["sampler"] in ("DDIM", "DDPM"):
            here, there = looked[row["sampler"], row["steps"]], looked[row["sampler"], max(steps)]
            row["same"] = with_interval(weights @ (here.object.argmax(1) == there.object.argmax(1)).double())
    return result, pictures


def pndm_against_ddim(pipe, samples=1000, seed=0, bar=None):
    r"""PNDM draws better pictures than DDIM with as many calls of the network, and gets closer to the end of the curve.

    PLMS needs 10 calls for 9 steps, the Runge-Kutta form 19 for 10. Both are held against DDIM twice: as published,
    where DDIM clips \hat x_0 and the first timestep is N's own, (N - 1) floor(T / N); and "trailing", where nobody
    clips and all walk the same curve, from T - 1 to the end.

    Args, Returns: as `ddim_against_ddpm`. "distance" is that between a picture and the end of its curve, found by
        the Runge-Kutta form with 100 steps: the root mean square over pixels, in levels of 255, and of that the median
        over the first `CURVES` noises, since a walk that comes to another picture altogether would outweigh all others.
    """
    x_T = noises(pipe, samples, seed)
    pictures, against = {}, []
    for kind in ("", ", trailing"):
        for name, N in (("DDIM", 10), ("PLMS", 9), ("DDIM", 19), ("F-PNDM", 10)):
            pictures[name + kind, N] = draw(sampler(name + kind, pipe), x_T, N, seed, bar)
        against += [(("PLMS" + kind, 9), ("DDIM" + kind, 10)), (("F-PNDM" + kind, 10), ("DDIM" + kind, 19))]
    result = judged(look_at(pictures), against)

    ends = draw(sampler("F-PNDM, trailing", pipe), x_T[:CURVES], 100, seed, bar)
    weights = resamples(len(ends))
    far = {key: medians(weights, 255 * squares(drawn[: len(ends)], ends).sqrt()) for key, drawn in pictures.items()}
    for row in result["rows"]:
        row["distance"] = with_interval(far[row["sampler"], row["steps"]])
    for (one, other), comparison in zip(against, result["comparisons"], strict=True):
        comparison["distance"] = with_verdict(far[one] - far[other], less_is_better=True)
    return result | {"curves": len(ends)}, pictures


def squares(a, b):
    """(n,) float64: the mean squared difference of each of n pictures, (n, ...)."""
    return (a - b).double().square().flatten(1).mean(1)


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
    return judged(look_at(pictures), [(("great circle", steps), ("chord", steps))]), pictures


def coarse_to_fine(pipe, samples=1000, steps=50, seed=0, bar=None):
    r"""DDPM decides on large features first and on details last (Ho et al., section 4.3).

    An attribute of a picture is decided at the timestep after which the evaluator's answer for \hat x_0 never changes.
    Args: as `ddim_against_ddpm`.
    Returns:
        (result, guesses): the rows hold the mean "decided" of each attribute, a timestep of 0 ... T - 1, the comparison
        is of the time of day, which colours the whole picture, with the object; {"guesses": the predicted x_0 in [0, 1]
        of the last batch, one entry a step}.
    """
    x_T, guesses = noises(pipe, samples, seed), []
    ddpm = sampler("DDPM", pipe)
    ddpm.set_progress_bar_config(disable=True)

    def keep(pipe, i, t, tensors):
        guesses.append((tensors["pred_original_sample"] / 2 + 0.5).clamp(0, 1))
        count(bar, len(guesses[-1]))

    said = []  # for each batch and attribute the answers, (steps, B)
    for first in range(0, samples, BATCH):
        latents, guesses = x_T[first : first + BATCH], []
        generator = on_the_way(seed, steps, first)
        names = ("pred_original_sample",)
        ddpm(len(latents), generator, steps, "pt", latents=latents, callback_on_step_end=keep,
             callback_on_step_end_tensor_inputs=names)  # fmt: skip
        looked = [evaluator.look(evaluator.as_pictures(guess)[0]) for guess in guesses]
        said.append({name: torch.stack([look[name].argmax(1) for look in looked]) for name in world.ATTRIBUTES})
    t = ddpm.scheduler.timesteps.cpu().double()
    decided, weights = {}, resamples(samples)
    for name in world.ATTRIBUTES:
        answers = torch.cat([batch[name] for batch in said], dim=1)  # (steps, samples)
        undecided = (answers != answers[-1]).flip(0).cummax(0).values.flip(0)  # still to change
        decided[name] = t[undecided.sum(0)]
    rows = [{"attribute": name, "decided": with_interval(weights @ times)} for name, times in decided.items()]
    earlier = with_verdict(weights @ (decided["time"] - decided["object"]))
    comparison = {"better": ["time", steps], "than": ["object", steps], "decided": earlier}
    return {"samples": samples, "steps": steps, "rows": rows, "comparisons": [comparison]}, {"guesses": guesses}


def slerp(a, b, u):
    r"""The point at u, from 0 to 1, of the great circle from a to b; each (B, ...).

    DDIM's appendix D.5 walks so between noises: x = \frac{\sin((1 - u) \theta)}{\sin\theta} a + \frac{\sin(u
    \theta)}{\sin\theta} b, where \theta is the angle between them.
    """
    flat_a, flat_b = a.flatten(1), b.flatten(1)
    cosine = (flat_a * flat_b).sum(1) / (flat_a.norm(dim=1) * flat_b.norm(dim=1))
    theta = torch.acos(cosine.clamp(-1, 1)).reshape(-1, *[1] * (a.ndim - 1))  # (B, 1, ...)
    return (torch.sin((1 - u) * theta) * a + torch.sin(u * theta) * b) / torch.sin(theta)


# -------------------------------------------------------------------------------------------------------- drawing


def sampler(name, pipe):
    """A pipeline with the network and the noise levels of `pipe`; ValueError for a name that is not in `SAMPLERS`."""
    if name not in SAMPLERS:
        raise ValueError(f"name is {name!r}; allowed are {', '.join(map(repr, SAMPLERS))}")
    pipeline, scheduler, changes = SAMPLERS[name]
    return pipeline(pipe.unet, scheduler.from_config(pipe.scheduler.config, **changes))


TRAILING = {"timestep_spacing": "trailing", "set_alpha_to_one": True}
SAMPLERS = {
    "DDPM": (DDPMPipeline, DDPMScheduler, {"variance_type": "fixed_small"}),
    "DDPM, large": (DDPMPipeline, DDPMScheduler, {"variance_type": "fixed_large"}),
    "DDIM": (DDIMPipeline, DDIMScheduler, {"clip_sample": True}),
    "DDIM, no clip": (DDIMPipeline, DDIMScheduler, {"clip_sample": False}),
    "DDIM, trailing": (DDIMPipeline, DDIMScheduler, {"clip_sample": False} | TRAILING),
    "PLMS": (PNDMPipeline, PNDMScheduler, {"skip_prk_steps": True}),
    "PLMS, trailing": (PNDMPipeline, PNDMScheduler, {"skip_prk_steps": True} | TRAILING),
    "F-PNDM": (PNDMPipeline, PNDMScheduler, {"skip_prk_steps": False}),
    "F-PNDM, trailing": (PNDMPipeline, PNDMScheduler, {"skip_prk_steps": False} | TRAILING),
}


def noises(pipe, samples, seed):
    """(samples, C, H, W): x_T from a CPU generator."""
    if samples < 2:
        raise ValueError(
            f"samples is {samples}; allowed is a whole number from 2 on, since one picture says nothing of the next"
        )
    return randn((samples, *pipe.unet.sample_shape), torch.Generator().manual_seed(seed))


def drawings(samples, size, seed):
    """(samples, 3, size, size) in [-1, 1]: drawings that no training set holds."""
    pixels = np.stack(
        [np.asarray(world.draw(seed=1_000_000 * (seed + 1) + k, size=size).image) for k in range(samples)]
    )
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


def draw(pipe, x_T, steps, seed=0, bar=None):
    """(n, 3, H, W) in [0, 1]: the pictures of the noises x_T, drawn `BATCH` at a time."""

    def counted(pipe, i, t, tensors):
        count(bar, len(tensors["latents"]))

    pipe.set_progress_bar_config(disable=True)
    pictures = []
    for first in range(0, len(x_T), BATCH):
        latents = x_T[first : first + BATCH]
        pictures += pipe(
            batch_size=len(latents),
            generator=on_the_way(seed, steps, first),
            num_inference_steps=steps,
            output_type="pt",
            latents=latents,
            callback_on_step_end=counted,
        ).images.cpu()
    return torch.stack(pictures)


def on_the_way(*numbers):
    """A CPU generator for the noises between x_T and the picture, with a seed mixed from all of `numbers`.

    So no two batches or numbers of steps share their noises, and none of them is x_T itself: `noises` takes its seed as
    it is.
    """
    (mixed,) = np.random.SeedSequence(numbers).generate_state(1)
    return torch.Generator().manual_seed(int(mixed))


def images(pictures):
    """list of PIL images: of (n, 3, H, W) in [0, 1]."""
    return pil_images(pictures.permute(0, 2, 3, 1).cpu().numpy())


def count(bar, calls):
    if bar is not None:
        bar.update(calls)


def calls_of(name, steps):
    """How often a sampler asks the network."""
    return steps + {"PLMS": 1, "F-PNDM": 9}.get(name.partition(",")[0], 0)


# -------------------------------------------------------------------------------------------------------- judging


def look_at(pictures):
    """{key: `EvaluatorOutput`} of {key: (n, 3, H, W) in [0, 1]}."""
    return {key: evaluator.look(evaluator.as_pictures(drawn)[0]) for key, drawn in pictures.items()}


def judged(looked, against):
    """Rows for what the evaluator said of pictures, by (sampler, steps); for each pair of keys in `against`, whether
    the first is better."""
    weights = resamples(len(next(iter(looked.values())).features))
    named = {key: weights @ evaluator.named(said).double() for key, said in looked.items()}
    frechet = {key: frechet_distances(weights, said.features.double()) for key, said in looked.items()}
    rows = [
        {"sampler": name, "steps": N, "calls": calls_of(name, N)}
        | {"named": with_interval(named[name, N]), "frechet": with_interval(frechet[name, N], biased=True)}
        for name, N in looked
    ]
    comparisons = [
        {"better": list(one), "than": list(other), "named": with_verdict(named[one] - named[other])}
        | {"frechet": with_verdict(frechet[one] - frechet[other], less_is_better=True, biased=True)}
        for one, other in against
    ]
    return {"samples": weights.shape[1], "rows": rows, "comparisons": comparisons}


def resamples(n, draws=RESAMPLES, seed=0):
    """(1 + draws, n) float64: what each of n pictures weighs, first in the sample itself and then in samples drawn from
    it."""
    chosen = torch.randint(n, (draws, n), generator=torch.Generator().manual_seed(seed))
    counts = torch.zeros(draws, n, dtype=torch.float64).scatter_add_(
        1, chosen, torch.ones(draws, n, dtype=torch.float64)
    )
    return torch.cat([torch.ones(1, n, dtype=torch.float64), counts]) / n


def medians(weights, values):
    """(rows of weights,): the median of values (n,) that weigh as each row says."""
    order = values.argsort()
    return values[order][(weights[:, order].cumsum(1) >= 0.5 - 1e-9).double().argmax(1)]  # the first of the largest


def frechet_distances(weights, features):
    """(rows of weights,): `evaluator.distance_to_world` of features (n, d) that weigh as each row says, all at once."""
    network, (n, d) = evaluator.evaluator(), features.shape
    m_w, C_w = network.reference_mean.double(), network.reference_covariance.double()
    m = weights @ features  # (R, d)
    squares = (weights @ (features[:, :, None] * features[:, None, :]).reshape(n, d * d)).reshape(-1, d, d)
    C = (squares - m[:, :, None] * m[:, None, :]) * n / (n - 1)
    A = evaluator.square_root(C_w)
    trace = torch.linalg.eigvalsh(A @ C @ A).clamp(min=0).sqrt().sum(1)  # of the root of C C_w
    return ((m - m_w) ** 2).sum(1) + C.diagonal(dim1=1, dim2=2).sum(1) + C_w.trace() - 2 * trace


def with_interval(values, biased=False):
    """{"value", "low", "high"} of what `resamples` gave: the sample's own value, and the middle 95 % of the others.

    A mean needs no more. A Fréchet distance is `biased`: a sample drawn from a sample has fewer different pictures and
    so a greater distance, which says nothing of the model. So the others are moved until their mean is the value, but
    no end below 0 where no value is, so that no distance gets negative.
    """
    ends = values[1:].quantile(torch.tensor([0.025, 0.975], dtype=values.dtype))
    if biased:
        ends = (ends - values[1:].mean() + values[0]).clamp(min=values.min().clamp(max=0))
    low, high = ends
    return {"value": round(values[0].item(), 6), "low": round(low.item(), 6), "high": round(high.item(), 6)}


def with_verdict(differences, less_is_better=False, biased=False):
    """As `with_interval`, and "verdict": whether the first was better: "yes", "no", or "within noise" where the
    interval holds 0."""
    result = with_interval(differences, biased)
    sides = (result["high"] < 0, result["low"] > 0)
    worse, better = sides[::-1] if less_is_better else sides
    return result | {"verdict": "yes" if better else "no" if worse else "within noise"}


# -------------------------------------------------------------------------------------------------------- showing


def table(result):
    """str: the rows of a result as a lesson prints them."""
    lines = [f"{result['samples']} pictures a row, in brackets the 95 % interval"]
    for row in result["rows"]:
        if "attribute" in row:
            head = f"{row['attribute']:10}"
        elif "sampler" in row:
            head = f"{row['sampler']:16} {row['steps']:3} steps {row['calls']:3} calls"
        else:
            head = f"{row['steps']:3} steps"
        cells = [form(row[name]) for name, form in SHOWN.items() if name in row]
        lines.append("  ".join([head, *cells]))
    return "\n".join(lines)


def quality_table(quality):
    """str: a recipe's quality in three lines, as lesson 2 prints it."""
    named, frechet = (dict(zip(("value", "low", "high"), quality["intervals"][name])) for name in ("named", "frechet"))
    return "\n".join(
        [
            f"{quality['images']} pictures, DDIM, {quality['steps']} steps, in brackets the 95 % interval",
            f"named {spread(named, '.1f', 100)} %",
            f"Fréchet {spread(frechet, '.2f')}; of as many true drawings {quality['frechet_floor']:.2f}",
        ]
    )


def verdicts(result, measure="named"):
    """dict of str to str: what was claimed, and whether it is so: yes, no, or within noise."""
    return {
        "{} {} better than {} {}".format(*c["better"], *c["than"]): c[measure]["verdict"] for c in result["comparisons"]
    }


def spread(entry, form, scale=1):
    return "{} [{}, {}]".format(*(format(scale * entry[key], form) for key in ("value", "low", "high")))


SHOWN = {
    "named": lambda entry: f"named {spread(entry, '.0f', 100)} %",
    "frechet": lambda entry: f"Fréchet {spread(entry, '.2f')}",
    "same": lambda entry: f"same object {spread(entry, '.0f', 100)} %",
    "distance": lambda entry: f"distance {spread(entry, '.1f')}",
    "decided": lambda entry: f"decided at t = {spread(entry, '.0f')}",
    "psnr": lambda entry: f"PSNR {spread(entry, '.1f')} dB",
    "mse": lambda entry: f"MSE {spread(entry, '.4f')}",
    "lost": lambda entry: f"lost {spread(entry, '.1f', 100)} %",
}
