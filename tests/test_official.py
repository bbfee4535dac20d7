"""The published weights: the corners of their pictures are those that the tests of diffusers know.

    pytest -m official

Skipped where the Hub is not reached and the weights are not in its cache.
"""

import threading
import urllib.request

import numpy as np
import pytest
import torch
from huggingface_hub import constants

import minidiff

pytestmark = pytest.mark.official

SECONDS = 5  # after which the Hub counts as not reached


@pytest.fixture(scope="module")
def hub():
    """True if the Hub answers soon, directly or through a proxy. In a thread: looking up a name has no timeout."""
    reached = []

    def ask():
        try:
            urllib.request.urlopen(
                f"{constants.ENDPOINT}/google/ddpm-cifar10-32/resolve/main/model_index.json", timeout=SECONDS
            )
            reached.append(True)
        except OSError:
            pass

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(SECONDS)
    return bool(reached)


@pytest.fixture
def load(hub):
    def load(name, repository):
        pipeline = getattr(minidiff, name)
        try:
            pipe = pipeline.from_pretrained(repository, local_files_only=not hub)
        except FileNotFoundError:
            if hub:
                raise
            pytest.skip(f"{repository} is not in the cache, and {constants.ENDPOINT} is not reached")
        pipe.set_progress_bar_config(disable=True)
        return pipe.to("cuda" if torch.cuda.is_available() else "cpu")

    return load


@pytest.mark.parametrize(
    "name, repository, call, corner",
    [
        (
            "DDPMPipeline",
            "google/ddpm-cifar10-32",
            {"num_inference_steps": 1000},
            [0.4200, 0.3588, 0.1939, 0.3847, 0.3382, 0.2647, 0.4155, 0.3582, 0.3385],
        ),
        (
            "DDIMPipeline",
            "google/ddpm-cifar10-32",
            {"eta": 0.0},
            [0.1723, 0.1617, 0.1600, 0.1626, 0.1497, 0.1513, 0.1505, 0.1442, 0.1453],
        ),
        (
            "DDIMPipeline",
            "google/ddpm-ema-bedroom-256",
            {"eta": 0.0},
            [0.0060, 0.0201, 0.0344, 0.0024, 0.0018, 0.0002, 0.0022, 0.0000, 0.0069],
        ),
        (
            "PNDMPipeline",
            "google/ddpm-cifar10-32",
            {"num_inference_steps": 50},
            [0.1564, 0.14645, 0.1406, 0.14715, 0.12425, 0.14045, 0.13115, 0.12175, 0.125],
        ),
        (
            "ScoreSdeVePipeline",
            "google/ncsnpp-church-256",
            {"num_inference_steps": 10},
            [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0],
        ),
        (  # as it was before diffusers began to divide its latents by 0.18215
            "LDMPipeline",
            "CompVis/ldm-celebahq-256",
            {"num_inference_steps": 5},
            [0.4399, 0.44975, 0.46825, 0.474, 0.4359, 0.4581, 0.45095, 0.4341, 0.4447],
        ),
        (
            "LDMTextToImagePipeline",
            "CompVis/ldm-text2im-large-256",
            {
                "prompt": "A painting of a squirrel eating a burger",
                "latents": torch.from_numpy(np.random.RandomState(0).standard_normal((1, 4, 32, 32))).float(),
                "guidance_scale": 6.0,
                "num_inference_steps": 3,
            },
            [0.51825, 0.52850, 0.52543, 0.54258, 0.52304, 0.52569, 0.54363, 0.55276, 0.56878],
        ),
    ],
)
def test_the_corner_of_a_picture(load, name, repository, call, corner):
    picture = load(name, repository)(generator=torch.manual_seed(0), output_type="np", **call).images[0]
    np.testing.assert_allclose(picture[-3:, -3:, -1].flatten(), corner, atol=1e-2)


@pytest.mark.parametrize(
    "repository, parameters, variance_type",
    [("google/ddpm-cifar10-32", 35_746_307, "fixed_large"), ("google/ddpm-celebahq-256", 113_673_219, "fixed_small")],
)
def test_what_is_published(load, repository, parameters, variance_type):
    pipe = load("DDPMPipeline", repository)
    assert pipe.unet.num_parameters() == parameters
    assert pipe.scheduler.config.variance_type == variance_type and pipe.scheduler.config.clip_sample


@pytest.mark.parametrize(
    "name, repository, parameters",
    [
        ("LDMPipeline", "CompVis/ldm-celebahq-256", {"unet": 274_056_163, "vqvae": 55_322_782}),
        ("LDMSuperResolutionPipeline", "CompVis/ldm-super-resolution-4x-openimages", {"unet": 113_622_563}),
        (
            "LDMTextToImagePipeline",
            "CompVis/ldm-text2im-large-256",
            {"unet": 872_300_484, "vqvae": 83_653_863, "bert": 581_994_042},
        ),
    ],
)
def test_what_is_published_over_latents(load, name, repository, parameters):
    pipe = load(name, repository)
    assert {key: getattr(pipe, key).num_parameters() for key in parameters} == parameters
    assert pipe.vqvae.config.scaling_factor == (0.18215 if "bert" in parameters else 1.0)


@pytest.mark.parametrize(
    "name, repository, channels",
    [
        ("StableDiffusionPipeline", "stable-diffusion-v1-5/stable-diffusion-v1-5", 4),
        ("StableDiffusionInpaintPipeline", "stable-diffusion-v1-5/stable-diffusion-inpainting", 9),
    ],
)
def test_what_is_published_of_stable_diffusion(load, name, repository, channels):
    pipe = load(name, repository)
    parameters = {"unet": 859_520_964 + (channels - 4) * 2_880, "vae": 83_653_863, "text_encoder": 123_060_480}
    parameters |= {"safety_checker": 303_981_588}
    assert {key: getattr(pipe, key).num_parameters() for key in parameters} == parameters
    assert pipe.unet.config.in_channels == channels and pipe.unet.config.sample_size == 64
    assert pipe.tokenizer.model_max_length == 77 and pipe.scheduler.config.steps_offset == 1


@torch.no_grad()
def test_the_network_of_dance_diffusion(load):
    pipe = load("DanceDiffusionPipeline", "harmonai/maestro-150k")
    assert pipe.unet.num_parameters() == 221_389_322 and len(pipe.scheduler) == 100
    wave = torch.sin(torch.arange(65536)).expand(1, 2, -1).to(pipe.device)
    v = pipe.unet(wave, 1).sample
    assert v.abs().sum().item() == pytest.approx(224.0896, abs=0.5)
    assert v.abs().max().item() == pytest.approx(0.0607, abs=4e-4)


@torch.no_grad()
def test_a_published_score(load):
    unet = load("ScoreSdeVePipeline", "google/ncsnpp-celebahq-256").unet
    ones = torch.ones(1, 3, 256, 256, device=unet.device)
    corner = [-4836.2178, -6487.1470, -3816.8196, -7964.9302, -10966.3037, -20043.5957, 8137.0513, 2340.3328, 544.6056]
    np.testing.assert_allclose(unet(ones, 1e-4).sample[0, -3:, -3:, -1].flatten().cpu(), corner, rtol=1e-2)
