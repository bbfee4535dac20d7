"""StableDiffusionInpaintPipeline: its pictures are those of diffusers, with nine channels and with four."""

import numpy as np
import pytest
import torch
from against import randn, seeded
from stable_pipelines import SCHEDULERS, both_pipelines, call_of, check_pictures, first_sample, hole, sketch

from minidiff.pipelines.images import pictures

NAME = "StableDiffusionInpaintPipeline"


@pytest.fixture(scope="module", params=(9, 4))
def pipes(request):
    return both_pipelines(NAME, "DDIMScheduler", channels=request.param)


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"strength": 0.6},
        {"guidance_scale": 1.0},
        {"negative_prompt": "snow", "eta": 0.7},
        {"height": 24, "width": 40},
        {"image": sketch(48, 40), "mask_image": hole(48, 40)},
        {"mask_image": hole().convert("RGB")},
        {"mask_image": hole().convert("1")},
        {"num_images_per_prompt": 2},
        {"prompt": ["a cat", "snow"], "strength": 0.8},
        {"prompt": ["a cat", "snow"], "image": [sketch(), sketch(seed=1)], "mask_image": [hole(), hole().rotate(90)]},
        {"image": torch.rand(1, 3, 32, 32, generator=seeded()), "mask_image": torch.rand(1, 1, 32, 32)},
    ],
    ids=lambda call: "-".join(call) or "default",
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_pictures(pipes, call):
    check_pictures(pipes, **call_of(NAME) | {"num_inference_steps": 5} | call)


@pytest.mark.parametrize("kind", ("none", "list"))
def test_generators(pipes, kind):
    """Each prompt has an image of its own: see the ledger, "Inpainting generators"."""
    call = {"image": [sketch()] * 2, "mask_image": [hole()] * 2, "num_inference_steps": 4, "eta": 0.5, "strength": 0.8}
    check_pictures(pipes, kind, prompt=["a cat", "snow"], **call)


@pytest.mark.parametrize("channels", (9, 4))
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_schedulers(scheduler, channels):
    pipes = both_pipelines(NAME, scheduler, channels=channels)
    within = 1e-5 if scheduler in ("PNDMScheduler", "DDIMScheduler", "DDPMScheduler") else 1e-4
    for strength in (0.6, 1.0):
        check_pictures(pipes, within=within, **call_of(NAME) | {"num_inference_steps": 6, "strength": strength})


# -- the ledger


def test_every_picture_has_its_own_generator(pipes):
    call = call_of(NAME) | {"num_inference_steps": 3, "output_type": "np", "num_images_per_prompt": 2}
    changed = []
    for pipe in pipes:
        one, other = (pipe(**call, generator=[seeded(seed), seeded(2)]).images for seed in (1, 7))
        changed.append([np.abs(a - b).max() > 1e-6 for a, b in zip(one, other)])
    assert changed == [[True, False], [True, True]]


def test_latents_are_the_noise():
    noise = randn(1, 4, 4, 4)
    found = []
    for pipe in both_pipelines(NAME, "DDIMScheduler", torch.float32):
        t, z_t = first_sample(pipe, latents=noise, strength=0.5)
        assert t == 401
        found.append(z_t)
    pipe, _ = both_pipelines(NAME, "DDIMScheduler", torch.float32)
    with torch.no_grad():
        z_0 = pipe.encode_pictures(pictures(sketch()), seeded())
    alpha_bar = pipe.scheduler.alpha_bar[401]
    assert alpha_bar.sqrt().item() == pytest.approx(0.650, abs=5e-4)
    torch.testing.assert_close(found[0], alpha_bar.sqrt() * z_0 + (1 - alpha_bar).sqrt() * noise)
    torch.testing.assert_close(found[1], noise)
