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
