"""LDMSuperResolutionPipeline: the pictures are those of diffusers, but for what diffusers has wrong."""

import diffusers
import numpy as np
import pytest
import torch
from against import assert_close, seeded
from latent_pipelines import (
    PUBLISHED,
    REFUSED,
    both_pipelines,
    check_given_latents,
    check_output_types,
    check_pictures,
    check_refusal,
    check_watching,
    counted,
)
from PIL import Image

import minidiff
from minidiff import DDIMScheduler, DiffusionPipeline, LDMSuperResolutionPipeline

NAME = "LDMSuperResolutionPipeline"


def small(batch=2, size=4, seed=5):
    return torch.rand(batch, 3, size, size, generator=seeded(seed)) * 2 - 1


def picture(width, height):
    levels = torch.randint(256, (height, width, 3), dtype=torch.uint8, generator=seeded())
    return Image.fromarray(levels.numpy())


@pytest.fixture
def pipes():
    return both_pipelines(NAME)


@pytest.mark.parametrize("kind", ("none", "one", "list"))
@pytest.mark.parametrize("count", (1, 7, 20))
def test_pictures(pipes, kind, count):
    check_pictures(pipes, kind, image=small(), num_inference_steps=count)


@pytest.mark.parametrize("eta", (0.5, 1.0))
def test_pictures_with_noise_on_the_way(pipes, eta):
    check_pictures(pipes, "none", image=small(), num_inference_steps=5, eta=eta)


@pytest.mark.parametrize("size", ((32, 64), (33, 50), (95, 32)))
def test_pil_images(size):
    """Theirs shrinks to multiples of 32, as the published networks need; so do ours with as many halvings."""
    levels = {
        "block_out_channels": (4, 4, 4),
        "attention_head_dim": None,
        "down_block_types": ("DownBlock2D",) * 3,
        "up_block_types": ("UpBlock2D",) * 3,
    }
    pipes = both_pipelines(NAME, unet=levels)  # 4 by 8: 2^(3 - 1) for the UNet, 2^(4 - 1) for the autoencoder
    check_pictures(pipes, image=picture(*size), num_inference_steps=2)


def test_other_shapes(pipes):
    check_pictures(pipes, image=torch.rand(2, 3, 6, 2, generator=seeded()) * 2 - 1, num_inference_steps=3)


@pytest.mark.parametrize("scheduler", ("PNDMScheduler", "DDPMScheduler"))
def test_other_schedulers(scheduler):
    check_pictures(both_pipelines(NAME, scheduler=scheduler), "none", image=small(), num_inference_steps=6)


def test_the_published_scheduler():
    check_pictures(both_pipelines(NAME, steps_offset=1, beta_end=0.0155), image=small(), num_inference_steps=5)


@pytest.mark.parametrize("eta", (0.5, 1.0))
def test_the_generator_reaches_every_draw(pipes, eta):
    same = []
    for pipe in pipes:
        pictures = []
        for seed in (1, 2):  # of the global generator
            torch.manual_seed(seed)
            call = {"eta": eta, "generator": seeded(), "num_inference_steps": 4, "output_type": "np"}
            pictures.append(pipe(small(), **call).images)
        same.append(np.array_equal(*pictures))
    assert same == [True, False]


@pytest.mark.parametrize("scheduler", ("EulerDiscreteScheduler",))
def test_the_small_picture_is_not_scaled(pipes, scheduler):
    """Schedulers in sigma scale what is noisy before the network sees it; theirs scales the small picture with it.

    At 60 steps every deterministic sampler follows the same flow: DDIM's, with the right pictures.
    """
    ours, theirs = pipes
    shown = {}
    for name, pipe, library in (("ours", ours, minidiff), ("theirs", theirs, diffusers)):
        pipe.scheduler = getattr(library, scheduler).from_config(PUBLISHED)
        seen = shown.setdefault(name, [])
        pipe.unet.register_forward_pre_hook(lambda module, arguments, seen=seen: seen.append(arguments[0][:, 3:]))
    call = {"image": small(), "num_inference_steps": 60, "output_type": "latent"}
    z_0 = ours(generator=seeded(), **call).images
    theirs(generator=seeded(), **call | {"output_type": "pt"})
    assert all(torch.equal(y, small()) for y in shown["ours"])
    scales = [(y / small()).mean().item() for y in shown["theirs"]]
    assert min(scales) < 0.1 and max(scales) > 0.9
    ours.scheduler = DDIMScheduler.from_config(PUBLISHED, timestep_spacing="linspace")
    assert_close(z_0, ours(generator=seeded(), **call).images, 0.1)


def test_latents_are_decoded_as_they_are(pipes):
    """No scale divides them, whatever the autoencoder's config says."""
    ours, _ = pipes
    assert ours.vqvae.config.scaling_factor == 0.5
    z_0, pictures = check_output_types(pipes, image=small())
    with torch.no_grad():
        assert torch.equal((ours.vqvae.decode(z_0).sample / 2 + 0.5).clamp(0, 1), pictures)
    assert pictures.shape == (2, 3, 32, 32)


def test_several_of_one(pipes):
    """A PIL image is enlarged batch_size times; diffusers forgets batch_size."""
    ours, theirs = pipes
    image = picture(32, 32)
    assert len(theirs(image, batch_size=3, num_inference_steps=2).images) == 1
    drawn = ours(image, batch_size=3, generator=seeded(), num_inference_steps=2, output_type="pt").images
    assert drawn.shape == (3, 3, 256, 256) and not torch.equal(drawn[0], drawn[1])
    with pytest.raises(ValueError, match="batch_size is 3 for 2 pictures; allowed is one for each"):
        ours(small(), batch_size=3)


def test_loading_and_saving(tmp_path, pipes):
    pipes[1].save_pretrained(tmp_path / "theirs")
    loaded = DiffusionPipeline.from_pretrained(tmp_path / "theirs")
    assert type(loaded) is LDMSuperResolutionPipeline
    loaded.save_pretrained(tmp_path / "ours")
    again = diffusers.LDMSuperResolutionPipeline.from_pretrained(tmp_path / "ours")
    for pipe in (loaded, again):
        pipe.set_progress_bar_config(disable=True)
    check_pictures((loaded, again), image=small(), num_inference_steps=3)


def test_by_default_there_are_a_hundred_steps(pipes):
    calls = counted(pipes[0])
    pipes[0](small(1))
    assert calls == list(range(990, -1, -10))


def test_given_latents(pipes):
    check_given_latents(pipes[0], (2, 3, 4, 4), image=small())


def test_watching(pipes):
    check_watching(pipes[0], (2, 3, 4, 4), image=small())


@pytest.mark.parametrize(
    "change, message",
    (
        *REFUSED,
        ({"image": None}, "image is None; allowed is a PIL image, or a tensor"),
        ({"image": "cat.png"}, "image is 'cat.png'; allowed"),
        ({"image": small(size=5)}, r"image has the shape \(2, 3, 5, 5\); allowed is .* multiples of 2"),
        ({"image": small()[0]}, r"image has the shape \(3, 4, 4\); allowed"),
        ({"image": small()[:, :1]}, r"image has the shape \(2, 1, 4, 4\); allowed"),
        ({"image": small()[:0]}, r"image has the shape \(0, 3, 4, 4\); allowed"),
        ({"image": small() * 200}, "image has the dtype torch.float32 and numbers from -.* to .*; allowed .* -1 to 1"),
        ({"image": small() / 0}, "image has the dtype torch.float32 and numbers from .*; allowed"),
        ({"image": small().to(torch.uint8)}, "image has the dtype torch.uint8 .*; allowed are floating-point"),
        ({"image": picture(15, 40)}, "image is 15 x 40; allowed are at least 16 x 16 pixels"),
        ({"batch_size": 0}, "batch_size is 0; allowed"),
    ),
)
def test_arguments_that_are_refused(pipes, change, message):
    check_refusal(pipes[0], message, {"image": small()} | change)


def test_a_misspelt_argument(pipes):
    message = "LDMSuperResolutionPipeline has no argument 'images'; did you mean 'image'"
    check_refusal(pipes[0], message, {"images": small()}, TypeError)
