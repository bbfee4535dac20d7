"""StableDiffusionPipeline: its pictures are those of diffusers."""

import pytest
import torch
from against import randn
from stable_pipelines import SCHEDULERS, both_pipelines, call_of, check_pictures

NAME = "StableDiffusionPipeline"


@pytest.fixture(scope="module")
def pipes():
    return both_pipelines(NAME)


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"guidance_scale": 1.0},
        {"guidance_scale": 0.5},
        {"guidance_scale": 3, "negative_prompt": "snow"},
        {"height": 32, "width": 48},
        {"height": 24, "width": 40},  # odd latents
        {"num_images_per_prompt": 2},
        {"prompt": ["a cat", "snow"], "negative_prompt": ["", "cat"]},
        {"prompt": ["a cat", "snow"], "negative_prompt": "dog", "num_images_per_prompt": 2},
        {"prompt": ""},
        {"num_inference_steps": 1},
        {"eta": 0.7},
    ],
    ids=lambda call: "-".join(call) or "default",
)
def test_pictures(pipes, call):
    check_pictures(pipes, **call_of(NAME) | {"num_inference_steps": 5} | call)


@pytest.mark.parametrize("kind", ("none", "list"))
def test_generators(pipes, kind):
    check_pictures(pipes, kind, prompt=["a cat", "snow"], num_inference_steps=4)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_schedulers(scheduler):
    """Swapped in by from_config; each takes from the published config what was given there, and no more."""
    pipes = both_pipelines(NAME, scheduler)
    # The others' own samples pass through float32.
    within = 1e-5 if scheduler in ("PNDMScheduler", "DDIMScheduler", "DDPMScheduler") else 1e-4
    check_pictures(pipes, within=within, **call_of(NAME), num_inference_steps=6)
    check_pictures(pipes, "list", within, prompt=["a cat", "snow"], num_inference_steps=4, eta=0.5, guidance_scale=2)


def test_gradients_reach_the_noise_and_the_words():
    """Through the loop itself, under guidance; the safety checker looks on."""
    pipe = both_pipelines(NAME, "DDIMScheduler", torch.float32, checker=True)[0]
    noise = randn(1, 4, 4, 4).requires_grad_()
    words = pipe.encode_prompt("a cat", do_classifier_free_guidance=False)[0].detach().requires_grad_()
    loop = type(pipe).__call__.__wrapped__
    images = loop(pipe, prompt_embeds=words, latents=noise, num_inference_steps=2, output_type="pt").images
    images.mean().backward()
    assert noise.grad.abs().max() > 0 and words.grad.abs().max() > 0
