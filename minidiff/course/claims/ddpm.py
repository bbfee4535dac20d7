r"""What DDPM's paper claims, measured on storybook-ddpm.

Denoising Diffusion Probabilistic Models. Ho, Jain & Abbeel, NeurIPS 2020, arXiv:2006.11239, section 4.3: large features
appear first and details last.
"""

import torch

from minidiff.course.claims.sampling import BATCH, count, noises, on_the_way, sampler
from minidiff.course.statistics import resamples, with_interval, with_verdict
from minidiff.zoo import evaluator, world


def coarse_to_fine(pipe, samples=1000, steps=50, seed=0, bar=None):
    r"""DDPM decides on large features first and on details last (Ho et al., section 4.3).

    An attribute of a picture is decided at the timestep after which the evaluator's answer for \hat x_0 never changes.
    Args: as `ddim.ddim_against_ddpm`.
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
