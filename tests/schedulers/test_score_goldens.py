"""Whole walks of the samplers of SDEs against the papers' own code: see tests/goldens/README.md."""

import numpy as np
import pytest
import torch
from against import assert_close
from scores import golden, ve_score, vp_score

from minidiff import KarrasVeScheduler, ScoreSdeVeScheduler, ScoreSdeVpScheduler
from minidiff.course.mixture import Mixture
from minidiff.schedulers import karras_ve, score_sde_ve, score_sde_vp, sde


class Recorded:
    """A network that notes where it is asked, and answers as the mixture of a golden does."""

    def __init__(self, wanted, answer):
        self.mixture = Mixture(wanted["mu"], wanted["std"], wanted["w"])
        self.answer, self.x, self.t, self.out = answer, [], [], []

    def __call__(self, x, t):
        self.x.append(x)
        self.t.append(float(t))
        self.out.append(self.answer(self.mixture, x, t).to(x.dtype))
        return self.out[-1]

    def check(self, wanted, final, within):
        assert np.allclose(self.t, wanted["call_t"], rtol=1e-6, atol=0)
        assert_close(torch.stack(self.x), wanted["call_x"])
        assert_close(torch.stack(self.out), wanted["model_out"])
        assert_close(final, wanted["final"], within)


def replay(monkeypatch, wanted, *modules):
    draws = iter(wanted["noise"])
    for module in modules:
        monkeypatch.setattr(module, "randn_like", lambda x, generator=None: next(draws).to(x.dtype))
    return draws


def test_predictor_and_corrector(monkeypatch):
    wanted = golden("score_sde_ve_pc")
    draws = replay(monkeypatch, wanted, sde, score_sde_ve)
    scheduler = ScoreSdeVeScheduler(24, snr=0.16, sigma_min=0.01, sigma_max=50, sampling_eps=1e-5)
    network = Recorded(wanted, ve_score)
    x = scheduler.init_noise_sigma * wanted["x_T"]
    for t, sigma in zip(scheduler.timesteps, scheduler.sigmas):
        x = scheduler.step_correct(network(x, sigma), x).prev_sample
        step = scheduler.step_pred(network(x, sigma), t, x)
        x = step.prev_sample
    network.check(wanted, step.prev_sample_mean, 1e-5)
    assert not list(draws) and np.allclose(scheduler.discrete_sigmas, wanted["sigmas"], rtol=1e-5)


def test_euler_maruyama(monkeypatch):
    wanted = golden("score_sde_vp_em")
    draws = replay(monkeypatch, wanted, score_sde_vp)
    scheduler = ScoreSdeVpScheduler(beta_min=0.1, beta_max=20, sampling_eps=1e-3)
    scheduler.set_timesteps(30)
    eps = lambda mixture, x, label: (
        -scheduler.sde.sigma(label.double() / 999) * vp_score(mixture, x, label.double() / 999)
    )
    network, x = Recorded(wanted, eps), wanted["x_T"]
    for t in scheduler.timesteps:
        x, x_mean = scheduler.step_pred(network(x, scheduler.label(t)), x, t)
    network.check(wanted, x_mean, 2e-5)
    assert not list(draws) and np.allclose(scheduler.timesteps, wanted["timesteps"], rtol=1e-6)


def test_heun_with_churn(monkeypatch):
    wanted = golden("karras_ve_churn")
    draws = replay(monkeypatch, wanted, karras_ve)
    scheduler = KarrasVeScheduler(0.02, 100, s_noise=1.007, s_churn=80, s_min=0.05, s_max=50)
    scheduler.set_timesteps(12)
    assert np.allclose(scheduler.schedule.flip(0), wanted["sigmas"][:-1], rtol=1e-6)
    scheduler.schedule = wanted["sigmas"][:-1].flip(0)  # in float64, in which the original walked
    network = Recorded(wanted, lambda mixture, x, sigma: x + sigma**2 * ve_score(mixture, x, sigma))
    output, x = lambda x, sigma: (network(x, sigma) - x) / sigma, scheduler.init_noise_sigma * wanted["x_T"].double()
    for t in scheduler.timesteps:
        sigma, sigma_prev = scheduler.schedule[t], scheduler.schedule[t - 1] if t > 0 else 0
        x_hat, sigma_hat = scheduler.add_noise_to_input(x, sigma)
        step = scheduler.step(output(x_hat, sigma_hat), sigma_hat, sigma_prev, x_hat)
        if t > 0:
            x_prev, d = step.prev_sample, step.derivative
            step = scheduler.step_correct(output(x_prev, sigma_prev), sigma_hat, sigma_prev, x_hat, x_prev, d)
        x = step.prev_sample
    network.check({key: value.double() if key != "meta" else value for key, value in wanted.items()}, x, 1e-5)
    assert not list(draws)


@pytest.mark.parametrize("name", ("score_sde_ve_pc", "score_sde_vp_em", "karras_ve_churn"))
def test_walks_in_other_ways_end_elsewhere(name):
    """A golden can tell a walk from another: its states spread."""
    wanted = golden(name)
    assert wanted["final"].std() > 0.1 and len(wanted["call_x"]) == len(wanted["call_t"]) > 20
