"""Guidance: where it stands between two predictions, and how its scale counts."""

import math

import pytest
import torch
from against import assert_close, randn

from minidiff.pipelines.guidance import check_guidance_scale, guided


def test_scales_with_a_name():
    eps_u, eps_c = randn(seed=1), randn(seed=2)
    assert_close(guided(eps_u, eps_c, 1.0), eps_c)
    assert_close(guided(eps_u, eps_c, 0.0), eps_u)


def test_the_scale_is_one_more_than_the_papers_w():
    """As diffusers counts: from the unconditional prediction."""
    eps_u, eps_c = randn(seed=1), randn(seed=2)
    assert_close(guided(eps_u, eps_c, 7.5), eps_u + 7.5 * (eps_c - eps_u))
    papers_w = guided(eps_u, eps_c, 7.5 + 1)  # who takes the scale for the paper's w goes 15 % too far
    further = (papers_w - eps_u).norm() / (guided(eps_u, eps_c, 7.5) - eps_u).norm()
    assert further.item() == pytest.approx(8.5 / 7.5, rel=1e-4)


@pytest.mark.parametrize("scale", [math.nan, math.inf, -math.inf, None, "7.5", torch.tensor([1.0, 2.0]), True])
def test_scales_that_are_refused(scale):
    with pytest.raises(ValueError, match="guidance_scale is .*; allowed is a finite number"):
        check_guidance_scale(scale)


@pytest.mark.parametrize("scale", [0, 1, 7.5, -2.0])
def test_scales_that_are_let_pass(scale):
    check_guidance_scale(scale)
