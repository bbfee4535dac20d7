"""The five samplers along noise levels: what they visit and every step are those of diffusers."""

import diffusers
import pytest
import torch
from against import assert_close, both, error_from_the_middle, picture_network, randn, seeded

import minidiff
from minidiff import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LMSDiscreteScheduler,
)
from minidiff.course.mixture import double_precision, walk

NAMES = (
    "LMSDiscreteScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "DPMSolverMultistepScheduler",
)
WITH_KARRAS = tuple(name for name in NAMES if "Ancestral" not in name)
WITH_TIMESTEPS = ("EulerDiscreteScheduler", "HeunDiscreteScheduler", "DPMSolverMultistepScheduler")
REMEMBERING = ("LMSDiscreteScheduler", "HeunDiscreteScheduler", "DPMSolverMultistepScheduler")
SPACINGS = ("linspace", "leading", "trailing")
STABLE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
COUNTS = (*range(1, 31), 50, 61, 103, 333, 998)
each = pytest.mark.parametrize("name", NAMES)


def make(name, **config):
    return getattr(minidiff, name)(**config)


# -- what is visited


@each
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("karras", (False, True))
def test_timesteps_and_levels(name, spacing, karras):
    if karras and name not in WITH_KARRAS:
        return
    config = STABLE | {"timestep_spacing": spacing, "steps_offset": 1 if spacing == "leading" else 0}
    ours, theirs = both(name, **config, **({"use_karras_sigmas": True} if karras else {}))
    for count in COUNTS if not karras else (1, 2, 5, 10, 50):
        for scheduler in (ours, theirs):
            scheduler.set_timesteps(count)
        if len(theirs.timesteps) > len(ours.timesteps):  # an entry too many: see the ledger, "Trailing"
            assert spacing == "trailing" and theirs.timesteps[-1] == -1
            continue
        assert ours.num_inference_steps == count
        assert ours.timesteps.dtype == (torch.int64 if name.startswith("DPM") else torch.float32)
        # Theirs are interpolated in float32; a rounded Karras timestep may fall to the other side once.
        torch.testing.assert_close(
            ours.timesteps.double(), theirs.timesteps.double(), rtol=0, atol=2e-3 if not karras else 5e-3
        )
        torch.testing.assert_close(ours.sigma, theirs.sigmas, rtol=2e-6, atol=0)
        assert ours.sigmas is ours.sigma and ours.order == theirs.order
        assert float(ours.init_noise_sigma) == pytest.approx(float(theirs.init_noise_sigma), rel=1e-6)


@each
def test_before_set_timesteps(name):
    ours, theirs = both(name)
    assert ours.num_inference_steps is None
    assert torch.equal(ours.timesteps.double(), theirs.timesteps.double())
    if name != "DPMSolverMultistepScheduler":  # see the ledger, "DPM-Solver noise before a walk"
        torch.testing.assert_close(ours.sigma, theirs.sigmas, rtol=1e-6, atol=0)
        x, t = randn(), ours.timesteps[3]
        assert_close(ours.add_noise(x, randn(seed=1), t[None]), theirs.add_noise(x, randn(seed=1), t[None]))


@pytest.mark.parametrize("spacing", SPACINGS)
def test_trailing_has_as_many_timesteps_as_were_asked_for(spacing):
    for name in NAMES:
        scheduler = make(name, timestep_spacing=spacing)
        for count in (61, 103, 121):
            scheduler.set_timesteps(count)
            assert scheduler.num_inference_steps == count
            assert len(scheduler.timesteps) == (2 * count - 1 if scheduler.order == 2 else count)


@pytest.mark.parametrize("name", WITH_TIMESTEPS)
def test_timesteps_of_ones_own(name):
    ours, theirs = both(name, **STABLE)
    wanted = [980, 700, 333, 20, 0]
    for scheduler in (ours, theirs):
        scheduler.set_timesteps(timesteps=wanted)
    assert torch.equal(ours.timesteps.double(), theirs.timesteps.double())
    torch.testing.assert_close(ours.sigma, theirs.sigmas, rtol=2e-6, atol=0)
    whole = [[7.5, 2]] if ours.whole_timesteps else []
    nan = float("nan")
    for bad in (
        [3, 5],
        [5, 5],
        [1000],
        [3, -1],
        [],
        [[3, 2]],
        [nan],
        [900.0, nan, 3.0],
        [nan, 3.0],
        [3.0, nan],
        *whole,
    ):
        with pytest.raises(ValueError, match="timesteps is .*; allowed are falling .*numbers from 999, the last, to 0"):
            ours.set_timesteps(timesteps=bad)
    with pytest.raises(ValueError, match="timesteps are given, num_inference_steps is 3 .*; allowed is one way"):
        ours.set_timesteps(3, timesteps=wanted)
    with pytest.raises(ValueError, match="num_inference_steps is None; allowed is a whole number"):
        ours.set_timesteps()
    with pytest.raises(ValueError, match="timesteps are given, .* and use_karras_sigmas True; allowed is one way"):
        make(name, use_karras_sigmas=True).set_timesteps(timesteps=wanted)
    assert ours.num_inference_steps == 5


@each
@pytest.mark.parametrize("count", (0, -1, 1001, 2.0, "5", True))
def test_counts_that_are_refused(name, count):
    scheduler = make(name)
    before = scheduler.timesteps
    with pytest.raises(ValueError, match=f"num_inference_steps is {count!r}; allowed is a whole number from 1 to"):
        scheduler.set_timesteps(count)
    assert scheduler.timesteps is before and scheduler.num_inference_steps is None


def test_dpm_solver_needs_one_timestep_more_than_steps():
    scheduler = DPMSolverMultistepScheduler(num_train_timesteps=10)
    with pytest.raises(ValueError, match="num_inference_steps is 10; allowed is a whole number from 1 to 9"):
        scheduler.set_timesteps(10)
    scheduler.set_timesteps(9)
    assert scheduler.timesteps.tolist() == list(range(9, 0, -1))
    trailing = DPMSolverMultistepScheduler(num_train_timesteps=10, timestep_spacing="trailing")
    trailing.set_timesteps(10)
    assert trailing.timesteps.tolist() == list(range(9, -1, -1))


@each
def test_configs_that_are_refused(name):
    for config in ({"prediction_type": "noise"}, {"timestep_spacing": "even"}, {"beta_schedule": "cubic"}):
        ((argument, value),) = config.items()
        with pytest.raises(ValueError, match=f"{argument} is {value!r}; allowed are"):
            make(name, **config)
    for config in ({"use_beta_sigmas": True}, {"rescale_betas_zero_snr": True}):
        with pytest.raises(ValueError, match="a feature of diffusers that minidiff leaves out"):
            make(name, **config)
    make(name, use_beta_sigmas=False, use_exponential_sigmas=None, rescale_betas_zero_snr=False)


def test_other_solvers_are_refused():
    for config in ({"solver_order": 3}, {"algorithm_type": "sde-dpmsolver++"}, {"thresholding": True}):
        with pytest.raises(ValueError, match="a feature of diffusers that minidiff leaves out"):
            DPMSolverMultistepScheduler(**config)
    with pytest.raises(ValueError, match="final_sigmas_type is 'sigma_min'"):
        EulerDiscreteScheduler(final_sigmas_type="sigma_min")


@each
def test_the_tables_are_those_of_alpha_bar(name):
    ours, theirs = both(name)
    steeper = ours.alpha_bar**2
    _, squared = both(name, trained_betas=(1 - steeper / torch.cat([torch.ones(1), steeper[:-1]])).tolist())
    ours.alphas_cumprod = steeper
    for scheduler in (ours, theirs, squared):
        scheduler.set_timesteps(5)
    torch.testing.assert_close(ours.sigma, squared.sigmas, rtol=1e-4, atol=0)
    assert not torch.allclose(ours.sigma, theirs.sigmas, rtol=0.1)


def test_dpm_solver_from_the_config_of_a_ddpm():
    for variance_type in ("fixed_small", "fixed_large"):
        config = DDPMScheduler(variance_type=variance_type, beta_end=0.01).config
        assert DPMSolverMultistepScheduler.from_config(config).config.beta_end == 0.01
    with pytest.raises(ValueError, match="variance_type is 'learned_range', a feature of diffusers"):
        DPMSolverMultistepScheduler(variance_type="learned_range")


# -- steps


def step_options(name, kind, seed):
    return {kind: seeded(seed)} if name == "EulerAncestralDiscreteScheduler" else {}


def check_walk(name, count, seed=0, dtype=torch.float64, within=2e-6, **config):
    """Every call of a walk on random outputs, from the same samples."""
    ours, theirs = both(name, **config)
    for scheduler in (ours, theirs):
        scheduler.set_timesteps(count)
    for k, (t, t_theirs) in enumerate(zip(ours.timesteps, theirs.timesteps, strict=True)):
        output, x = randn(seed=2 * k, dtype=dtype), (3 * randn(seed=2 * k + 1)).to(dtype)
        assert_close(ours.scale_model_input(x, t), theirs.scale_model_input(x, t_theirs), within)
        steps = [
            scheduler.step(output, time, x, **step_options(name, "generator", k))
            for scheduler, time in ((ours, t), (theirs, t_theirs))
        ]
        mine, other = (step.prev_sample.double() for step in steps)
        assert_close(mine, other, within, f"{config}, {count} steps, call {k}")
        if "pred_original_sample" in steps[1]:
            # Theirs can be in float32: the samplers with noise cast the sample.
            assert_close(steps[0].pred_original_sample.double(), steps[1].pred_original_sample.double(), within)
    return ours


@each
@pytest.mark.parametrize("spacing", SPACINGS)
def test_steps(name, spacing):
    for count in (1, 2, 3, 4, 5, 9, 20):
        check_walk(name, count, timestep_spacing=spacing, **STABLE)
    check_walk(name, 7, timestep_spacing=spacing, steps_offset=1 if spacing == "leading" else 0)
    check_walk(name, 7, timestep_spacing=spacing, beta_schedule="squaredcos_cap_v2", within=3e-6)


@each
@pytest.mark.parametrize("prediction_type", ("sample", "v_prediction"))
def test_other_predictions(name, prediction_type):
    if name == "EulerAncestralDiscreteScheduler" and prediction_type == "sample":
        return  # not there: see test_a_network_that_predicts_pictures
    for count in (1, 5, 12):
        check_walk(name, count, prediction_type=prediction_type, **STABLE)


@each
def test_a_network_that_predicts_pictures(name):
    ends = []
    for prediction_type in ("sample", "epsilon", "v_prediction"):
        scheduler = make(name, prediction_type=prediction_type, **STABLE)
        scheduler.set_timesteps(9)
        options = step_options(name, "generator", 0)
        network = picture_network(scheduler, prediction_type=prediction_type)
        ends.append(walk(scheduler, network, randn(dtype=torch.float64), **options))
    assert_close(ends[0], ends[1], 1e-5)
    assert_close(ends[2], ends[1], 1e-5)


@pytest.mark.parametrize("name", WITH_KARRAS)
def test_karras_levels(name):
    for count in (1, 2, 5, 10):
        check_walk(name, count, use_karras_sigmas=True, **STABLE)


@each
def test_trajectories(name):
    for config in ({}, {"timestep_spacing": "leading", "steps_offset": 1}, {"timestep_spacing": "trailing"}):
        ends = []
        for scheduler in both(name, **STABLE, **config):
            scheduler.set_timesteps(12)
            options = step_options(name, "generator", 0)
            ends.append(walk(scheduler, picture_network(scheduler), randn(), **options))
        assert_close(*ends, 2e-5)


@each
def test_half_precision(name):
    for dtype, within in ((torch.float16, 5e-3), (torch.bfloat16, 4e-2)):
        exact, rough = make(name, **STABLE), make(name, **STABLE)
        ends = []
        for scheduler, kind in ((exact, torch.float32), (rough, dtype)):
            scheduler.set_timesteps(10)
            x = randn().to(dtype).to(kind) * scheduler.init_noise_sigma
            for t in scheduler.timesteps:
                output = picture_network(scheduler)(scheduler.scale_model_input(x, t), t).sample
                noise = {"generator": seeded()} if "Ancestral" in name else {}
                step = scheduler.step(output, t, x, **noise)
                assert step.prev_sample.dtype == step.pred_original_sample.dtype == kind
                x = step.prev_sample
            ends.append(x.float())
        if "Ancestral" not in name:  # whose draws differ by dtype
            assert_close(ends[1], ends[0], within)


@each
def test_what_the_step_believes_in(name):
    # For data that is one point, every prediction of the noise is exact and every step believes in that point.
    scheduler = make(name, **STABLE)
    point = randn(seed=9, dtype=torch.float64)
    scheduler.set_timesteps(10)
    x = randn(dtype=torch.float64) * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        sigma = scheduler.sigma[scheduler.place_of(t)].double()
        scaled = scheduler.scale_model_input(x, t)
        output = (scaled - point / (1 + sigma**2) ** 0.5) / (sigma / (1 + sigma**2) ** 0.5)
        step = scheduler.step(output, t, x)
        assert_close(step.pred_original_sample, point, 1e-4)
        x = step.prev_sample
    assert_close(x, point, 1e-4)


@each
def test_tuples_and_arguments_that_stay(name):
    scheduler = make(name)
    scheduler.set_timesteps(4)
    output, x = randn(), randn(seed=1)
    prev, x_0 = scheduler.step(output, scheduler.timesteps[0], x, return_dict=False)
    assert prev.shape == x_0.shape == x.shape
    assert torch.equal(output, randn()) and torch.equal(x, randn(seed=1))


# -- whose turn it is


@pytest.mark.parametrize("name", ("EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler"))
def test_who_remembers_nothing_steps_from_anywhere(name):
    scheduler = make(name)
    scheduler.set_timesteps(10)
    steps = [
        scheduler.step(randn(), scheduler.timesteps[k], randn(), generator=seeded()).prev_sample for k in (7, 3, 7)
    ]
    assert torch.equal(steps[0], steps[2]) and not torch.equal(steps[0], steps[1])


@pytest.mark.parametrize("name", REMEMBERING)
def test_who_remembers_waits_for_its_turn(name):
    scheduler = make(name)
    scheduler.set_timesteps(10)
    first, second, third = scheduler.timesteps[0], scheduler.timesteps[1], scheduler.timesteps[3]
    with pytest.raises(ValueError, match="timestep is 998.5; allowed are the entries of timesteps"):
        scheduler.step(randn(), 998.5, randn())
    scheduler.step(randn(), first, randn())
    with pytest.raises(ValueError, match=f"timestep is {third:g}; allowed is now {second:g}"):
        scheduler.step(randn(), third, randn())
    scheduler.set_timesteps(10)
    ends = []
    for _ in range(2):
        scheduler.set_timesteps(10)
        ends.append(walk(scheduler, picture_network(scheduler), randn()))
    assert torch.equal(*ends)
    if name != "HeunDiscreteScheduler":  # which has nothing to remember at its end
        with pytest.raises(ValueError, match="all 10 calls are made: set_timesteps starts anew"):
            scheduler.step(randn(), first, randn())


@each
def test_a_loop_that_begins_inside(name):
    """As image-to-image does it in diffusers, by slicing; our pipelines skip steps."""
    ends = []
    for scheduler, skips in ((make(name), True), (make(name), False), (both(name)[1], False)):
        scheduler.set_timesteps(10)
        timesteps = scheduler.timesteps[4 * scheduler.order :]
        if skips:
            scheduler.skip_steps(4)
            assert torch.equal(scheduler.timesteps, timesteps)
        elif isinstance(scheduler, diffusers.SchedulerMixin):
            scheduler.set_begin_index(4 * scheduler.order)
        x = scheduler.add_noise(randn(seed=3), randn(), timesteps[:1])
        for k, t in enumerate(timesteps):
            output = picture_network(scheduler)(scheduler.scale_model_input(x, t), t).sample
            x = scheduler.step(output, t, x, **step_options(name, "generator", k)).prev_sample
        ends.append(x)
    assert torch.equal(ends[0], ends[1])
    if name != "LMSDiscreteScheduler":  # see the ledger, "LMS order"
        assert_close(ends[0], ends[2], 2e-5)


@each
def test_add_noise(name):
    ours, theirs = both(name, **STABLE)
    for scheduler in (ours, theirs):
        scheduler.set_timesteps(7)
    t = ours.timesteps[[2, 4]]
    assert_close(ours.add_noise(randn(), randn(seed=1), t), theirs.add_noise(randn(), randn(seed=1), t), 2e-6)
    assert_close(ours.add_noise(randn(), randn(seed=1), t[0])[0], ours.add_noise(randn(), randn(seed=1), t)[0], 1e-7)
    with pytest.raises(ValueError, match="timestep is 998.5; allowed are the entries"):
        ours.add_noise(randn(), randn(), torch.tensor([998.5]))
    with pytest.raises(ValueError, match=r"timesteps has the shape \(3,\); allowed are one or 2"):
        ours.add_noise(randn(), randn(), ours.timesteps[:3])


# -- what they are of each other


def test_euler_is_ddim():
    # With whole timesteps, and both ending at the clean picture.
    config = STABLE | {"timestep_spacing": "leading"}
    euler, ddim = EulerDiscreteScheduler(**config), DDIMScheduler(**config, clip_sample=False)
    x = randn(dtype=torch.float64)
    for scheduler in (euler, ddim):
        scheduler.set_timesteps(10)
    x_euler, x_ddim = x * (euler.sigma[0] ** 2 + 1) ** 0.5, x
    for t in ddim.timesteps:
        output = picture_network(ddim)(x_ddim, t).sample
        assert_close(euler.scale_model_input(x_euler, t), x_ddim, 1e-5)
        x_euler, x_ddim = (
            scheduler.step(output, t, y).prev_sample for scheduler, y in ((euler, x_euler), (ddim, x_ddim))
        )
    assert_close(x_euler, x_ddim, 1e-5)


def test_the_ancestral_step_is_ddpms():
    config = STABLE | {"timestep_spacing": "leading"}
    with double_precision():
        ancestral, ddpm = EulerAncestralDiscreteScheduler(**config), DDPMScheduler(**config, clip_sample=False)
    for scheduler in (ancestral, ddpm):
        scheduler.set_timesteps(10)
    for i, t in enumerate(ddpm.timesteps[:-1]):
        x, output = randn(seed=1, dtype=torch.float64), randn(seed=2, dtype=torch.float64)
        (alpha, alpha_prev) = (1 / (1 + ancestral.sigma[k] ** 2) ** 0.5 for k in (i, i + 1))
        here = ancestral.step(output, t, x / alpha, generator=seeded()).prev_sample * alpha_prev
        assert_close(here, ddpm.step(output, t, x, generator=seeded()).prev_sample, 1e-9)


def test_lms_of_order_one_is_euler():
    lms, euler = LMSDiscreteScheduler(**STABLE), EulerDiscreteScheduler(**STABLE)
    ends = []
    for scheduler, options in ((lms, {"order": 1}), (euler, {})):
        scheduler.set_timesteps(10)
        ends.append(walk(scheduler, picture_network(scheduler), randn(), **options))
    assert_close(*ends, 1e-6)
    for order in (0, 5, 2.0):
        with pytest.raises(ValueError, match=f"order is {order}; allowed is a whole number from 1 to 4"):
            lms.step(randn(), lms.timesteps[0], randn(), order=order)


@pytest.mark.parametrize("order", (1, 2, 3))
def test_lower_orders_of_lms(order):
    ends = []
    for scheduler in both("LMSDiscreteScheduler", **STABLE):
        scheduler.set_timesteps(10)
        ends.append(walk(scheduler, picture_network(scheduler), randn(), order=order))
    assert_close(*ends, 1e-5)


def test_coefficients_of_even_levels_are_those_of_adams_and_bashforth():
    scheduler = LMSDiscreteScheduler()
    scheduler.sigma = torch.linspace(5, 1, 5)  # steps of -1
    for k, wanted in enumerate(([1], [3, -1], [23, -16, 5], [55, -59, 37, -9]), start=1):
        found = [-scheduler.coefficient(k, 3, j) for j in range(k)]
        assert found == pytest.approx([c / sum(wanted) for c in wanted])


# -- the ledger


def test_the_order_of_lms_in_the_middle():
    ours, theirs = both("LMSDiscreteScheduler", **STABLE)
    as_theirs = LMSDiscreteScheduler(**STABLE, order_from="index")
    errors = [error_from_the_middle(scheduler) for scheduler in (ours, theirs, as_theirs)]
    assert errors == pytest.approx([1.29e-3, 2.79e-2, 2.79e-2], rel=0.02)
    assert errors[2] == pytest.approx(errors[1], rel=1e-5)


def test_dpm_solvers_noise_before_timesteps_are_set():
    ours, theirs = both("DPMSolverMultistepScheduler", **STABLE)
    x, eps, t = torch.zeros(1, 1), torch.ones(1, 1), torch.tensor([900])
    level = 1 - ours.alpha_bar
    assert_close(ours.add_noise(x, eps, t), level[900].sqrt().reshape(1, 1), 1e-6)
    assert_close(theirs.add_noise(x, eps, t), level[99].sqrt().reshape(1, 1), 1e-6)  # T - 1 - t
    for scheduler in (ours, theirs):
        scheduler.set_timesteps(timesteps=[900, 500])
    assert_close(ours.add_noise(x, eps, t), theirs.add_noise(x, eps, t), 1e-6)
