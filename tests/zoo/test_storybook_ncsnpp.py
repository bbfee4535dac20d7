"""storybook-ncsnpp: what its recipe makes, and what it has to be worth."""

import json
import math
from types import SimpleNamespace

import diffusers
import numpy as np
import pytest
import torch
from against import randn, seeded
from safetensors.torch import load_file
from scores import ve_score

from minidiff import KarrasVePipeline, ScoreSdeVePipeline, UNet2DModel, zoo
from minidiff.course.mixture import Mixture
from minidiff.zoo import evaluator, world
from minidiff.zoo.evaluator import as_tensor
from minidiff.zoo.recipes import recipe
from minidiff.zoo.recipes.muon import Muon
from minidiff.zoo.recipes.quality import quality

WEIGHTS = zoo.path("storybook-ncsnpp")


@pytest.fixture(scope="module")
def report():
    return json.loads((WEIGHTS / "measures.json").read_text())


def quiet(pipeline, folder=WEIGHTS):
    pipe = pipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe


# -- the recipe


def test_its_frequencies_survive_half_precision():
    network = recipe("storybook-ncsnpp").network()
    W = network.time_proj.weight
    assert torch.equal(W, W.half().float()) and W.std() == pytest.approx(16, rel=0.5)
    assert not W.requires_grad and network.num_parameters() == 1_921_993


def test_every_weight_that_is_learned_has_one_optimizer():
    network, chosen = recipe("storybook-ncsnpp").network(), recipe("storybook-ncsnpp")
    muon, adam = chosen.optimizers(network, 0)
    shared = [[W for group in optimizer.param_groups for W in group["params"]] for optimizer in (muon, adam)]
    assert isinstance(muon, Muon) and all(W.ndim > 1 for W in shared[0])
    learned = [W for W in network.parameters() if W.requires_grad]
    assert sorted(map(id, shared[0] + shared[1])) == sorted(map(id, learned))


def test_half_of_the_last_part_goes_to_where_colours_are_told_apart():
    """The other half goes everywhere, as before."""
    chosen, B = recipe("storybook-ncsnpp"), 32
    t, at_colours = chosen.times(B, 11_999, seeded())
    assert not at_colours.any() and torch.equal((t * B).long(), torch.arange(B))
    moved, at_colours = chosen.times(B, 12_000, seeded())
    assert at_colours.sum() == B // 2 and torch.equal(moved[~at_colours], t[~at_colours])
    low, high = (math.log(sigma / 0.01, 5000) for sigma in (0.1, 1.2))
    assert torch.equal(((moved[at_colours] - low) / (high - low) * B // 2).long(), torch.arange(B // 2))


def test_errors_where_colours_are_told_apart_weigh_four_times_as_much():
    chosen, told = recipe("storybook-ncsnpp"), []
    wrong = lambda x, sigma: told.append(sigma) or SimpleNamespace(sample=torch.zeros_like(x))
    pictures = (torch.zeros(64, 3, 16, 16, dtype=torch.uint8),)
    before, after = (chosen.loss(wrong, pictures, seeded(), step).item() for step in (11_999, 12_000))
    # the squares of z have the mean 1, so what is left is the mean weight: sigma / 0.5, or 0.2
    mean = lambda sigma: torch.clamp(2 * sigma, min=0.2).mean().item()
    assert before == pytest.approx(mean(told[0]), rel=0.05)
    assert after == pytest.approx((mean(told[1][1::2]) + 4 * mean(told[1][::2])) / 2, rel=0.05)


@torch.no_grad()
def test_the_loss_is_least_for_the_true_score():
    """Data that are one picture: its noise can be told exactly, and a worse score has a larger loss."""
    chosen = recipe("storybook-ncsnpp")
    picture = torch.full((8, 3, 4, 4), 51, dtype=torch.uint8)  # 0.2
    mixture = Mixture([[0.2] * 48], [1e-4])

    class Network(torch.nn.Module):
        def __init__(self, factor):
            super().__init__()
            self.factor = factor

        def forward(self, x, sigma):
            return type("Output", (), {"sample": (self.factor * ve_score(mixture, x, sigma)).float()})

    losses = [chosen.loss(Network(factor), (picture,), seeded(), 0).item() for factor in (1.0, 1.1, 0.9, 0.0)]
    assert losses[0] < 1e-3 and losses[1] > 0.05 and losses[2] > 0.05 and losses[3] > losses[2]


def test_quality_says_how_even_the_classes_are():
    pixels, shown = world.training_set(60, seed=0, size=32)
    pictures = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    measures = quality(pictures, drawings=60, seed=0)
    assert measures["images"] == 60 and measures["named"] > 0.9
    for name in ("named", "frechet"):
        value, low, high = measures["intervals"][name]
        assert low <= value <= high and value == pytest.approx(measures[name], abs=1e-4)
    for attribute in ("object", "time"):
        assert 0.7 < measures["evenness"][attribute]["least"] <= 1 <= measures["evenness"][attribute]["most"] < 1.4


# -- the weights


def test_it_is_what_its_recipe_makes(report):
    chosen = recipe("storybook-ncsnpp")
    run = [report["run"][key] for key in ("seed", "steps", "batch_size", "drawings")]
    assert run == [chosen.seed, chosen.steps, chosen.batch_size, chosen.drawings]
    shapes = {key: W.shape for key, W in chosen.network().state_dict().items()}
    (file,) = WEIGHTS.rglob("*.safetensors")
    assert {key: W.shape for key, W in load_file(file).items()} == shapes and file.stat().st_size < 5 * 2**20


def test_it_is_good(report):
    measures = report["measures"]
    assert (measures["images"], measures["steps"]) == (1_000, 200)
    assert measures["named"] >= 0.95 and measures["frechet"] <= 4 * measures["frechet_floor"]
    assert measures["nearest"] >= 0.9 * measures["nearest_floor"]  # it draws, and copies nothing
    for attribute in world.ATTRIBUTES:
        assert 0.5 <= measures["evenness"][attribute]["least"] <= measures["evenness"][attribute]["most"] <= 2


def test_it_tells_orange_from_red_and_yellow():
    """Of drawings a little redder and a little yellower than orange it makes what is more alike than they are.

    A network that only halves the noise, and lets the colour pass, loses orange: sampling wanders off to the last
    colours on both sides, and nothing leads it back.
    """
    draw = lambda k, colour: as_tensor(world.draw(seed=7_000_000 + k, size=32, colour=colour).image)
    of = lambda colour: torch.stack([draw(k, colour) for k in range(12)])  # the same scenes
    red, orange, yellow = of("red"), of("orange"), of("yellow")
    unet, sigma = UNet2DModel.from_pretrained(WEIGHTS, subfolder="unet"), 0.3
    z, x_0, x_0_hat = randn(*orange.shape), [0.8 * orange + 0.2 * other for other in (red, yellow)], []
    for x in (picture + sigma * z for picture in x_0):
        with torch.no_grad():
            x_0_hat.append(x + sigma**2 * unet(x, sigma).sample)
    way = x_0[1] - x_0[0]
    assert ((x_0_hat[1] - x_0_hat[0]) * way).sum() < 0.95 * way.square().sum()


def test_its_pictures_are_as_good_as_its_measures_say(report):
    """24 of them, by Karras' sampler, which needs fewer calls."""
    pictures = quiet(KarrasVePipeline)(24, 30, seeded(), "pt").images
    share, named = report["measures"]["named"], evaluator.share(evaluator.named(evaluator.look(pictures)))
    assert named >= share - 4 * (share * (1 - share) / 24) ** 0.5 - 0.1


def test_diffusers_draws_the_same_pictures():
    theirs = diffusers.ScoreSdeVePipeline.from_pretrained(WEIGHTS)
    theirs.set_progress_bar_config(disable=True)
    drawn = [pipe(2, 10, seeded(), "np").images for pipe in (quiet(ScoreSdeVePipeline), theirs)]
    np.testing.assert_allclose(*drawn, rtol=0, atol=2e-3)
    assert drawn[0].std() > 0.05


def test_it_is_loaded_as_it_is_saved():
    unet = UNet2DModel.from_pretrained(WEIGHTS, subfolder="unet")
    assert unet.config.time_embedding_type == "fourier" and unet.config.center_input_sample
    with torch.no_grad():
        assert unet(randn(1, 3, 32, 32), 0.5).sample.isfinite().all()
