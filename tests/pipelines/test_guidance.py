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
    w = 7.5  # who passes the paper's w as guidance_scale gets 13 % less guidance
    less = (guided(eps_u, eps_c, w) - eps_c).norm() / (guided(eps_u, eps_c, 1 + w) - eps_c).norm()
    assert less.item() == pytest.approx(6.5 / 7.5, rel=1e-4)


@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16))
def test_half_precision(dtype):
    """The error is that of rounding the result, once."""
    eps_u = randn(10_000, seed=1)
    eps_c = (eps_u + 0.1 * randn(10_000, seed=2)).to(dtype)
    eps_u = eps_u.to(dtype)
    exact = guided(eps_u.double(), eps_c.double(), 7.5)
    assert torch.equal(guided(eps_u, eps_c, 7.5), exact.to(torch.float32).to(dtype))


@pytest.mark.parametrize("scale", [math.nan, math.inf, -math.inf, None, "7.5", torch.tensor([1.0, 2.0]), True])
def test_scales_that_are_refused(scale):
    with pytest.raises(ValueError, match="guidance_scale is .*; allowed is a finite number"):
        check_guidance_scale(scale)


@pytest.mark.parametrize("scale", [0, 1, 7.5, -2.0])
def test_scales_that_are_let_pass(scale):
    check_guidance_scale(scale)
