"""DDIMScheduler: every step, there and back, is that of diffusers."""

from itertools import product

import diffusers
import pytest
import torch
from against import assert_close, both, generators, picture_network, randn, seeded, std

from minidiff import DDIMScheduler
from minidiff.course.mixture import final_std, walk

PREDICTIONS = ("epsilon", "sample", "v_prediction")
SPACINGS = ("leading", "linspace", "trailing")
COUNTS = (1, 7, 30, 50)


def check_steps(ours, theirs, count, kind="one", **options):
    """Every step of a walk on random outputs, from the same samples, with the same noise."""
    for scheduler in (ours, theirs):
        scheduler.set_timesteps(count)
    for i, t in enumerate(ours.timesteps):
        arguments = randn(seed=2 * i), t, 2 * randn(seed=2 * i + 1)
        results = []
        for scheduler, generator in zip((ours, theirs), generators(kind)):
            torch.manual_seed(i)
            results.append(scheduler.step(*arguments, generator=generator, **options))
        what = f"{dict(ours.config)} {options} at {t}"
        assert_close(results[0].prev_sample, results[1].prev_sample, what=what)
        assert_close(results[0].pred_original_sample, results[1].pred_original_sample, what=what)


@pytest.mark.parametrize("prediction_type", PREDICTIONS)
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("eta", (0.0, 0.5, 1.0))
def test_steps(prediction_type, spacing, eta):
    flags = product((True, False), (True, False), (0, 1), (True, False))
    for (clip_sample, set_alpha_to_one, steps_offset, clipped), count in zip(flags, COUNTS * 4):
        config = {"clip_sample": clip_sample, "set_alpha_to_one": set_alpha_to_one, "steps_offset": steps_offset}
        config |= {"prediction_type": prediction_type, "timestep_spacing": spacing, "step_to": "ratio"}
        check_steps(*both("DDIMScheduler", **config), count, eta=eta, use_clipped_model_output=clipped)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("config", ({}, {"steps_offset": 1, "set_alpha_to_one": False}))
def test_by_default_steps_are_theirs_where_the_spacing_is_leading(count, config):
    check_steps(*both("DDIMScheduler", **config), count, eta=0.5)


@pytest.mark.parametrize("spacing", ("linspace", "trailing"))
@pytest.mark.parametrize("count", COUNTS)
def test_by_default_steps_go_to_the_next_timestep(spacing, count):
    # A step of theirs between any two timesteps: one of DDPM's, at eta = 1, has the same target and the same law.
    config = {"timestep_spacing": spacing, "clip_sample": False, "beta_schedule": "scaled_linear"}
    ddim, ddpm = DDIMScheduler(**config), both("DDPMScheduler", **config)[1]
    for scheduler in (ddim, ddpm):
        scheduler.set_timesteps(count)
    for t in ddim.timesteps:
        arguments = randn(), t, randn(seed=1)
        mine = ddim.step(*arguments, eta=1.0, generator=seeded()).prev_sample
        assert_close(mine, ddpm.step(*arguments, seeded()).prev_sample)


@pytest.mark.parametrize("schedule", ("linear", "scaled_linear", "squaredcos_cap_v2"))
def test_all_steps(schedule):
    config = {"beta_schedule": schedule, "clip_sample": False, "num_train_timesteps": 200}
    check_steps(*both("DDIMScheduler", **config), 200, eta=1.0)


@pytest.mark.parametrize("kind", ("none", "one", "list"))
@pytest.mark.parametrize("eta", (0.0, 0.5))
def test_generators(kind, eta):
    check_steps(*both("DDIMScheduler"), 10, kind, eta=eta)


def test_at_eta_0_nothing_is_drawn():
    scheduler, generator = DDIMScheduler(), seeded()
    scheduler.set_timesteps(10)
    for t in scheduler.timesteps:
        scheduler.step(randn(), t, randn(seed=1), generator=generator)
    assert torch.equal(generator.get_state(), seeded().get_state())


def test_noise_that_is_given():
    noise = randn(seed=7)
    check_steps(*both("DDIMScheduler"), 10, "none", eta=0.5, variance_noise=noise)
    scheduler = DDIMScheduler()
    scheduler.set_timesteps(10)
    with pytest.raises(ValueError, match="generator and variance_noise are both given"):
        scheduler.step(randn(), 900, randn(), eta=0.5, generator=seeded(), variance_noise=noise)


@pytest.mark.parametrize("eta", (-0.1, 1.1, float("nan"), "0.5", None))
def test_eta_that_is_refused(eta):
    scheduler = DDIMScheduler()
    scheduler.set_timesteps(10)
    with pytest.raises(ValueError, match=f"eta is {eta!r}; allowed are numbers from 0"):
        scheduler.step(randn(), 900, randn(), eta=eta)


def test_a_step_needs_set_timesteps():
    for step in (DDIMScheduler().step, DDIMScheduler().inverse_step):
        with pytest.raises(ValueError, match="set_timesteps.* was not called"):
            step(randn(), 900, randn())


@pytest.mark.parametrize("config", ({"eta": 0.0}, {"eta": 0.5}, {"eta": 1.0}, {"eta": 0.0, "clip_sample": True}))
@pytest.mark.parametrize("spacing", SPACINGS)
def test_trajectories(config, spacing):
    config = {"clip_sample": False, "timestep_spacing": spacing} | config
    eta, ends = config.pop("eta"), []
    for scheduler in both("DDIMScheduler", step_to="ratio", **config):
        scheduler.set_timesteps(50)
        ends.append(walk(scheduler, picture_network(scheduler), randn(), generator=seeded(1), eta=eta))
    assert_close(*ends)


# -- and back


@pytest.mark.parametrize("prediction_type", PREDICTIONS)
@pytest.mark.parametrize("spacing", ("leading", "trailing"))
def test_inverse_steps(prediction_type, spacing):
    for clip_sample, set_alpha_to_one, steps_offset in product((True, False), (True, False), (0, 1)):
        config = {"clip_sample": clip_sample, "set_alpha_to_one": set_alpha_to_one, "steps_offset": steps_offset}
        config |= {"prediction_type": prediction_type, "timestep_spacing": spacing}
        ours, theirs = DDIMScheduler(**config, step_to="ratio"), diffusers.DDIMInverseScheduler(**config)
        for scheduler in (ours, theirs):
            scheduler.set_timesteps(30)
        assert torch.equal(ours.timesteps.flip(0), theirs.timesteps)
        for t in theirs.timesteps:
            arguments = randn(), t, 2 * randn(seed=1)
            if prediction_type == "sample" and set_alpha_to_one and ours.alpha_bar_before(t) == 1:
                with pytest.raises(
                    ValueError, match="cannot be inverted from a clean picture: set set_alpha_to_one=False"
                ):
                    ours.inverse_step(*arguments)
                continue
            mine, other = ours.inverse_step(*arguments), theirs.step(*arguments)
            assert_close(mine.prev_sample, other.prev_sample, what=f"{config} at {t}")
            assert_close(mine.pred_original_sample, other.pred_original_sample)
            assert len(ours.inverse_step(*arguments, return_dict=False)) == 2


def test_there_and_back():
    scheduler = DDIMScheduler(clip_sample=False, set_alpha_to_one=False, timestep_spacing="linspace")
    network, errors = picture_network(scheduler), []
    for count in (50, 100, 200):
        scheduler.set_timesteps(count)
        x_0 = walk(scheduler, network, randn(dtype=torch.float64))
        x_t = x_0
        for t in scheduler.timesteps.flip(0):
            x_t = scheduler.inverse_step(network(x_t, t).sample, t, x_t).prev_sample
        errors.append((walk(scheduler, network, x_t) - x_0).abs().max().item())
    assert errors[0] < 0.2 and errors[1] < 0.7 * errors[0] and errors[2] < 0.7 * errors[1]


# -- the ledger


def test_where_the_step_goes():
    ours, theirs = both("DDIMScheduler", timestep_spacing="linspace", clip_sample=False)
    assert std(ours, 10) == pytest.approx(0.3616, abs=1e-4)
    assert std(theirs, 10) == pytest.approx(0.4189, abs=1e-4)
    assert std(DDIMScheduler(timestep_spacing="linspace", clip_sample=False, step_to="ratio"), 10) == std(theirs, 10)


def test_final_std_is_that_of_a_walk():
    scheduler = DDIMScheduler(clip_sample=False)
    for count in (10, 100):
        assert final_std(scheduler, 0.5, count) == pytest.approx(std(scheduler, count), rel=1e-6)


@pytest.mark.parametrize("spacing, count", (("linspace", 5), ("linspace", 6), ("trailing", 4), ("trailing", 5)))
def test_the_budget_of_noise_is_never_negative(spacing, count):
    """At eta = 1 nearly all of it is fresh in the first step, and what is left is as small as a float's rounding."""
    scheduler = DDIMScheduler(beta_schedule="squaredcos_cap_v2", timestep_spacing=spacing)
    scheduler.set_timesteps(count)
    step = scheduler.step(randn(), scheduler.timesteps[0], randn(seed=1), eta=1, generator=seeded())
    assert step.prev_sample.isfinite().all() and step.prev_sample.dtype == torch.float32


def test_the_budget_of_noise_is_negative_in_diffusers():
    ours, theirs = both("DDIMScheduler", beta_schedule="squaredcos_cap_v2", timestep_spacing="trailing")
    stepped = []
    for scheduler in (ours, theirs):
        scheduler.set_timesteps(5)
        x, eps = randn(), randn(seed=1)
        stepped.append(scheduler.step(eps, scheduler.timesteps[0], x, eta=1.0, generator=seeded()).prev_sample)
    assert stepped[0].isfinite().all() and stepped[1].isnan().all()
