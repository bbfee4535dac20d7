"""StableDiffusionImg2ImgPipeline: its pictures are those of diffusers."""

import numpy as np
import pytest
import torch
from against import randn, seeded
from stable_pipelines import SCHEDULERS, both_pipelines, call_of, check_pictures, sketch

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
