r"""What DDPM's paper claims, measured on storybook-ddpm.

Denoising Diffusion Probabilistic Models. Ho, Jain & Abbeel, NeurIPS 2020, arXiv:2006.11239: good pictures from many
steps (table 1), small steps being those that a Gaussian can reverse, with either of two variances (section 3.2); large
features appear first and details last (section 4.3).

All of it takes about 34 minutes of one core, at 300 calls of the network a second; 28 of them are the 500 pictures of
1,000 steps.
"""

from itertools import pairwise

import torch

from minidiff.course.claims.sampling import BATCH, FEWER, Work, compared, draw, noises, on_the_way, sampler
from minidiff.course.statistics import resamples, with_interval, with_verdict
from minidiff.zoo import evaluator, world


def quality(pipe, samples=1000, steps=(10, 100, 1000), large=(10,), seed=0, work=None):
    r"""DDPM's pictures, with as many steps as it was trained on and with fewer, and with either variance.

    Args:
        pipe: a pipeline with `unet` and `scheduler`.
        samples: pictures a row; `FEWER` at most.
        steps: fewest first; each is held against the one before.
        large: steps, some of those, at which the other variance, "fixed_large", is tried too.
        seed: of the noises.
        work: a `Work`, for a measurement that takes long.
    Returns:
        (result, pictures): what `statistics.judged` gives, and {(sampler, steps): (samples, 3, H, W) in [0, 1]}.
    """
    x_T = noises(pipe, samples, seed)[:FEWER]
    keys = [("DDPM", N) for N in steps] + [("DDPM, large", N) for N in large]
    pictures = {(name, N): draw(sampler(name, pipe), x_T, N, seed, work) for name, N in keys}
    against = [(("DDPM", more), ("DDPM", fewer)) for fewer, more in pairwise(steps)]
    against += [(("DDPM", N), ("DDPM, large", N)) for N in large]
    return compared(pictures, against)[0], pictures


def agreement(pipe, samples=1000, steps=50, seed=0, work=None):
    r"""DDPM decides on large features first and on details last.

    At each step the evaluator says what the predicted \hat x_0 shows. How often is that what the picture shows in the
    end? See `less_chance`.

    Args: as `quality`.
    Returns:
        (result, guesses). The rows hold, by attribute, its "curve", a list of entries with their "t", and "half", the
        entry of the timestep at which it passes one half, 0 ... T - 1. The comparison is of the time of day, which
        colours the whole picture, with the object. {"guesses": the predicted x_0 in [0, 1] of the first batch, one
        entry a step; none where `work` had its answers already}.
    """
    x_T, work, guesses = noises(pipe, samples, seed), work or Work(), []
    ddpm = sampler("DDPM", pipe)
    ddpm.set_progress_bar_config(disable=True)
    names = list(world.ATTRIBUTES)

    def answers_of(latents, first):
        said = []

        def ask(pipe, i, t, tensors):
            guess = (tensors["pred_original_sample"] / 2 + 0.5).clamp(0, 1).cpu()
            look = evaluator.look(evaluator.as_pictures(guess)[0])
            said.append(torch.stack([look[name].argmax(1) for name in names]))  # (attributes, B)
            guesses.extend([guess] if first == 0 else [])
            work.count(len(guess))

        asked = dict(callback_on_step_end=ask, callback_on_step_end_tensor_inputs=("pred_original_sample",))
        ddpm(len(latents), on_the_way(seed, steps, first), steps, "pt", latents=latents, **asked)
        return torch.stack(said)

    batches = []
    for first in range(0, samples, BATCH):
        answers = lambda latents, first=first: answers_of(latents, first)
        batches.append(work.batch(answers, x_T[first : first + BATCH], "agreement", seed, steps, first))
    said = torch.cat(batches, dim=2)  # (steps, attributes, samples)

    t, weights = ddpm.scheduler.timesteps.cpu().double(), resamples(samples)
    rows, half = [], {}
    for k, name in enumerate(names):
        curve = less_chance(weights, said[:, k])
        half[name] = passes_half(t, curve)
        points = [{"t": int(at)} | with_interval(values) for at, values in zip(t, curve.T, strict=True)]
        rows.append({"attribute": name, "half": with_interval(half[name]), "curve": points})
    earlier = with_verdict(half["time"] - half["object"])
    comparison = {"better": ["time", steps], "than": ["object", steps], "half": earlier}
    return {"samples": samples, "steps": steps, "rows": rows, "comparisons": [comparison]}, {"guesses": guesses}


def less_chance(weights, answers):
    r"""How well each step's answers agree with the last step's, less what chance would give: 1 is always, 0 no better
    than chance.

    Where nearly every fog is called mountains, half of the answers are right in the end and nothing is decided yet. So
    with a the share of walks that agree, and c that of pairs of walks of which the one's answer now is the other's in
    the end, it is (a - c) / (1 - c), the kappa of Cohen (1960).

    Args:
        weights: (R, n), see `statistics.resamples`.
        answers: (steps, n), whole numbers.
    Returns:
        (R, steps); 0 where all walks say the same in the end, which says nothing.
    """
    shares = [weights @ torch.nn.functional.one_hot(said, answers.max() + 1).double() for said in answers]  # (R, V)
    a = weights @ (answers == answers[-1]).double().T  # (R, steps)
    c = torch.stack([(share * shares[-1]).sum(1) for share in shares], dim=1)
    return torch.where(c < 1 - 1e-9, (a - c) / (1 - c).clamp(min=1e-9), 0.0)


def passes_half(t, curves):
    """(R,): where on t, (steps,), each of R curves, (R, steps), passes one half for the last time; on the straight line
    between two steps. The last t where it ends below, the first where it never was."""
    steps = curves.shape[1]
    below = curves < 0.5
    last = steps - 1 - below.flip(1).int().argmax(1)  # the last that is below
    i = last.clamp(max=steps - 2)[:, None]
    low, high = curves.gather(1, i)[:, 0], curves.gather(1, i + 1)[:, 0]
    t_low, t_high = t[i[:, 0]], t[i[:, 0] + 1]
    passed = t_low + (0.5 - low) / (high - low) * (t_high - t_low)
    return torch.where(~below.any(1), t[0], torch.where(last == steps - 1, t[-1], passed))


def curves_of(result):
    """{attribute: {t: entry}}: the curves of `agreement`, for `statistics.curves`."""
    return {row["attribute"]: {point["t"]: point for point in row["curve"]} for row in result["rows"]}


PARTS = {quality: lambda n: 1120 * min(n, FEWER), agreement: lambda n: 50 * n}
