"""Intervals and verdicts: what they promise, and against what is counted out by hand."""

import pytest
import torch

from minidiff.course import statistics
from minidiff.zoo import evaluator


def test_frechet_distances_are_the_evaluators():
    features = torch.randn(40, 16, generator=torch.Generator().manual_seed(0)).double()
    weights = statistics.resamples(40, draws=3)
    ours = statistics.frechet_distances(weights, features)
    assert ours[0].item() == pytest.approx(evaluator.distance_to_world(features), rel=1e-6)
    rows = torch.repeat_interleave(torch.arange(40), (weights[2] * 40).round().long())
    assert ours[2].item() == pytest.approx(evaluator.distance_to_world(features[rows]), rel=1e-6)


def test_resamples():
    weights = statistics.resamples(7, draws=20)
    assert weights.shape == (21, 7) and torch.allclose(weights.sum(1), torch.ones(21).double())
    assert torch.equal(weights[0] * 7, torch.ones(7).double()) and torch.equal(
        weights, statistics.resamples(7, draws=20)
    )


def test_an_interval_covers_what_it_should():
    """Of 200 samples from a coin of 0.3, about 95 % of the intervals hold 0.3."""
    generator = torch.Generator().manual_seed(0)
    weights, hits = statistics.resamples(200, draws=300), 0
    for _ in range(200):
        entry = statistics.with_interval(weights @ (torch.rand(200, generator=generator) < 0.3).double())
        hits += entry["low"] <= 0.3 <= entry["high"]
    assert 180 <= hits <= 199


@pytest.mark.parametrize(("shift", "less", "verdict"), [(1, False, "yes"), (-1, False, "no"), (-1, True, "yes"),
                                                        (1, True, "no"), (0, False, "within noise")])  # fmt: skip
def test_verdicts(shift, less, verdict):
    values = torch.linspace(-0.5, 0.5, 101, dtype=torch.float64) + shift
    values[0] = shift
    assert statistics.with_verdict(values, less_is_better=less)["verdict"] == verdict


def test_one_picture_more_is_within_noise():
    """A mean's interval is not moved: what rounds across 0 then would be a verdict about nothing."""
    for one in torch.eye(150, dtype=torch.float64)[:10]:
        assert statistics.with_verdict(statistics.resamples(150) @ one)["verdict"] == "within noise"
        assert statistics.with_verdict(statistics.resamples(150) @ -one)["verdict"] == "within noise"


def test_medians():
    weights, values = statistics.resamples(7, draws=30), torch.tensor([3.0, 1, 2, 9, 5, 4, 8]).double()
    ours = statistics.medians(weights, values)
    assert ours[0] == 4
    for row, median in zip(weights, ours, strict=True):
        assert median == torch.repeat_interleave(values, (row * 7).round().long()).median()


def entry(value, low, high):
    return {"value": value, "low": low, "high": high}


def test_a_difference_of_entries_has_the_interval_of_what_was_drawn():
    """For two coins thrown apart it is, to a tenth, the one that resampling both gives."""
    generator, weights = torch.Generator().manual_seed(0), statistics.resamples(500)
    one, other = ((torch.rand(500, generator=generator) < p).double() for p in (0.5, 0.3))
    other_weights = statistics.resamples(500, seed=1)
    ours = statistics.difference(*(statistics.with_interval(weights @ values) for values in (one, other)))
    drawn = statistics.with_verdict(weights @ one - other_weights @ other)
    assert ours["value"] == pytest.approx(drawn["value"])
    assert all(
        ours[end] == pytest.approx(drawn[end], abs=0.1 * (drawn["high"] - drawn["low"]))
        for end in drawn
        if end in ("low", "high")
    )
    assert ours["verdict"] == drawn["verdict"] == "yes"


@pytest.mark.parametrize(
    ("one", "other", "less", "said"),
    [
        (entry(3, 2, 4), entry(7, 6, 8), True, "yes"),
        (entry(3, 2, 4), entry(7, 6, 8), False, "no"),
        (entry(0.19, 0.14, 0.25), entry(0.16, 0.11, 0.21), True, "within noise"),
        (entry(3, 2, 4), entry(4.5, 3.5, 5.5), True, "yes"),  # they overlap, and yet
        (entry(3, 1, 9), entry(8, 7.9, 8.1), True, "within noise"),  # high above, not below
        (entry(3, 0, 3.1), entry(8, 3.5, 8.1), True, "yes"),
    ],
)
def test_verdicts_of_entries(one, other, less, said):
    assert statistics.verdict(one, other, less_is_better=less) == said


def test_the_floor_is_that_of_as_many_true_drawings():
    floor = statistics.floor_of(40)
    said = evaluator.look(evaluator.stream(evaluator.UNSEEN, 40, 32))
    assert floor["value"] == pytest.approx(evaluator.distance_to_world(said.features), abs=1e-5)
    assert floor["low"] < floor["value"] < floor["high"]
    assert statistics.judged({("true", 1): said}, [])["floor"] == floor


RESULT = {
    "samples": 9,
    "rows": [
        {"sampler": "DDIM", "steps": 10, "calls": 10, "frechet": entry(2.0, 1.5, 2.75)},
        {"sampler": "PLMS", "steps": 9, "calls": 10, "frechet": entry(4.0, 3.0, 4.5)},
        {"sampler": "DDIM", "steps": 20, "calls": 20, "frechet": entry(1.0, 0.5, 1.25), "named": entry(0.9, 0.8, 1.0)},
    ],
}


def test_rows_become_entries_and_lines():
    assert list(statistics.entries_of(RESULT, "frechet")) == ["DDIM, 10 steps", "PLMS, 9 steps", "DDIM, 20 steps"]
    assert list(statistics.entries_of(RESULT, "named")) == ["DDIM, 20 steps"]
    only = ["PLMS, 9 steps", "DDIM, 10 steps"]
    assert list(statistics.entries_of(RESULT, "frechet", only)) == only
    with pytest.raises(ValueError, match="only has 'DDIM, 9 steps'; allowed are 'DDIM, 10 steps', 'PLMS"):
        statistics.entries_of(RESULT, "frechet", ["DDIM, 9 steps"])
    lines = statistics.lines_of(RESULT, "frechet", x="calls")
    assert {name: {x: e["value"] for x, e in line.items()} for name, line in lines.items()} == {
        "DDIM": {10: 2.0, 20: 1.0},
        "PLMS": {10: 4.0},
    }
    assert list(statistics.lines_of(RESULT, "frechet", ["PLMS"])["PLMS"]) == [9]


def test_bars_show_intervals_floor_and_the_papers_numbers():
    entries = statistics.entries_of(RESULT, "frechet")
    paper = {"DDIM, 10 steps": 13.36, "DDIM, 20 steps": 6.84}
    figure = statistics.bars(entries, "Fréchet", floor=entry(0.2, 0.1, 0.4), paper=paper, paper_label="FID")
    left, right = figure.axes
    assert [bar.get_width() for bar in left.patches[:3]] == [2, 4, 1]
    (_, _, (intervals,)) = left.containers[0].lines
    assert [tuple(segment[:, 0]) for segment in intervals.get_segments()] == [(1.5, 2.75), (3, 4.5), (0.5, 1.25)]
    assert [label.get_text() for label in left.get_yticklabels()] == list(entries)
    assert (left.get_xlabel(), right.get_xlabel()) == ("Fréchet", "FID")
    assert 0.2 in [line.get_xdata()[0] for line in left.lines]
    assert [(bar.get_y() + bar.get_height() / 2, bar.get_width()) for bar in right.patches] == [(0, 13.36), (2, 6.84)]
    assert len(statistics.bars(entries, "Fréchet").axes) == 1
    assert figure._repr_png_()[:4] == b"\x89PNG"


def test_curves_show_intervals_floor_and_the_papers_numbers():
    lines = statistics.lines_of(RESULT, "frechet", x="calls")
    more = dict(floor=entry(0.2, 0.1, 0.4), paper={"DDIM": {10: 13.36, 20: 6.84}}, marks={"a half": 0.5})
    figure = statistics.curves(lines, "calls", "Fréchet", paper_label="FID", xscale="log", **more)
    left, right = figure.axes
    drawn = {line.get_label(): line for line in left.lines}
    assert list(drawn["DDIM"].get_xydata().flatten()) == [10, 2, 20, 1]
    corners = left.collections[0].get_paths()[0].vertices
    assert {(10, 1.5), (10, 2.75), (20, 0.5), (20, 1.25)} <= set(map(tuple, corners))
    assert drawn["true drawings"].get_ydata()[0] == 0.2 and drawn["a half"].get_ydata()[0] == 0.5
    assert list(right.lines[0].get_ydata()) == [13.36, 6.84] and right.lines[0].get_color() == drawn["DDIM"].get_color()
    assert {axes.get_xscale() for axes in figure.axes} == {"log"}
    assert (left.get_xlabel(), left.get_ylabel(), right.get_ylabel()) == ("calls", "Fréchet", "FID")
    assert len(statistics.curves(lines, "calls", "Fréchet").axes) == 1 and figure._repr_png_()[:4] == b"\x89PNG"
