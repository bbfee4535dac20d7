"""The SDEs: their ways forward and back agree with each other, and with data whose score is known."""

import pytest
import torch
from against import assert_close, refusal
from torch.func import grad, vmap

from minidiff import DDPMScheduler
from minidiff.schedulers.sde import VESDE, VPSDE

STD = 0.5  # of the data, N(0, STD^2)
SDES = {"ve": VESDE(0.01, 50.0), "vp": VPSDE()}
each_sde = pytest.mark.parametrize("sde", SDES.values(), ids=SDES)
T = torch.linspace(0.01, 1, 21, dtype=torch.float64)


def variance(sde, t):
    """Of x_t, for data N(0, STD^2)."""
    m, sigma = sde.marginal(1.0, t)
    return (m * STD) ** 2 + sigma**2


@each_sde
def test_the_way_forward_has_the_marginals(sde):
    """dm/dt = f(m), and d sigma^2 / dt = 2 f(sigma) sigma + g^2, for a drift that is linear in x."""
    m, sigma = (lambda t, part=part: sde.marginal(torch.ones_like(t), t)[part] for part in (0, 1))
    drift = sde.f(torch.ones_like(T), T)
    assert_close(vmap(grad(m))(T) + 1, drift * m(T) + 1, 1e-12)  # + 1: of VE both are 0
    assert_close(vmap(grad(lambda t: sigma(t) ** 2))(T), 2 * drift * sigma(T) ** 2 + sde.g(T) ** 2, 1e-12)


@each_sde
def test_the_ways_back_have_them_too(sde):
    """Of x ~ N(0, v) the score is -x / v: how v changes follows from a drift that is linear in x."""
    v, change = variance(sde, T), vmap(grad(lambda t: variance(sde, t)))(T)
    score = -1 / v  # at x = 1
    assert_close(2 * sde.probability_flow(torch.ones_like(T), T, score) * v, change, 1e-12)
    assert_close(2 * sde.reverse(torch.ones_like(T), T, score) * v - sde.g(T) ** 2, change, 1e-12)


@each_sde
def test_what_the_walk_back_begins_with(sde):
    assert variance(sde, torch.tensor(1.0)) == pytest.approx(sde.prior_std**2, rel=1e-3)


def test_ends():
    ve, vp = SDES["ve"], SDES["vp"]
    assert ve.sigma(0) == 0.01 and ve.sigma(1) == pytest.approx(50) and ve.sigma(0.5) == pytest.approx(0.5**0.5)
    assert (vp.beta(0), vp.beta(1), vp.m(0), vp.sigma(0)) == (0.1, 20, 1, 0)
    assert vp.m(1) == pytest.approx(0.00657, rel=1e-3)


def test_a_little_noise_does_not_drown_in_rounding():
    assert VPSDE().sigma(torch.tensor(1e-8)) == pytest.approx((1e-8 * 0.1) ** 0.5, rel=1e-5)


def test_ddpm_is_the_vp_sde_in_steps():
    alpha_bar = DDPMScheduler().alpha_bar
    t = torch.arange(1, 1001) / 1000
    assert_close(VPSDE().m(t) ** 2, alpha_bar, 5e-3)


def test_times_that_are_tensors_of_a_batch():
    x, t = torch.randn(3, 2, 4, 4), torch.tensor([0.1, 0.5, 0.9]).reshape(3, 1, 1, 1)
    for sde in SDES.values():
        mean, sigma = sde.marginal(x, t)
        assert mean.shape == sde.reverse(x, t, x).shape == sde.probability_flow(x, t, x).shape == x.shape
        assert sigma.shape == sde.g(t).shape == t.shape


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: VESDE(0.0, 50), refusal("sigma_min", 0.0)),
        (lambda: VESDE("0.01", 50), refusal("sigma_min", "'0.01'")),
        (lambda: VESDE(50, 50), r"sigma_max is 50; allowed are numbers above sigma_min, 50"),
        (lambda: VESDE(0.1, float("inf")), refusal("sigma_max", "inf")),
        (lambda: VPSDE(-1, 20), refusal("beta_min", -1)),
        (lambda: VPSDE(20, 0.1), r"beta_max is 0.1; allowed are numbers above beta_min, 20"),
    ],
)
def test_ranges_that_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
