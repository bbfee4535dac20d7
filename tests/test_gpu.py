"""On a GPU every pipeline draws what it draws on the processor, in half precision nearly, and every recipe trains."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import minidiff
from minidiff import cli, zoo
from minidiff.zoo.catalogue import CATALOGUE
from minidiff.zoo.recipes import NAMES, recipe
from minidiff.zoo.recipes.training import finish

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


@pytest.fixture(autouse=True)
def no_tf32(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def drawn(name, device, dtype=None, scheduler=None, steps=10):
    """(2, H, W, 3) in [0, 1]: two pictures; two sounds as they are, (2, C, L)."""
    entry = CATALOGUE[name]
    pipe = cli.load(name, None, device).to(dtype or torch.float32)
    pipe.set_progress_bar_config(disable=True)
    if scheduler is not None:
        pipe.scheduler = getattr(minidiff, scheduler).from_config(pipe.scheduler.config)
    call = cli.for_batch(pipe, 2, entry.call | {"num_inference_steps": steps})
    result = pipe(generator=torch.Generator().manual_seed(0), **call)
    return result.audios if entry.draws_sound else np.stack([np.asarray(image, float) for image in result.images]) / 255


@pytest.mark.parametrize("name", CATALOGUE)
def test_it_draws_the_same_pictures(name):
    here, there = (drawn(name, device) for device in ("cpu", "cuda"))
    assert here.std() > 0.02 and np.abs(here - there).mean() < 0.002


@pytest.mark.parametrize("name", CATALOGUE)
def test_in_half_precision_it_draws_nearly_the_same(name):
    """As the processor in half precision, that is: there other noise is drawn than in single precision."""
    here, there = (drawn(name, device, torch.float16, steps=5) for device in ("cpu", "cuda"))
    assert here.std() > 0.02 and np.abs(here - there).mean() < 0.05


@pytest.mark.parametrize("scheduler", cli.SCHEDULERS.values())
def test_every_scheduler_steps_there(scheduler):
    here, there = (drawn("stable_diffusion", device, scheduler=scheduler, steps=8) for device in ("cpu", "cuda"))
    assert np.abs(here - there).mean() < 0.002


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_trains_and_saves_there(name, tmp_path):
    chosen = recipe(name)
    chosen.drawings = 100
    assert finish(chosen, tmp_path, "cuda", steps=2) is None  # so few are not measured
    assert [file for file in tmp_path.rglob("*.safetensors") if load_file(file)]


FEW = {
    "notes-dance-diffusion": dict(samples=25, steps=2),
    "storybook-ddpm": dict(samples=100, steps=2),
    "storybook-ldm": dict(samples=100, steps=2),
    "storybook-ldm-sr": dict(samples=100, steps=2),
    "storybook-ldm-text": dict(samples=100, steps=2),
    "storybook-ncsnpp": dict(samples=100, steps=2),
    "storybook-sd": dict(samples=100, fewer=10),
    "storybook-sd-inpaint": dict(n=4, steps=2),
}


@pytest.mark.parametrize("name", FEW)
def test_what_is_drawn_there_can_be_measured(name):
    assert recipe(name).measure(zoo.path(name), "cuda", **FEW[name])
