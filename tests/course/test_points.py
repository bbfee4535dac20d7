"""The data of lesson 1, and the drawings made of them."""

import re

import pytest
import torch

from minidiff.course import points


def test_points_lie_near_the_line_and_the_same_seed_gives_the_same():
    some = points.spiral(2000, torch.Generator().manual_seed(0))
    assert some.shape == (2000, 2) and torch.equal(some, points.spiral(2000, torch.Generator().manual_seed(0)))
    assert points.share_near(some) > 0.99 > 0.8 > points.share_near(some, within=0.04)
    assert points.share_near(torch.randn(2000, 2, generator=torch.Generator().manual_seed(1))) < 0.5


def test_points_are_about_as_dense_on_the_whole_line():
    radius = points.spiral(100_000, torch.Generator().manual_seed(0)).norm(dim=1)
    line = points.curve(torch.linspace(points.START, points.END, 10_001))
    ways = (line[1:] - line[:-1]).norm(dim=1)
    for inner, outer in ((0.7, 1.0), (1.0, 1.4), (1.4, 1.9)):
        share = ((radius > inner) & (radius < outer)).float().mean().item()
        middle = line[1:].norm(dim=1)
        length = (ways[(middle > inner) & (middle < outer)].sum() / ways.sum()).item()
        assert share == pytest.approx(length, abs=0.02)


def test_the_mean_is_no_point_of_the_spiral():
    mean = points.spiral(100_000, torch.Generator().manual_seed(0)).mean(dim=0, keepdim=True)
    assert points.share_near(mean, within=0.4) == 0 and points.share_near(mean, within=0.6) == 1


def test_a_cloud_has_a_dot_for_each_point_inside():
    svg = points.cloud(torch.tensor([[0.0, 0.0], [points.SPAN / 2, points.SPAN / 2], [9.0, 0.0]]), "t = 3", size=200)
    assert re.findall(r"M(\d+) (\d+)h0", svg) == [("100", "100"), ("150", "50")] and ">t = 3</text>" in svg


def test_panels_hold_a_cloud_each():
    figure = points.panels({"one": torch.zeros(3, 2), "two": torch.ones(4, 2)})
    assert [axes.get_title() for axes in figure.axes] == ["one", "two"]
    assert [len(axes.collections[0].get_offsets()) for axes in figure.axes] == [3, 4]


def test_a_frame_of_the_training_holds_the_loss_so_far():
    html = points.progress([2.0] * 50 + [1.0] * 60, torch.zeros(3, 2))
    (places,) = re.findall(r'<polyline points="([^"]+)"', html)
    assert len(places.split()) == 2 and "after 110 steps" in html and html.count("h0") == 3
