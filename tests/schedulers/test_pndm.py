"""PNDMScheduler: the calls it asks for and every step are those of diffusers, but where the ledger says otherwise."""

from itertools import product

import pytest
import torch
from against import assert_close, both, error_from_the_middle, picture_network, randn, relative_difference, std

from minidiff import PNDMScheduler
from minidiff.course.mixture import walk

SPACINGS = ("leading", "linspace", "trailing")
FORMS = (True, False)  # skip_prk_steps: PLMS, and with Runge-Kutta steps


def first_count(skip_prk_steps):
    return 1 if skip_prk_steps else 4


def last_count(skip_prk_steps, T=1000):
    return T if skip_prk_steps else T // 2


@pytest.mark.parametrize("skip_prk_steps", FORMS)
@pytest.mark.parametrize("offset", (0, 1))
@pytest.mark.parametrize("spacing", SPACINGS)
def test_timesteps_of_every_count(spacing, offset, skip_prk_steps):
    config = {"timestep_spacing": spacing, "steps_offset": offset, "skip_prk_steps": skip_prk_steps}
    ours, theirs = both("PNDMScheduler", **config, step_to="ratio")
    following = PNDMScheduler(**config)
    longer = 0
    for N in range(first_count(skip_prk_steps), last_count(skip_prk_steps) + 1):
        if (spacing, offset, N) == ("leading", 1, 1000):
            with pytest.raises(ValueError, match="steps_offset=1 moves the first"):
                ours.set_timesteps(N)
            continue
        for scheduler in (ours, theirs, following):
            scheduler.set_timesteps(N)
        calls, wanted = ours.timesteps.tolist(), theirs.timesteps.tolist()
        if wanted[-1] < 0:
            longer += 1
            wanted.pop()
        assert calls == wanted, N
        assert len(calls) == (N + 9 if not skip_prk_steps else N + 1 if N > 1 else 1)
        if not skip_prk_steps:  # theirs are half of T // N before the end, ours half way
            start, mid, again, end = torch.tensor(following.timesteps.tolist()[:12]).reshape(3, 4).T
            assert torch.equal(mid, again) and torch.isin(2 * mid - start - end, torch.tensor([0, 1])).all(), N
        halves = () if skip_prk_steps or spacing == "leading" and 1000 // N % 2 == 0 else (1, 2, 5, 6, 9, 10)
        here, there = (
            [t for i, t in enumerate(calls) if i not in halves] for calls in (following.timesteps.tolist(), wanted)
        )
        assert here == there, N
    assert longer == (0 if spacing != "trailing" else 62 if skip_prk_steps else 29)


@pytest.mark.parametrize("count", (0, 1, 3, 501, 1000))
def test_counts_that_runge_kutta_steps_refuse(count):
    scheduler = PNDMScheduler()
    with pytest.raises(
        ValueError, match=f"num_inference_steps is {count}; allowed is (4 to 500|a whole number from 1)"
    ):
        scheduler.set_timesteps(count)
    assert scheduler.timesteps is None and scheduler.num_inference_steps is None


def check_steps(ours, theirs, count):
    """Every call of a walk on random outputs, from the same samples."""
    for scheduler in (ours, theirs):
        scheduler.set_timesteps(count)
    for i, t in enumerate(ours.timesteps):
        arguments = randn(seed=2 * i), t, 2 * randn(seed=2 * i + 1)
        mine, other = (scheduler.step(*arguments).prev_sample for scheduler in (ours, theirs))
        assert_close(mine, other, what=f"{dict(ours.config)}, {count} steps, call {i}")


@pytest.mark.parametrize("skip_prk_steps", FORMS)
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("schedule", ("linear", "scaled_linear", "squaredcos_cap_v2"))
def test_steps(skip_prk_steps, spacing, schedule):
    config = {"skip_prk_steps": skip_prk_steps, "timestep_spacing": spacing, "beta_schedule": schedule}
    for set_alpha_to_one, offset in product((True, False), (0, 1)):
        for count in (1, 2, 3, 4, 7, 10, 12, 50, 333):
            if count >= first_count(skip_prk_steps):
                options = {"set_alpha_to_one": set_alpha_to_one, "steps_offset": offset, "step_to": "ratio"}
                check_steps(*both("PNDMScheduler", **config, **options), count)


@pytest.mark.parametrize("skip_prk_steps", FORMS)
@pytest.mark.parametrize("count", (4, 10, 20, 50, 100))
def test_by_default_steps_are_theirs_where_the_spacing_is_leading(skip_prk_steps, count):
    for config in ({}, {"steps_offset": 1}, {"set_alpha_to_one": True}):
        check_steps(*both("PNDMScheduler", skip_prk_steps=skip_prk_steps, **config), count)


@pytest.mark.parametrize("skip_prk_steps", FORMS)
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("count", (12, 50))
def test_trajectories(skip_prk_steps, spacing, count):
    ends = []
    for scheduler in both("PNDMScheduler", skip_prk_steps=skip_prk_steps, timestep_spacing=spacing, step_to="ratio"):
        scheduler.set_timesteps(count)
        ends.append(walk(scheduler, picture_network(scheduler), randn()))
    assert_close(*ends)


@pytest.mark.parametrize("skip_prk_steps", FORMS)
def test_set_timesteps_forgets(skip_prk_steps):
    scheduler = PNDMScheduler(skip_prk_steps=skip_prk_steps)
    ends = []
    for count in (10, 7, 10):
        scheduler.set_timesteps(count)
        ends.append(walk(scheduler, picture_network(scheduler), randn()))
        with pytest.raises(
            ValueError, match=f"all {len(scheduler.timesteps)} calls are made: set_timesteps starts anew"
        ):
            scheduler.step(randn(), 0, randn())
    assert torch.equal(ends[0], ends[2]) and not torch.equal(ends[0], ends[1])
    scheduler.set_timesteps(10)
    scheduler.step(randn(), scheduler.timesteps[0], randn())  # a walk that was broken off
    scheduler.set_timesteps(10)
    assert torch.equal(walk(scheduler, picture_network(scheduler), randn()), ends[0])


def test_a_step_needs_set_timesteps():
    with pytest.raises(ValueError, match="set_timesteps.* was not called"):
        PNDMScheduler().step(randn(), 900, randn())


def test_the_step_leaves_its_arguments_alone():
    scheduler = PNDMScheduler()
    scheduler.set_timesteps(10)
    for t in scheduler.timesteps:
        model_output, sample = randn(), randn(seed=1)
        scheduler.step(model_output, t, sample)
        assert torch.equal(model_output, randn()) and torch.equal(sample, randn(seed=1))


@pytest.mark.parametrize("skip_prk_steps", FORMS)
def test_what_the_step_believes_in(skip_prk_steps):
    # For data that is one point, every prediction of the noise is exact and every step believes in that point.
    scheduler = PNDMScheduler(skip_prk_steps=skip_prk_steps)
    point = randn(seed=9, dtype=torch.float64)
    scheduler.set_timesteps(10)
    x_t = randn(dtype=torch.float64)
    for t in scheduler.timesteps:
        level = scheduler.alpha_bar[t].double()
        step = scheduler.step((x_t - level**0.5 * point) / (1 - level) ** 0.5, t, x_t)
        x_t = step.prev_sample
        assert_close(step.pred_original_sample, point, 0.02)  # float32 tables, divided by the smallest level's root
    assert_close(x_t, point, 0.05)


def test_configs_that_are_refused():
    for config in ({"prediction_type": "sample"}, {"step_to": "previous"}, {"alpha_index_shift": 2}):
        ((argument, value),) = config.items()
        with pytest.raises(ValueError, match=f"{argument} is {value!r}; allowed are"):
            PNDMScheduler(**config)
    for config, N in (({"timestep_spacing": "trailing"}, 10), ({"steps_offset": 1}, 500)):
        shifted = PNDMScheduler(alpha_index_shift=1, skip_prk_steps=True, **config)
        with pytest.raises(
            ValueError, match="alpha_index_shift=1 moves timestep 999, .* with steps_offset=0 and fewer"
        ):
            shifted.set_timesteps(N)


# -- the ledger


def test_where_the_step_goes():
    for skip_prk_steps, here, there in ((True, 0.4851, 0.5266), (False, 0.4855, 0.5259)):
        config = {"timestep_spacing": "linspace", "skip_prk_steps": skip_prk_steps}
        ours, theirs = both("PNDMScheduler", **config)
        assert (std(ours, 10), std(theirs, 10)) == pytest.approx((here, there), abs=1e-4)
        assert std(PNDMScheduler(**config, step_to="ratio"), 10) == pytest.approx(std(theirs, 10), abs=1e-6)


def test_the_last_call_changes_nothing():
    for skip_prk_steps in FORMS:
        for scheduler in both("PNDMScheduler", skip_prk_steps=skip_prk_steps):
            scheduler.set_timesteps(50)
            x_t = randn()
            for t in scheduler.timesteps:
                before, x_t = x_t, scheduler.step(randn(seed=1), t, x_t).prev_sample
            assert t == 0 and torch.equal(before, x_t)
    for scheduler in (PNDMScheduler(set_alpha_to_one=True), PNDMScheduler(steps_offset=1)):
        scheduler.set_timesteps(50)
        for t in scheduler.timesteps:
            before, x_t = x_t, scheduler.step(randn(seed=1), t, x_t).prev_sample
        assert not torch.equal(before, x_t)


def test_half_steps():
    ours, theirs = both("PNDMScheduler")
    for scheduler in (ours, theirs):
        scheduler.set_timesteps(40)  # 25 timesteps a step
    assert ours.timesteps[:4].tolist() == [975, 963, 963, 950]
    assert theirs.timesteps[:4].tolist() == [975, 962, 962, 950]
    eps, x = torch.zeros(1, 1), torch.ones(1, 1)  # without noise a step only scales x, by the ratio of the levels
    for scheduler, label, state in ((ours, 963, 963), (theirs, 962, 963)):
        assert scheduler.timesteps[1] == label
        ratio = scheduler.alphas_cumprod[state] / scheduler.alphas_cumprod[975]
        assert_close(scheduler.step(eps, scheduler.timesteps[0], x).prev_sample, ratio.sqrt().reshape(1, 1), 1e-6)

    ends = []
    for scheduler in (ours, theirs, PNDMScheduler(step_to="ratio")):
        scheduler.set_timesteps(12)
        ends.append(walk(scheduler, picture_network(scheduler), randn(dtype=torch.float64)))
    assert relative_difference(ends[0], ends[1]) == pytest.approx(2.1e-4, abs=1e-5)
    assert_close(ends[2], ends[1], 1e-6)

    theirs.set_timesteps(501)
    assert theirs.timesteps[:4].tolist() == [500, 499, 499, 499]  # the half step is none


def test_v_prediction():
    for skip_prk_steps, here, there in ((True, 0.4906, 0.4088), (False, 0.4908, 0.4086)):
        ours, theirs = both("PNDMScheduler", skip_prk_steps=skip_prk_steps, prediction_type="v_prediction")
        assert (std(ours, 10), std(theirs, 10)) == pytest.approx((here, there), abs=1e-4)
        assert std(ours, 10) == pytest.approx(std(PNDMScheduler(skip_prk_steps=skip_prk_steps), 10), abs=1e-6)
        for scheduler in (ours, theirs):
            scheduler.set_timesteps(10)
        first = randn(), ours.timesteps[0], randn(seed=1)  # the only call with nothing to combine
        assert_close(ours.step(*first).prev_sample, theirs.step(*first).prev_sample)


def test_a_walk_from_the_middle():
    config = {"skip_prk_steps": True, "steps_offset": 1}
    ours, theirs = both("PNDMScheduler", **config)
    as_theirs = PNDMScheduler(**config, partial_walk="sliced")
    for skip, here, there in ((25, 1.1e-3, 1.51e-2), (10, 1.0e-3, 2.63e-3)):
        errors = [error_from_the_middle(scheduler, 50, skip) for scheduler in (ours, theirs, as_theirs)]
        assert errors == pytest.approx([here, there, there], rel=0.02)
        assert errors[2] == pytest.approx(errors[1], rel=1e-5)


@pytest.mark.parametrize("skip_prk_steps", FORMS)
def test_what_is_left_of_a_walk_is_a_walk_of_its_own(skip_prk_steps):
    scheduler = PNDMScheduler(skip_prk_steps=skip_prk_steps)
    for steps in (0, 1, 5, 7, 8, 9):
        scheduler.set_timesteps(10)
        whole = scheduler.timesteps.tolist()
        scheduler.skip_steps(steps)
        left, rest = scheduler.timesteps.tolist(), 10 - steps
        runge_kutta = not skip_prk_steps and rest >= 4  # three steps, and one to follow
        assert len(left) == rest + (9 if runge_kutta else rest > 1)
        assert left[0] == 900 - 100 * steps and (steps > 0 or left == whole)
        walk(scheduler, picture_network(scheduler), randn())
    with pytest.raises(ValueError, match="partial_walk is 'sliced'; allowed are 'planned'$"):
        PNDMScheduler(partial_walk="sliced")


@pytest.mark.parametrize("steps", (1, 2, 5, 9))
def test_a_walk_that_is_sliced(steps):
    config = {"skip_prk_steps": True, "steps_offset": 1}
    ours, theirs = PNDMScheduler(**config, partial_walk="sliced"), both("PNDMScheduler", **config)[1]
    for scheduler in (ours, theirs):
        scheduler.set_timesteps(10)
    ours.skip_steps(steps)
    assert ours.timesteps.tolist() == theirs.timesteps[steps:].tolist()
    for k, t in enumerate(ours.timesteps):
        arguments = randn(seed=2 * k), t, randn(seed=2 * k + 1)
        assert_close(*(scheduler.step(*arguments).prev_sample for scheduler in (ours, theirs)), what=f"call {k}")
