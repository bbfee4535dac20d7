"""The cell at the end of every lesson: pictures where the Hub is reached, else a sentence, and never an error."""

# ruff: noqa: F811  fixtures are imported and are arguments too
import pytest
import torch
from test_hub import hub, saved  # noqa: F401

from minidiff import DDIMPipeline, DDPMPipeline
from minidiff.course import official


def test_pictures(hub, saved, capsys):
    hub.add("me/small", saved)
    images = official.show(DDIMPipeline, "me/small", batch_size=3, num_inference_steps=2)
    assert len(images) == 3 and images[0].size == (8, 8)
    said = capsys.readouterr().out
    assert said.startswith("me/small: 3 of 8x8, ") and "on cpu" in said or torch.cuda.is_available()


def test_a_seed_decides_the_pictures(hub, saved):
    hub.add("me/small", saved)

    def pixels(**more):
        images = official.show(DDPMPipeline, "me/small", num_inference_steps=2, **more)
        return images[0].tobytes()

    assert pixels() == pixels(seed=0) == pixels(seed=5, generator=torch.Generator().manual_seed(0)) != pixels(seed=1)


def test_in_a_notebook_they_are_shown(hub, saved, monkeypatch):
    IPython = pytest.importorskip("IPython")
    shown = []
    monkeypatch.setattr(IPython, "get_ipython", lambda: object())
    monkeypatch.setattr("IPython.display.display", shown.append)
    hub.add("me/small", saved)
    official.show(DDIMPipeline, "me/small", batch_size=3, num_inference_steps=2, columns=2, size=16)
    (sheet,) = shown
    assert sheet.width == sheet.height > 2 * 16  # two columns, two rows


def test_without_the_hub(hub, saved, capsys):
    hub.stop()
    assert official.show(DDIMPipeline, "me/small") == []
    assert capsys.readouterr().out == (
        "me/small: not shown. The Hub cannot be reached from here; "
        "on a machine that reaches it this cell shows pictures.\n"
    )


def test_the_cache_is_enough(hub, saved):
    hub.add("me/small", saved)
    DDPMPipeline.from_pretrained("me/small")
    hub.stop()
    assert official.show(DDPMPipeline, "me/small", num_inference_steps=2)


def test_other_troubles_are_said_and_end_nothing(hub, saved, capsys, monkeypatch):
    assert official.show(DDIMPipeline, "me/nothing") == []
    assert "not shown. FileNotFoundError: 'me/nothing' is neither a folder" in capsys.readouterr().out
    hub.add("me/gated", saved)
    hub.gated.add("me/gated")
    assert official.show(DDIMPipeline, "me/gated") == []
    assert "PermissionError: 'me/gated' is gated" in capsys.readouterr().out

    def out_of_memory(*args, **kwargs):
        raise RuntimeError("out of\n memory")

    hub.add("me/small", saved)
    monkeypatch.setattr(DDIMPipeline, "__call__", out_of_memory)
    assert official.show(DDIMPipeline, "me/small") == []
    assert capsys.readouterr().out == "me/small: not shown. RuntimeError: out of memory\n"


def test_what_wants_a_gpu_downloads_nothing_without_one(hub, saved, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    hub.add("me/small", saved)
    assert official.show(DDIMPipeline, "me/small", gpu=True) == [] and hub.log == []
    assert "without a GPU" in capsys.readouterr().out
