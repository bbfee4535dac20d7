"""StableDiffusionImg2ImgPipeline: its pictures are those of diffusers."""

import numpy as np
import pytest
import torch
from against import error_from_the_middle, randn, seeded
from stable_pipelines import (
    PUBLISHED,
    SCHEDULERS,
    both_pipelines,
    call_of,
    check_pictures,
    counted,
    first_sample,
    sketch,
)

from minidiff import PNDMScheduler

NAME = "StableDiffusionImg2ImgPipeline"


@pytest.fixture(scope="module")
def pipes():
    return both_pipelines(NAME, "DDIMScheduler")


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"strength": 1.0},
        {"strength": 0.2},
        {"guidance_scale": 1.0, "strength": 0.5},
        {"negative_prompt": "snow", "eta": 0.7},
        {"image": sketch(45, 30)},  # shrunk to 40 x 24, odd latents
        {"num_images_per_prompt": 2},
        {"prompt": ["a cat", "snow"]},
        {"prompt": ["a cat", "snow"], "image": [sketch(), sketch(seed=1)]},
        {"image": np.asarray(sketch(), dtype=np.float32) / 255},
        {"image": torch.rand(1, 3, 32, 24, generator=seeded())},
        {"image": torch.rand(1, 3, 32, 24, generator=seeded()) * 2 - 1},
        {"image": randn(1, 4, 4, 4)},
    ],
    ids=lambda call: "-".join(call) or "default",
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_pictures(pipes, call):
    check_pictures(pipes, **call_of(NAME) | {"num_inference_steps": 6} | call)


@pytest.mark.parametrize("kind", ("none", "list"))
def test_generators(pipes, kind):
    check_pictures(pipes, kind, prompt=["a cat", "snow"], image=sketch(), num_inference_steps=4, eta=0.5)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_schedulers(scheduler):
    pipes = both_pipelines(NAME, scheduler)
    within = 1e-5 if scheduler in ("PNDMScheduler", "DDIMScheduler", "DDPMScheduler") else 1e-4
    for strength in (0.4, 0.75, 1.0):
        check_pictures(pipes, within=within, **call_of(NAME) | {"num_inference_steps": 8, "strength": strength})


@pytest.mark.parametrize("strength", (0.1, 0.2, 0.5, 0.75, 1.0))
def test_the_rest_of_a_walk_with_pndm(strength):
    """A walk of its own, whose first step is made twice, at every strength; diffusers tells the network other times."""
    pipe, _ = both_pipelines(NAME, "PNDMScheduler", torch.float32)
    pipe.scheduler = PNDMScheduler.from_config(PUBLISHED)
    calls = counted(pipe)
    pipe(**call_of(NAME) | {"num_inference_steps": 10, "strength": strength})
    left = list(range(901, 0, -100))[10 - int(10 * strength) :]
    assert calls == [*left[:2], *left[1:]]


# -- the ledger


def test_one_more_step_of_noise():
    noise, z_0 = randn(1, 4, 4, 4), randn(1, 4, 4, 4, seed=1)
    call = {"image": z_0, "latents": noise, "strength": 0.5}
    ours, theirs = both_pipelines(NAME, "DDIMScheduler", torch.float32)
    for noise_to, level in (("first_call", 401), ("one_more", 501)):
        t, z_t = first_sample(ours, **call, noise_to=noise_to)
        assert t == 401
        torch.testing.assert_close(z_t, ours.scheduler.add_noise(z_0, noise, torch.tensor([level])))
    call.pop("latents")
    t, z_t = first_sample(theirs, **call)
    noise = torch.randn(1, 4, 4, 4, generator=seeded())
    assert t == 401
    torch.testing.assert_close(z_t, theirs.scheduler.add_noise(z_0, noise, torch.tensor([401])))
    assert first_sample(ours, strength=1.0, noise_to="one_more")[0] == 901  # there is no level before the first

    for pipe in (ours, theirs):
        errors = [error_from_the_middle(pipe.scheduler, noisier=noisier) for noisier in (0, 1)]
        assert errors == pytest.approx([5.19e-2, 6.41e-2], rel=0.01)


@pytest.mark.parametrize("value", ("two_more", None))
def test_noise_levels_that_are_refused(pipes, value):
    with pytest.raises(ValueError, match=f"noise_to is {value!r}; allowed are 'first_call', 'one_more'"):
        pipes[0](**call_of(NAME), noise_to=value)
