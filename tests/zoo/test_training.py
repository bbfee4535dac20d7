"""The loop that trained the zoo: a stop changes nothing, and a run of several parts begins each anew."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from minidiff.zoo.recipes import training
from minidiff.zoo.recipes.muon import Muon
from minidiff.zoo.recipes.training import TrainingRecipe, learning_rate_share, train


class Line(TrainingRecipe):
    """Learns y = x from noisy pairs, with noise that the step's generator draws."""

    name, steps, batch_size, warmup, ema_decay = "line", 12, 4, 3, 0.5

    def network(self):
        return nn.Linear(1, 1)

    def data(self):
        return (torch.linspace(-1, 1, 50)[:, None],)

    def loss(self, network, batch, generator, step):
        (x,) = batch
        return ((network(x) - x - 0.1 * torch.randn(x.shape, generator=generator)) ** 2).mean()

    def save(self, network, folder):
        raise AssertionError("only `finish` saves")

    measure = save


class TwoOptimizers(Line):
    """As `Line`, with Muon for its matrix."""

    def optimizers(self, network, step):
        return [Muon([network.weight], 0.1), torch.optim.AdamW([network.bias], 0.02)]


class Stop(Exception):
    pass


@pytest.mark.parametrize("Line", [Line, TwoOptimizers])
def test_a_stopped_run_goes_on_as_if_it_had_never_stopped(tmp_path, monkeypatch, Line):
    whole, run = train(Line(), tmp_path / "whole")
    assert run["steps"] == 12 and run["drawings"] == 50

    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0)
    loss = Line.loss

    def stopping(self, network, batch, generator, step):
        if step == 7:
            raise Stop
        return loss(self, network, batch, generator, step)

    monkeypatch.setattr(Line, "loss", stopping)
    with pytest.raises(Stop):
        train(Line(), tmp_path / "stopped")
    steps = []
    monkeypatch.setattr(Line, "loss", lambda self, *arguments: steps.append(arguments[-1]) or loss(self, *arguments))
    resumed, _ = train(Line(), tmp_path / "stopped")
    assert steps == [7, 8, 9, 10, 11]
    for key, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[key])


def test_a_part_begins_with_the_averaged_weights(tmp_path, monkeypatch):
    average, seen = training.average, []

    def seeing(ema, network, decay):
        average(ema, network, decay)
        seen.append(ema.weight.item())

    weights, loss = [], Line.loss
    monkeypatch.setattr(training, "average", seeing)
    monkeypatch.setattr(
        Line, "loss", lambda self, *arguments: weights.append(arguments[0].weight.item()) or loss(self, *arguments)
    )
    for restarts in ((), (6,)):
        monkeypatch.setattr(Line, "restarts", restarts)
        weights.clear(), seen.clear()
        train(Line(), tmp_path / str(len(restarts)))
        assert (weights[6] == seen[5]) == (restarts == (6,))


def test_the_learning_rate_rises_and_falls_in_each_part():
    recipe = Line()
    one = [learning_rate_share(recipe, step, 12) for step in range(12)]
    assert one[:4] == [pytest.approx(k / 3) for k in (1, 2, 3)] + [1]
    assert all(a > b for a, b in zip(one[3:], one[4:])) and one[-1] < 0.1
    recipe.restarts = (12, 24)
    assert [learning_rate_share(recipe, step, 36) for step in range(36)] == 3 * one


def test_each_optimizer_has_the_peak_that_it_was_made_with(tmp_path, monkeypatch):
    rates, loss = [], Line.loss
    made = []

    def optimizers(self, network, step):
        made[:] = [torch.optim.SGD([network.weight], 0.1), torch.optim.SGD([network.bias], 0.2 if step < 6 else 0.4)]
        return made

    monkeypatch.setattr(Line, "optimizers", optimizers)
    monkeypatch.setattr(Line, "restarts", (6,))

    def looking(self, *arguments):
        rates.append([group["lr"] for optimizer in made for group in optimizer.param_groups])
        return loss(self, *arguments)

    monkeypatch.setattr(Line, "loss", looking)
    trained = train(Line(), tmp_path)[0]
    torch.manual_seed(Line.seed)
    for before, after in zip(Line().network().parameters(), trained.parameters(), strict=True):
        assert not torch.equal(before, after)
    shares = [learning_rate_share(Line(), step, 12) for step in range(12)]
    wanted = [[0.1 * share, (0.2 if step < 6 else 0.4) * share] for step, share in enumerate(shares)]
    assert rates == [pytest.approx(pair) for pair in wanted]


def test_a_run_cut_short_has_the_whole_curve():
    recipe = Line()
    short = [learning_rate_share(recipe, step, 9) for step in range(9)]
    recipe.restarts = (12, 24)
    assert [learning_rate_share(recipe, step, 9) for step in range(9)] == short


@pytest.mark.parametrize("bfloat16", [True, False])
def test_half_precision_is_left_out_where_a_recipe_says_so(tmp_path, monkeypatch, bfloat16):
    monkeypatch.setattr(training, "half_precision", lambda device: torch.autocast(device, torch.bfloat16))
    monkeypatch.setattr(Line, "bfloat16", bfloat16)
    dtypes, loss = set(), Line.loss

    def looking(self, network, *arguments):
        dtypes.add(network(torch.zeros(1, 1)).dtype)
        return loss(self, network, *arguments)

    monkeypatch.setattr(Line, "loss", looking)
    train(Line(), tmp_path)
    assert dtypes == {torch.bfloat16 if bfloat16 else torch.float32}


def test_what_is_saved_lies_on_the_processor_and_is_measured_where_it_was_trained(tmp_path, monkeypatch):
    network, saved = SimpleNamespace(cpu=lambda: "on the processor"), []
    monkeypatch.setattr(training, "train", lambda *arguments: (network, {"steps": Line.steps, "device": arguments[2]}))
    monkeypatch.setattr(Line, "save", lambda self, network, folder: saved.append(network))
    monkeypatch.setattr(Line, "measure", lambda self, folder, device: {"drawn on": device})
    assert training.finish(Line(), tmp_path, "cuda") == {"drawn on": "cuda"} and saved == ["on the processor"]


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    recipe = Line()
    train(recipe, tmp_path, steps=6)
    with pytest.raises(ValueError, match="is at step 6 of 6 of line, which is no beginning of 12 steps of line"):
        train(recipe, tmp_path)
    prolonged = TwoOptimizers()
    prolonged.restarts = (6,)  # where a part begins the run may go on, with other optimizers too
    assert train(prolonged, tmp_path)[1]["steps"] == 12
    recipe.name = "curve"
    with pytest.raises(ValueError, match="12 of 12 of line, which is no beginning of 12 steps of curve"):
        train(recipe, tmp_path)
