"""`minidiff measure`: it goes on where it was stopped, and as it was begun."""

import json
from types import SimpleNamespace

import pytest
import torch

from minidiff import DDPMPipeline, DDPMScheduler, UNet2DModel
from minidiff.cli import main
from minidiff.course import claims
from minidiff.course.claims import ddim, ddpm, measuring, pndm, sampling
from minidiff.zoo import evaluator


class Unet(UNet2DModel):
    """The smallest network there is, which says that there is no noise, and counts how often it is asked."""

    calls = 0

    def forward(self, x, t):
        Unet.calls += len(x)
        return SimpleNamespace(sample=torch.zeros_like(x))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A network that costs nothing, an evaluator that was never trained, and the bars that were shown."""
    torch.manual_seed(1)
    network, bars = evaluator.Evaluator(block_out_channels=(8, 8, 8, 8)).eval(), []
    monkeypatch.setattr(evaluator, "evaluator", lambda: network)
    blocks = dict(down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2)
    unet = Unet(sample_size=8, block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4, **blocks)
    pipe = DDPMPipeline(unet, DDPMScheduler())
    monkeypatch.setattr(measuring.DDPMPipeline, "from_pretrained", lambda folder: pipe)
    whole = measuring.progress_bar
    monkeypatch.setattr(measuring, "progress_bar", lambda **options: bars.append(whole(**options)) or bars[-1])
    monkeypatch.setattr(Unet, "calls", 0)
    return bars


@pytest.mark.parametrize("paper", claims.PAPERS)
def test_the_bar_ends_where_it_said(paper, quick, tmp_path):
    results = measuring.measure(paper, tmp_path / "found.json", samples=2)
    parts = {"ddpm": ddpm, "ddim": ddim, "pndm": pndm}[paper].PARTS
    assert list(results) == [part.__name__ for part in parts]
    (bar,) = quick
    assert bar.n == bar.total == sum(calls(2) for calls in parts.values())
    assert [file.name for file in tmp_path.iterdir()] == ["found.json"]
    there = json.loads((tmp_path / "found.json").read_text())
    assert there == {"run": {"paper": paper, "weights": "storybook-ddpm", "samples": 2}, "measures": results}
    assert measuring.measure(paper, tmp_path / "found.json", samples=2) == results and len(quick) == 1


def parts(monkeypatch, stop_at=None):
    """DDIM's parts, two short ones; the second is stopped at its walk number `stop_at`."""
    walks = []

    def first(pipe, samples, work):
        return ddim.interpolation(pipe, samples, steps=2, work=work)

    def second(pipe, samples, work):
        return ddim.encoding(pipe, samples, steps=(2, 3), work=work)

    def draw(*arguments):
        walks.append(arguments)
        if len(walks) == stop_at:
            raise KeyboardInterrupt
        return sampling.draw(*arguments)

    monkeypatch.setattr(ddim, "draw", draw)
    monkeypatch.setattr(ddim, "PARTS", {first: lambda n: 4 * n, second: lambda n: 10 * n})


def test_it_goes_on_where_it_was_stopped(monkeypatch, tmp_path, quick):
    parts(monkeypatch)
    whole = measuring.measure("ddim", tmp_path / "whole.json", samples=4)
    assert Unet.calls == 4 * 14

    Unet.calls = 0
    parts(monkeypatch, stop_at=4)  # its way there and back in two steps, and there in three, are done
    with pytest.raises(KeyboardInterrupt):
        measuring.measure("ddim", tmp_path / "found.json", samples=4)
    assert list(json.loads((tmp_path / "found.json").read_text())["measures"]) == ["first"]
    parts(monkeypatch)
    assert measuring.measure("ddim", tmp_path / "found.json", samples=4) == whole
    assert Unet.calls == 4 * 14  # no walk was made twice
    assert (quick[-1].n, quick[-1].total) == (40, 40)
    assert not (tmp_path / "found.json.batches").exists()


def test_what_is_kept_is_a_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "BATCH", 2)
    made, start = [], torch.arange(4.0)
    make = lambda x: made.append(len(x)) or 2 * x
    for _ in range(2):
        for key in ("a", "b"):
            assert torch.equal(sampling.Work(folder=tmp_path).batch(make, start, key), 2 * start)
    assert len(made) == 2
    sampling.Work(folder=tmp_path).batch(make, start + 1, "a")
    assert len(made) == 3 and len(list(tmp_path.iterdir())) == 3


def test_another_beginning_is_refused(monkeypatch, tmp_path, capsys):
    parts(monkeypatch)
    monkeypatch.chdir(tmp_path)
    assert main(["measure", "ddim", "--samples", "4", "--device", "cpu"]) == 0
    assert capsys.readouterr().out == "What ddim claims is measured in ddim.json: first, second.\n"
    before = (tmp_path / "ddim.json").read_bytes()
    for name, samples in (("ddim", "5"), ("ddpm", "4")):
        assert main(["measure", name, "--samples", samples, "--out", "ddim.json", "--device", "cpu"]) == 2
        said = capsys.readouterr().err
        assert f"paper ddim, weights storybook-ddpm, samples 4, no beginning of paper {name}" in said
    assert (tmp_path / "ddim.json").read_bytes() == before


def test_errors(tmp_path):
    with pytest.raises(ValueError, match="paper is 'ddpn'; allowed are 'ddpm', 'ddim', 'pndm'"):
        measuring.measure("ddpn", tmp_path / "found.json")
    with pytest.raises(ValueError, match="samples is 1; allowed is a whole number from 2 on"):
        measuring.measure("ddim", tmp_path / "found.json", samples=1)


def test_what_ships_can_be_gone_on_with():
    for paper in claims.PAPERS:
        run = {"paper": paper, "weights": "storybook-ddpm", "samples": 1000}
        assert measuring.begun(claims.MEASURED / f"{paper}.json", run) == claims.measured(paper)
