"""What the measurements of the claims share: samplers that all start from the same noises x_T, and a judge.

So samplers are compared picture by picture.
"""

import hashlib

import numpy as np
import torch

from minidiff import files
from minidiff.course.statistics import judged
from minidiff.noise import randn
from minidiff.pipelines.base import pil_images
from minidiff.pipelines.ddim import DDIMPipeline
from minidiff.pipelines.ddpm import DDPMPipeline
from minidiff.pipelines.pndm import PNDMPipeline
from minidiff.schedulers.ddim import DDIMScheduler
from minidiff.schedulers.ddpm import DDPMScheduler
from minidiff.schedulers.pndm import PNDMScheduler
from minidiff.zoo import evaluator, world

BATCH = 100  # pictures drawn at a time
FEWER = 500  # pictures a row, at most, where a row takes 1,000 steps


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


def calls_of(name, steps):
    """How often a sampler asks the network."""
    return steps + {"PLMS": 1, "F-PNDM": 9}.get(name.partition(",")[0], 0)


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


class Work:
    """What a measurement of an hour does beside measuring: it counts, and a stopped one goes on where it was.

    Args:
        bar: a tqdm bar that counts the network's calls, one a picture.
        folder: where each batch is kept as soon as it is made; none if None.
    """

    def __init__(self, bar=None, folder=None):
        self.bar, self.folder, self.calls = bar, folder, 0

    def count(self, calls):
        self.calls += calls
        if self.bar is not None:
            self.bar.update(calls)

    def batch(self, make, start, *key):
        """What `make(start)` gives, a tensor; made once, as long as the folder is there.

        Args:
            start: a tensor, such as noises.
            key: all else that decides the outcome.
        """
        if self.folder is None:
            return make(start)
        name = hashlib.sha256(repr(key).encode() + start.cpu().numpy().tobytes()).hexdigest()
        file, before = self.folder / f"{name}.pt", self.calls
        if file.exists():
            kept = torch.load(file, weights_only=True)
            self.count(kept["calls"])
            return kept["made"]
        made = make(start)
        self.folder.mkdir(parents=True, exist_ok=True)
        files.save({"calls": self.calls - before, "made": made}, file)
        return made


def draw(pipe, x_T, steps, seed=0, work=None):
    """(n, 3, H, W) in [0, 1]: the pictures of the noises x_T, drawn `BATCH` at a time.

    Args:
        steps: how many.
        work: a `Work`.
    """
    work, pictures = work or Work(), []
    pipe.set_progress_bar_config(disable=True)

    def counted(pipe, i, t, tensors):
        work.count(len(tensors["latents"]))

    for first in range(0, len(x_T), BATCH):

        def drawn(latents, first=first):
            generator = on_the_way(seed, steps, first)
            call = dict(num_inference_steps=steps, output_type="pt", callback_on_step_end=counted)
            return pipe(batch_size=len(latents), generator=generator, latents=latents, **call).images.cpu()

        key = type(pipe).__name__, dict(pipe.scheduler.config), seed, steps, first
        pictures.append(work.batch(drawn, x_T[first : first + BATCH], *key))
    return torch.cat(pictures)


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


def squares(a, b):
    """(n,) float64: the mean squared difference of each of n pictures, (n, ...)."""
    return (a - b).double().square().flatten(1).mean(1)


def look_at(pictures):
    """{key: `EvaluatorOutput`} of {key: (n, 3, H, W) in [0, 1]}."""
    return {key: evaluator.look(evaluator.as_pictures(drawn)[0]) for key, drawn in pictures.items()}


def compared(pictures, against):
    """(result, looked): what `judged` says of {(sampler, steps): pictures}, with the network's calls in each row; and
    what the evaluator said of each."""
    looked = look_at(pictures)
    result = judged(looked, against)
    for row in result["rows"]:
        row["calls"] = calls_of(row["sampler"], row["steps"])
    return result, looked
