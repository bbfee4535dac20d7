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
