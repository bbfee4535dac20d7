"""IPNDMScheduler: times and steps are those of diffusers, but where the ledger says otherwise; its errors are small."""

import math

import pytest
import torch
from against import assert_close, both, randn, refusal

from minidiff import IPNDMScheduler


def velocity(x_t, t, mean=0.4, std=0.5):
    """What a perfect network says for data N(mean, std^2), in x_t's dtype."""
    a, s = math.cos(math.pi * t / 2), math.sin(math.pi * t / 2)
    variance = (a * std) ** 2 + s**2
    eps, x_0 = s / variance * (x_t - a * mean), mean + a * std**2 / variance * (x_t - a * mean)
    return a * eps - s * x_0


def walked(scheduler, count, x_t, first=0):
    scheduler.set_timesteps(count)
    for t in scheduler.timesteps[first:]:
        x_t = scheduler.step(velocity(x_t, float(t)), t, x_t).prev_sample
    return x_t


@pytest.mark.parametrize("count", (1, 2, 3, 12, 50, 100, 333, 1000))
def test_times_and_levels(count):
    ours, theirs = both("IPNDMScheduler")
    for scheduler in (ours, theirs):
        scheduler.set_timesteps(count)
    assert ours.timesteps.dtype == torch.float32 and ours.timesteps[0] == 1
    for name in ("timesteps", "alphas", "betas"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name)), name
    assert ours.alphas[0] == 0 and ours.alphas[-1] == 1 and ours.betas[-1] == 0  # 0/0 waits at the first step


def test_before_set_timesteps():
    ours, theirs = both("IPNDMScheduler", num_train_timesteps=7)
    assert torch.equal(ours.timesteps, theirs.timesteps) and len(ours) == len(theirs) == 7
    assert ours.init_noise_sigma == theirs.init_noise_sigma == 1 and ours.order == theirs.order
    assert_close(
        ours.step(randn(), ours.timesteps[3], randn(seed=1)).prev_sample,
        theirs.step(randn(), theirs.timesteps[3], randn(seed=1)).prev_sample,
    )


@pytest.mark.parametrize("first_step, first", [("diffusers", 0), ("diffusers", 2), ("exact", 1), ("exact", 5)])
@pytest.mark.parametrize("count", (2, 3, 6, 20))
def test_steps(count, first_step, first):
    """Every step on random outputs, from the same samples: the history enters as it does there."""
    ours, theirs = both("IPNDMScheduler", first_step=first_step)
    for scheduler in (ours, theirs):
        scheduler.set_timesteps(count)
    for i, t in enumerate(ours.timesteps[first:]):
        arguments = randn(seed=2 * i), t, randn(seed=2 * i + 1)
        mine, other = (scheduler.step(*arguments).prev_sample for scheduler in (ours, theirs))
        assert_close(mine, other, 2e-5, what=f"{count} steps, call {i}")


def test_the_exact_first_step():
    ours = IPNDMScheduler()
    ours.set_timesteps(10)
    v, x_T = randn(), randn(seed=1)
    step = ours.step(v, 1.0, x_T)
    assert torch.equal(step.pred_original_sample, -v)  # at t = 1 the velocity is minus the sound
    assert_close(step.prev_sample, ours.sigma[1] * x_T - ours.alpha[1] * v)


def test_the_flow_of_a_gaussian():
    """Its closed form: x - a mean grows like the standard deviation of x_t."""
    x_T = torch.tensor([[1.5], [-0.7]], dtype=torch.float64)
    exact = 0.4 + 0.5 * x_T
    errors = [(walked(IPNDMScheduler(), count, x_T) - exact).abs().max().item() for count in (25, 50, 100, 200)]
    assert errors[2] < 5e-4
    assert all(coarse > 2.5 * fine for coarse, fine in zip(errors, errors[1:])), errors


def test_the_order_is_that_of_a_history_of_four():
    class Forgetful(IPNDMScheduler):
        def multistep(self, eps_t, sample):
            self.eps = [eps_t]
            return eps_t

    x_T = torch.tensor([[1.5]], dtype=torch.float64)
    remembering, forgetful = (abs(walked(kind(), 50, x_T) - 1.15) for kind in (IPNDMScheduler, Forgetful))
    assert forgetful > 10 * remembering
    scheduler = IPNDMScheduler()
    walked(scheduler, 9, x_T)
    assert len(scheduler.eps) == 4


def test_set_timesteps_forgets():
    scheduler, x_T = IPNDMScheduler(), randn(2, 1, 8)
    ends = [walked(scheduler, count, x_T) for count in (8, 5, 8)]
    assert torch.equal(ends[0], ends[2]) and not torch.equal(ends[0], ends[1])
    scheduler.set_timesteps(8)
    scheduler.step(randn(), scheduler.timesteps[0], randn())  # a walk that was broken off
    assert torch.equal(walked(scheduler, 8, x_T), ends[0])


def test_the_tuple():
    scheduler = IPNDMScheduler()
    (prev_sample,) = scheduler.step(randn(), scheduler.timesteps[0], randn(seed=1), return_dict=False)
    scheduler.set_timesteps(1000)
    assert torch.equal(prev_sample, scheduler.step(randn(), 1, randn(seed=1)).prev_sample)


@pytest.mark.parametrize("dtype", (torch.float16, torch.float64))
def test_dtypes(dtype):
    scheduler = IPNDMScheduler()
    scheduler.set_timesteps(4)
    for t in scheduler.timesteps:
        step = scheduler.step(randn().to(dtype), t, randn(seed=1).to(dtype))
        assert step.prev_sample.dtype == step.pred_original_sample.dtype == dtype
    assert scheduler.add_noise(randn().to(dtype), randn().to(dtype), 0.5).dtype == dtype


def test_noise_and_velocity():
    scheduler, t = IPNDMScheduler(), torch.tensor([0.0, 0.3])
    x_0, eps = randn(2, 1, 8), randn(2, 1, 8, seed=1)
    x_t, v = scheduler.add_noise(x_0, eps, t), scheduler.get_velocity(x_0, eps, t)
    assert torch.equal(x_t[0], x_0[0]) and torch.equal(v[0], eps[0])
    a, s = math.cos(0.15 * math.pi), math.sin(0.15 * math.pi)
    assert_close(x_t[1], a * x_0[1] + s * eps[1])
    assert_close(a * x_t[1] - s * v[1], x_0[1])  # what the velocity is for
    assert_close(s * x_t[1] + a * v[1], eps[1])
    assert_close(scheduler.add_noise(x_0, eps, 1), eps)


@pytest.mark.parametrize("count", (0, -3, 2.0, "5", None, True))
def test_counts_that_are_refused(count):
    scheduler = IPNDMScheduler()
    before = scheduler.timesteps
    with pytest.raises(ValueError, match=refusal("num_inference_steps", repr(count))):
        scheduler.set_timesteps(count)
    assert scheduler.timesteps is before


def test_what_is_refused():
    with pytest.raises(ValueError, match="first_step is 'second'; allowed are 'exact', 'diffusers'"):
        IPNDMScheduler(first_step="second")
    with pytest.raises(ValueError, match="num_train_timesteps is 0; allowed"):
        IPNDMScheduler(num_train_timesteps=0)
    with pytest.raises(ValueError, match="trained_betas is .* leaves out"):
        IPNDMScheduler(trained_betas=(0.1, 0.2))
    assert IPNDMScheduler(trained_betas=None).config.num_train_timesteps == 1000

    scheduler = IPNDMScheduler()
    scheduler.set_timesteps(3)
    with pytest.raises(ValueError, match="timestep is 0.5; allowed are the entries of timesteps"):
        scheduler.step(randn(), 0.5, randn())
    scheduler.step(randn(), scheduler.timesteps[0], randn())
    with pytest.raises(ValueError, match="timestep is 1; allowed is .*, entry 1 of timesteps, now"):
        scheduler.step(randn(), scheduler.timesteps[0], randn())
    for t in scheduler.timesteps[1:]:
        scheduler.step(randn(), t, randn())
    with pytest.raises(ValueError, match="all 3 steps are taken: set_timesteps starts anew"):
        scheduler.step(randn(), 1, randn())

    for t in (-0.1, 1.5, math.nan):
        with pytest.raises(ValueError, match="timesteps reach from .*; allowed are times from 0 to 1"):
            scheduler.add_noise(randn(), randn(), t)
    with pytest.raises(ValueError, match=r"timesteps has the shape \(3,\); allowed is one time, or 2"):
        scheduler.get_velocity(randn(), randn(), torch.rand(3))
    with pytest.raises(ValueError, match="noise is of shape .*; allowed is the shape of the sample"):
        scheduler.add_noise(randn(), randn(2, 3, 8), 0.5)
    with pytest.raises(ValueError, match="model_output is of shape .*; allowed is the shape of sample"):
        scheduler.step(randn(2, 3, 8, 1), 1, randn())
    with pytest.raises(ValueError, match=r"timestep has the shape \(2,\); allowed is one time"):
        scheduler.step(randn(), torch.ones(2), randn())
