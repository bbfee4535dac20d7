"""The recipe of the notes: it trains what is sampled, and what it writes can be loaded and is measured."""

import json
import math

import pytest
import torch
from torch import nn

from minidiff import DanceDiffusionPipeline, UNet1DModel, zoo
from minidiff.models.unet_1d import UNet1DOutput
from minidiff.zoo import sounds
from minidiff.zoo.recipes import recipe
from minidiff.zoo.recipes.muon import Muon
from minidiff.zoo.recipes.training import finish

NAME = "notes-dance-diffusion"
WEIGHTS = zoo.path(NAME)


class Knowing(nn.Module):
    """A perfect network for data that is one sound; it notes the times that it is asked about."""

    def __init__(self, x_0):
        super().__init__()
        self.x_0, self.times = x_0, []

    def forward(self, x_t, t):
        self.times.append(t)
        a, s = (f(math.pi / 2 * t)[:, None, None] for f in (torch.cos, torch.sin))
        return UNet1DOutput(sample=a * (x_t - a * self.x_0) / s - s * self.x_0)


def test_the_loss_is_nothing_where_all_is_known():
    chosen = recipe("notes-dance-diffusion")
    batch = (torch.full((12, 1, 64), 9830, dtype=torch.int16),)  # 0.3
    knowing, wrong = Knowing(9830 / 32767), Knowing(0.0)
    assert chosen.loss(knowing, batch, torch.Generator().manual_seed(0), step=0) < 1e-6
    assert chosen.loss(wrong, batch, torch.Generator().manual_seed(0), step=0) > 0.01

    u = torch.asin(torch.sin(math.pi / 2 * knowing.times[0]) ** 0.5) * 2 / math.pi  # of the crash schedule
    assert torch.equal((u * 12).floor(), torch.arange(12.0))  # one time from each of as many equal parts


def test_every_weight_is_learned_by_one_optimizer():
    chosen = recipe("notes-dance-diffusion")
    network = chosen.network()
    muon, adam = chosen.optimizers(network, 0)
    assert isinstance(muon, Muon) and not isinstance(adam, Muon)
    found = [id(W) for optimizer in (muon, adam) for group in optimizer.param_groups for W in group["params"]]
    wanted = [id(W) for W in network.parameters() if W.requires_grad]
    assert sorted(found) == sorted(wanted)
    assert {
        id(network.down_blocks[0].resnets[0].conv_1.weight),
        id(network.up_blocks[-1].resnets[-1].conv_2.weight),
    } <= {id(W) for W in adam.param_groups[0]["params"]}
    assert network.num_parameters() == pytest.approx(1.7e6, rel=0.1)  # 5 MB hold no more than 2.6e6 in float16
    assert network.sample_shape == (1, sounds.LENGTH) and network.config.sample_rate == sounds.SAMPLE_RATE


def test_a_run_of_three_steps(tmp_path, monkeypatch):
    chosen, kind = recipe("notes-dance-diffusion"), type(recipe("notes-dance-diffusion"))
    blocks = {
        "down_block_types": ("DownBlock1DNoSkip", *["DownBlock1D"] * 5),
        "up_block_types": (*["UpBlock1D"] * 5, "UpBlock1DNoSkip"),
        "block_out_channels": (4, 4, 4, 4, 4, 32),
    }
    measure = kind.measure
    monkeypatch.setattr(kind, "network", lambda self: UNet1DModel(8192, 8000, 1, 1, **blocks))
    monkeypatch.setattr(kind, "measure", lambda self, *where: measure(self, *where, samples=50, steps=2))
    monkeypatch.setattr(kind, "steps", 3)
    monkeypatch.setattr(kind, "drawings", 20)

    measures = finish(chosen, tmp_path)
    pipe = DanceDiffusionPipeline.from_pretrained(tmp_path)
    assert pipe.unet.config.time_embedding_dim == 16 and len(pipe.scheduler) == 100
    assert measures == json.loads((tmp_path / "measures.json").read_text())["measures"]
    assert measures["steps"] == 2 and measures["sounds"] == 50 and measures["on_scale_true"] == 1
    assert measures["frechet"] > measures["frechet_floor"]
    assert "on scale true | 1 |" in (tmp_path / "README.md").read_text()


# -- the weights


def test_it_is_what_its_recipe_makes():
    run, chosen = json.loads((WEIGHTS / "measures.json").read_text())["run"], recipe(NAME)
    assert [run[key] for key in ("seed", "steps", "batch_size", "drawings")] == [
        chosen.seed,
        chosen.steps,
        chosen.batch_size,
        chosen.drawings,
    ]


def test_it_is_good():
    measures = zoo.measures(NAME)
    assert (measures["sounds"], measures["steps"]) == (500, 50)
    assert measures["on_scale"] >= 0.6 and measures["on_scale_true"] >= 0.98 and measures["on_scale_noise"] <= 0.04
    assert set(measures["frequencies"]) == set(sounds.NAMES) and min(measures["frequencies"].values()) >= 0.1


def test_its_notes_are_as_true_as_its_measures_say():
    pipe = DanceDiffusionPipeline.from_pretrained(WEIGHTS)
    pipe.set_progress_bar_config(disable=True)
    waves = pipe(5, 25, torch.Generator().manual_seed(0)).audios
    assert sounds.share_on_scale(sounds.as_waves(waves)) >= zoo.measures(NAME)["on_scale"] - 0.2
