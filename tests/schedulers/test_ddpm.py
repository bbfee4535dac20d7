"""DDPMScheduler: every step is that of diffusers, and the variance of what it draws is that of the formula."""

import pytest
import torch
from against import assert_close, both, generators, picture_network, randn, seeded

from minidiff import DDPMScheduler
from minidiff.course.mixture import Mixture, double_precision, final_std, walk


def check_steps(ours, theirs, count, kind="one"):
    """Every step of a walk on random outputs, from the same samples, with the same noise."""
    for scheduler in (ours, theirs):
        scheduler.set_timesteps(count)
    for i, t in enumerate(ours.timesteps):
        arguments = randn(seed=2 * i), t, 2 * randn(seed=2 * i + 1)
        mine, other = generators(kind)
        torch.manual_seed(i)
        ours_out = ours.step(*arguments, generator=mine)
        torch.manual_seed(i)
        theirs_out = theirs.step(*arguments, generator=other)
        if t == 0 or i + 1 < len(ours.timesteps) or ours.config.variance_type == "fixed_small":  # see the test below
            assert_close(ours_out.prev_sample, theirs_out.prev_sample, what=f"{dict(ours.config)} at {t}")
        assert_close(ours_out.pred_original_sample, theirs_out.pred_original_sample)


@pytest.mark.parametrize("prediction_type", ("epsilon", "sample", "v_prediction"))
@pytest.mark.parametrize("variance_type", ("fixed_small", "fixed_large"))
@pytest.mark.parametrize("spacing", ("leading", "linspace", "trailing"))
@pytest.mark.parametrize("clip_sample", (True, False))
def test_steps(prediction_type, variance_type, spacing, clip_sample):
    config = {"prediction_type": prediction_type, "variance_type": variance_type, "timestep_spacing": spacing}
    for count in (1, 7, 30, 50):
        for steps_offset in (0, 1):
            check_steps(*both("DDPMScheduler", **config, clip_sample=clip_sample, steps_offset=steps_offset), count)


@pytest.mark.parametrize("kind", ("none", "one", "list"))
def test_generators(kind):
    check_steps(*both("DDPMScheduler"), 10, kind)


@pytest.mark.parametrize("schedule", ("linear", "scaled_linear", "squaredcos_cap_v2"))
def test_all_steps(schedule):
    check_steps(*both("DDPMScheduler", beta_schedule=schedule, clip_sample=False, num_train_timesteps=200), 200)


def test_without_set_timesteps_all_are_visited():
    ours, theirs = both("DDPMScheduler")
    for t in (999, 500, 1, 0):
        arguments = randn(), t, randn(seed=1)
        assert_close(ours.step(*arguments, seeded()).prev_sample, theirs.step(*arguments, seeded()).prev_sample)


@pytest.mark.parametrize("spacing", ("leading", "trailing"))
def test_the_last_step_draws_nothing(spacing):
    scheduler, generator = DDPMScheduler(timestep_spacing=spacing, variance_type="fixed_large"), seeded()
    scheduler.set_timesteps(10)
    scheduler.step(randn(), scheduler.timesteps[-1], randn(seed=1), generator)
    assert torch.equal(generator.get_state(), seeded().get_state())
    scheduler.step(randn(), scheduler.timesteps[-2], randn(seed=1), generator)
    assert not torch.equal(generator.get_state(), seeded().get_state())


def test_the_last_step_adds_noise_in_diffusers():
    both_schedulers = both("DDPMScheduler", timestep_spacing="trailing", variance_type="fixed_large")
    for scheduler in both_schedulers:
        scheduler.set_timesteps(10)
    ours, theirs = (s.step(randn(), s.timesteps[-1], randn(seed=1), seeded()).prev_sample for s in both_schedulers)
    assert both_schedulers[0].timesteps[-1] == 99
    assert (theirs - ours).std().item() == pytest.approx(0.324, abs=0.03)
    assert_close(theirs - ours, (1 - both_schedulers[0].alpha_bar[99]) ** 0.5 * randn(), 1e-5)


@pytest.mark.parametrize("variance_type", ("fixed_small", "fixed_large"))
@pytest.mark.parametrize("count, clip_sample", ((50, False), (50, True), (1000, False)))
def test_trajectories(variance_type, count, clip_sample):
    ends = []
    for scheduler in both("DDPMScheduler", variance_type=variance_type, clip_sample=clip_sample):
        scheduler.set_timesteps(count)
        ends.append(walk(scheduler, picture_network(scheduler), randn(), generator=seeded(1)))
    assert_close(*ends)


@pytest.mark.parametrize("variance_type", ("learned", "learned_range", "fixed_small_log", "fixed_large_log"))
def test_variance_types_that_are_refused(variance_type):
    with pytest.raises(
        ValueError, match=f"variance_type is '{variance_type}'; allowed are 'fixed_small', 'fixed_large'"
    ):
        DDPMScheduler(variance_type=variance_type)


def test_fixed_large_log_is_not_a_number_in_diffusers():
    _, theirs = both("DDPMScheduler")
    theirs = type(theirs)(variance_type="fixed_large_log")
    theirs.set_timesteps(10)
    drawn = [theirs.step(randn(), t, randn(seed=1), seeded()).prev_sample for t in theirs.timesteps]
    assert [bool(x.isnan().all()) for x in drawn] == [True] * 9 + [False]


BIAS = {  # the variance that N steps give data of variance 0.25: (fixed_small, fixed_large)
    10: (0.1111, 0.3469),
    20: (0.1532, 0.2960),
    50: (0.1972, 0.2675),
    100: (0.2193, 0.2586),
    200: (0.2330, 0.2542),
    500: (0.2426, 0.2516),
    1000: (0.2461, 0.2508),
}


def propagated_variance(alpha_bar, variance_type, timesteps, std=0.5):
    """By hand: equation (7) with a perfect network is linear, and Var(a x + b z) = a^2 Var(x) + b^2."""
    variance = 1.0
    for t, t_prev in zip(timesteps, [*timesteps[1:], None]):
        level, prev = alpha_bar[t].item(), 1.0 if t_prev is None else alpha_bar[t_prev].item()
        beta = 1 - level / prev
        share = level**0.5 * std**2 / (level * std**2 + 1 - level)  # the expected x_0 is this times x
        a = (prev**0.5 * beta * share + (level / prev) ** 0.5 * (1 - prev)) / (1 - level)
        noise = (1 - prev) / (1 - level) * beta if variance_type == "fixed_small" else beta
        variance = a**2 * variance + (noise if t > 0 else 0)
    return variance


@pytest.mark.parametrize("count", BIAS)
@pytest.mark.parametrize("variance_type", ("fixed_small", "fixed_large"))
def test_bias_of_the_variance(count, variance_type):
    with double_precision():
        scheduler = DDPMScheduler(variance_type=variance_type, clip_sample=False)
    variance = final_std(scheduler, 0.5, count) ** 2
    by_hand = propagated_variance(scheduler.alpha_bar, variance_type, scheduler.timesteps.tolist())
    assert variance == pytest.approx(by_hand, rel=1e-9)
    assert variance == pytest.approx(BIAS[count][variance_type == "fixed_large"], abs=1e-4)


@pytest.mark.parametrize("variance_type", ("fixed_small", "fixed_large"))
def test_samples_have_that_variance(variance_type):
    scheduler = DDPMScheduler(variance_type=variance_type, clip_sample=False)
    scheduler.set_timesteps(20)
    n, generator = 100_000, seeded()
    x_T = torch.randn(n, 1, generator=generator)
    x_0 = walk(scheduler, Mixture([[0.0]], [0.5]).as_network(scheduler.alpha_bar), x_T, generator=generator)
    variance = BIAS[20][variance_type == "fixed_large"]
    assert abs(x_0.var().item() - variance) < 5 * variance * (2 / n) ** 0.5
    assert abs(x_0.mean().item()) < 5 * (variance / n) ** 0.5


def test_the_bias_halves_with_twice_the_steps():
    for variance_type in ("fixed_small", "fixed_large"):
        scheduler = DDPMScheduler(variance_type=variance_type, clip_sample=False)
        biases = [abs(final_std(scheduler, 0.5, count) ** 2 - 0.25) for count in (100, 200, 500, 1000)]
        assert all(0.35 < later / earlier < 0.65 for earlier, later in zip(biases, biases[1:]))
