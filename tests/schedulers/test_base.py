"""What the samplers of discrete time share: tables, timesteps, the forward process."""

import copy
import inspect

import numpy as np
import pytest
import torch
from against import assert_close, both, gaussian_network, randn, seeded, std

import minidiff
from minidiff import DDIMScheduler, DDPMScheduler, PNDMScheduler
from minidiff.course.mixture import double_precision, walk

NAMES = ("DDPMScheduler", "DDIMScheduler", "PNDMScheduler")
SPACINGS = ("leading", "linspace", "trailing")
EXTRA = (61, 103, 121)  # counts for which trailing has an entry too many in diffusers


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "config",
    [
        {},
        {"beta_start": 0.001, "beta_end": 0.2, "num_train_timesteps": 100},
        {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
        {"beta_schedule": "squaredcos_cap_v2"},
        {"beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": 20},
        {"trained_betas": [0.1, 0.2, 0.7], "num_train_timesteps": 3},
        {"trained_betas": np.linspace(1e-3, 0.3, 40), "num_train_timesteps": 40},
    ],
    ids=lambda config: "-".join(map(str, config)) or "default",
)
def test_tables(name, config):
    ours, theirs = both(name, **config)
    assert_close(ours.beta, theirs.betas, 1e-6)
    assert_close(ours.alpha_bar, theirs.alphas_cumprod, 1e-6)
    assert ours.betas is ours.beta and ours.alphas_cumprod is ours.alpha_bar
    assert len(ours) == len(theirs) and ours.init_noise_sigma == theirs.init_noise_sigma == 1
    assert ours.order == theirs.order == 1


@pytest.mark.parametrize("schedule", ("linear", "scaled_linear", "squaredcos_cap_v2"))
def test_tables_have_the_default_dtype(schedule):
    with double_precision():
        fine = DDIMScheduler(beta_schedule=schedule)
    assert fine.beta.dtype == fine.alpha_bar.dtype == torch.float64
    assert_close(DDIMScheduler(beta_schedule=schedule).alpha_bar, fine.alpha_bar.float(), 1e-6)


def test_rounding_of_the_tables():
    # DDPM's own code holds them in float64, diffusers and this package in float32.
    exact = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    assert np.abs(DDPMScheduler().alpha_bar.double().numpy() / exact - 1).max() == pytest.approx(3.6e-7, abs=5e-8)


@pytest.mark.parametrize("name", NAMES)
def test_before_set_timesteps(name):
    ours, theirs = both(name)
    assert ours.num_inference_steps is None
    same = ours.timesteps is theirs.timesteps is None
    assert same or torch.equal(ours.timesteps, theirs.timesteps) and ours.timesteps.dtype == torch.int64
    x = randn()
    assert ours.scale_model_input(x, 3) is x and ours.scale_model_input(x) is x


def timesteps(scheduler, count):
    scheduler.set_timesteps(count)
    return scheduler.timesteps.tolist()


@pytest.mark.parametrize("name", NAMES[:2])
@pytest.mark.parametrize("offset", (0, 1))
@pytest.mark.parametrize("spacing", SPACINGS)
def test_timesteps_of_every_count(name, spacing, offset):
    ours, theirs = both(name, timestep_spacing=spacing, steps_offset=offset)
    longer = []
    for N in range(1, 1001):
        wanted = timesteps(theirs, N)
        if wanted[0] > 999:
            assert (spacing, offset, N) == ("leading", 1, 1000)
            with pytest.raises(
                ValueError, match="steps_offset=1 moves the first of num_inference_steps=1000 .* to 1000"
            ):
                ours.set_timesteps(N)
            continue
        if wanted[-1] < 0:
            longer.append(N)
        assert timesteps(ours, N) == wanted[:N], N
    assert len(longer) == (62 if spacing == "trailing" else 0)
    assert set(EXTRA) <= set(longer) or spacing != "trailing"


@pytest.mark.parametrize("T", (7, 40, 999))
@pytest.mark.parametrize("spacing", SPACINGS)
def test_timesteps_of_other_lengths(spacing, T):
    ours, theirs = both("DDIMScheduler", timestep_spacing=spacing, num_train_timesteps=T)
    for N in range(1, T + 1):
        assert timesteps(ours, N) == timesteps(theirs, N)[:N]


def test_trailing_has_no_extra_timestep():
    # At timestep -1 diffusers takes the finished sample for one of the noisiest level, the table's last.
    ours, theirs = both("DDIMScheduler", timestep_spacing="trailing", clip_sample=False)
    assert timesteps(theirs, 61) == [*timesteps(ours, 61), -1]
    assert std(ours, 61) == pytest.approx(0.4764, abs=1e-4)
    assert std(theirs, 61) == pytest.approx(0.0008, abs=1e-4)
    ours, theirs = both("PNDMScheduler", timestep_spacing="trailing", skip_prk_steps=True)
    assert std(ours, 61) == pytest.approx(0.5004, abs=1e-4)
    assert std(theirs, 61) == pytest.approx(91.5, abs=0.1)


def test_timesteps_lie_where_they_are_asked_for():
    for name in NAMES:
        scheduler = getattr(minidiff, name)()
        scheduler.set_timesteps(10, device="meta")
        assert scheduler.timesteps.device.type == "meta" and scheduler.timesteps.dtype == torch.int64


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", (0, -1, 1001, 2.0, "3", None, True))
def test_counts_that_are_refused(name, count):
    scheduler = getattr(minidiff, name)()
    scheduler.set_timesteps(10)
    before = scheduler.timesteps
    with pytest.raises(ValueError, match=f"num_inference_steps is {count!r}; allowed is a whole number from 1 to 1000"):
        scheduler.set_timesteps(count)
    assert scheduler.timesteps is before and scheduler.num_inference_steps == 10


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "config, message",
    [
        ({"beta_schedule": "cosine"}, "beta_schedule is 'cosine'; allowed are 'linear', 'scaled_linear', 'squaredcos"),
        ({"timestep_spacing": "even"}, "timestep_spacing is 'even'; allowed are 'leading', 'linspace', 'trailing'"),
        ({"prediction_type": "noise"}, "prediction_type is 'noise'; allowed are 'epsilon'"),
        ({"num_train_timesteps": 0}, "num_train_timesteps is 0; allowed is a whole number from 1 on"),
        ({"trained_betas": [0.1, 0.2]}, "trained_betas has 2 entries; allowed are num_train_timesteps=1000"),
        ({"beta_end": 1.5}, "the betas reach from 0.0001 to 1.5; allowed are values between 0 and 1"),
        ({"beta_start": 0.0}, "the betas reach from 0 to 0.02"),
        ({"beta_end": float("nan")}, "the betas reach from"),
        ({"beta_end": None}, r"beta_start and beta_end: \(0.0001, None\); allowed are numbers"),
        ({"trained_betas": "x"}, "trained_betas: 'x'; allowed are numbers"),
        ({"trained_betas": [0.1, "x"]}, "trained_betas: .*; allowed are numbers"),
        ({"steps_offset": -1}, "steps_offset is -1; allowed is a whole number from 0 on"),
        ({"steps_offset": 0.5}, "steps_offset is 0.5; allowed is a whole number from 0 on"),
        ({"thresholding": True}, "thresholding is True, a feature of diffusers that minidiff leaves out"),
        ({"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr is True"),
    ],
)
def test_configs_that_are_refused(name, config, message):
    with pytest.raises(ValueError, match=message):
        getattr(minidiff, name)(**config)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
@pytest.mark.parametrize("t", ([0, 999], [500]))
def test_add_noise(name, dtype, t):
    ours, theirs = both(name)
    arguments = randn(dtype=dtype), randn(seed=1, dtype=dtype), torch.tensor(t)
    assert_close(ours.add_noise(*arguments), theirs.add_noise(*arguments), 1e-6)


@pytest.mark.parametrize("t", ([-1, 3], [1000]))
def test_add_noise_refuses_times_that_are_none(t):
    with pytest.raises(ValueError, match="timesteps reach from .* to .*; allowed are 0 to 999"):
        both("DDPMScheduler")[0].add_noise(randn(), randn(), torch.tensor(t))


@pytest.mark.parametrize("t", ([1.5, 3.0], [1, 2, 3], [[1], [2]]))
def test_add_noise_refuses_times_of_another_type_or_number(t):
    with pytest.raises(ValueError, match="timesteps is .* of shape .*; allowed are whole numbers, one or 2"):
        both("DDPMScheduler")[0].add_noise(randn(), randn(), torch.tensor(t))


def test_add_noise_takes_a_sample_of_any_shape():
    ours, theirs = both("DDPMScheduler")
    for shape in ((2,), (2, 5), (2, 3, 4, 5, 6)):
        x, eps, t = randn(*shape), randn(*shape, seed=1), torch.tensor([3, 700])
        assert_close(ours.add_noise(x, eps, t), theirs.add_noise(x, eps, t), 1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", (torch.float16, torch.float64))
def test_a_step_keeps_the_dtype(name, dtype):
    ours, theirs = both(name)
    for scheduler in (ours, theirs):
        scheduler.set_timesteps(10)
    t, v, x = ours.timesteps[0], randn(dtype=dtype), randn(seed=1, dtype=dtype)
    options = {} if name == "PNDMScheduler" else {"generator": torch.Generator().manual_seed(0)}
    step = ours.step(v, t, x, **options)
    options = {} if name == "PNDMScheduler" else {"generator": torch.Generator().manual_seed(0)}
    assert_close(
        step.prev_sample, theirs.step(v, t, x, **options).prev_sample, 1e-5 if dtype == torch.float64 else 1e-3
    )
    assert step.pred_original_sample.dtype == dtype


@pytest.mark.parametrize("kind", (int, float, torch.tensor))
@pytest.mark.parametrize("name", NAMES)
def test_a_timestep_may_be_a_number_or_a_tensor(name, kind):
    scheduler = getattr(minidiff, name)()
    scheduler.set_timesteps(10)
    t = int(scheduler.timesteps[0])
    wanted = scheduler.step(randn(), t, randn(seed=1), **({} if name == "PNDMScheduler" else {"generator": None}))
    scheduler.set_timesteps(10)
    torch.manual_seed(0)
    step = scheduler.step(randn(), kind(t), randn(seed=1))
    assert torch.equal(step.pred_original_sample, wanted.pred_original_sample)


def test_a_timestep_that_is_not_its_turn():
    ddpm = DDPMScheduler()
    ddpm.set_timesteps(3)
    with pytest.raises(ValueError, match=r"timestep is 665; allowed are the entries of timesteps, \[666, 333, 0\]"):
        ddpm.step(randn(), 665, randn())
    with pytest.raises(ValueError, match=r"timestep is 666.5; allowed are"):
        ddpm.step(randn(), 666.5, randn())
    ddim = DDIMScheduler()
    ddim.set_timesteps(3)
    for step in (ddim.step, ddim.inverse_step):
        with pytest.raises(ValueError, match=r"timestep is 1000; allowed are the entries of timesteps"):
            step(randn(), 1000, randn())
    pndm = PNDMScheduler(skip_prk_steps=True)
    pndm.set_timesteps(3)
    for t in (333, 666.5):
        with pytest.raises(ValueError, match=f"timestep is {t}; allowed is 666"):
            pndm.step(randn(), t, randn())


@pytest.mark.parametrize("name", NAMES)
def test_the_tuple_is_theirs(name):
    ours, theirs = both(name)
    for scheduler in (ours, theirs):
        scheduler.set_timesteps(10)
    arguments = randn(), ours.timesteps[0], randn(seed=1)
    mine, other = (scheduler.step(*arguments, return_dict=False) for scheduler in (ours, theirs))
    assert isinstance(mine, tuple) and len(mine) == len(other) == (1 if name == "PNDMScheduler" else 2)


def test_a_network_that_predicts_the_same_otherwise_changes_nothing():
    for other in ("sample", "v_prediction"):
        for scheduler_class in (DDIMScheduler, DDPMScheduler, PNDMScheduler):
            if scheduler_class is PNDMScheduler and other == "sample":
                continue
            ends = []
            for prediction_type in ("epsilon", other):
                scheduler = scheduler_class(prediction_type=prediction_type)
                scheduler.set_timesteps(12)
                torch.manual_seed(0)
                network = gaussian_network(scheduler, prediction_type=prediction_type)
                ends.append(walk(scheduler, network, torch.ones(1, 1, dtype=torch.float64)))
            assert_close(ends[0], ends[1], 1e-6, f"{scheduler_class.__name__} {other}")


# -- half precision


@pytest.mark.parametrize("dtype", (torch.bfloat16, torch.float16))
@pytest.mark.parametrize("name", NAMES)
def test_tables_have_at_least_float32(name, dtype):
    torch.set_default_dtype(dtype)
    try:
        scheduler = getattr(minidiff, name)()
        own = getattr(minidiff, name)(trained_betas=[0.0001, 0.1], num_train_timesteps=2)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(scheduler.alpha_bar, getattr(minidiff, name)().alpha_bar)
    assert own.beta.dtype == torch.float32 and own.beta[0] == torch.tensor(0.0001)


@pytest.mark.parametrize("dtype, theirs_has", ((torch.bfloat16, 0.0), (torch.float16, 0.0313)))
@pytest.mark.parametrize("name", NAMES)
def test_add_noise_in_half_precision_has_the_right_scale(name, dtype, theirs_has):
    """At t = 5 the noise's scale is 0.0300; in diffusers 1 - alpha_bar drowns in the dtype."""
    ours, theirs = both(name)
    x, eps, t = torch.zeros(1, 1, 64, 64, dtype=dtype), randn(1, 1, 64, 64).to(dtype), torch.tensor([5])
    scale = lambda scheduler: (scheduler.add_noise(x, eps, t).float().std() / eps.float().std()).item()
    assert ours.add_noise(x, eps, t).dtype == dtype
    assert scale(ours) == pytest.approx((1 - ours.alpha_bar[5].item()) ** 0.5, rel=2e-3)
    assert scale(theirs) == pytest.approx(theirs_has, abs=1e-4)


# -- what training asks for


@pytest.mark.parametrize("name", ("DDPMScheduler", "DDIMScheduler"))
@pytest.mark.parametrize("dtype", (torch.float32, torch.float64, torch.bfloat16))
def test_get_velocity(name, dtype):
    ours, theirs = both(name, prediction_type="v_prediction")
    x, eps, t = randn(dtype=dtype), randn(seed=1, dtype=dtype), torch.tensor([3, 900])
    v, within = ours.get_velocity(x, eps, t), 2e-2 if dtype == torch.bfloat16 else 1e-5
    assert_close(v, theirs.get_velocity(x, eps, t), within)
    x_0_hat, _ = ours.predict(v, ours.add_noise(x, eps, t), ours.alpha_bar_of_each(x, eps, t))
    assert_close(x_0_hat.to(dtype), x, within)


@pytest.mark.parametrize("dtype", (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64))
def test_any_whole_dtype_is_a_time(dtype):
    scheduler, t = DDPMScheduler(), torch.tensor([10, 100])
    for same in (t.to(dtype), t.to(dtype)[0]):
        assert torch.equal(scheduler.add_noise(randn(), randn(seed=1), same),
                           scheduler.add_noise(randn(), randn(seed=1), same.long()))  # fmt: skip
    short = DDPMScheduler(num_train_timesteps=2, beta_start=0.1, beta_end=0.2)
    ones = torch.ones(2, dtype=dtype)  # not a mask
    assert torch.equal(
        short.add_noise(randn(), randn(seed=1), ones), short.add_noise(randn(), randn(seed=1), ones.long())
    )


def test_a_truth_value_is_no_time():
    with pytest.raises(ValueError, match="timesteps is torch.bool of shape .*; allowed are whole numbers"):
        DDPMScheduler().add_noise(randn(), randn(), torch.tensor([True, False]))


@pytest.mark.parametrize("method", ("add_noise", "get_velocity"))
@pytest.mark.parametrize("dtype", (torch.uint8, torch.int64))
def test_pictures_of_bytes_are_refused(method, dtype):
    x, eps, t = torch.ones(2, 1, 8, 8, dtype=dtype), randn(2, 1, 8, 8), torch.tensor([10, 500])
    with pytest.raises(ValueError, match=rf"the sample is {dtype}; allowed is .*: .* become x.float\(\) / 127.5 - 1"):
        getattr(DDPMScheduler(), method)(x, eps, t)
    theirs = both("DDPMScheduler")[1]  # which makes the noise alone of them, or a v that overflows
    if dtype == torch.uint8 and method == "add_noise":
        assert torch.equal(theirs.add_noise(x, eps, t), eps)


# -- shaped alike


@pytest.mark.parametrize("name", NAMES)
def test_what_is_shaped_otherwise_is_refused(name):
    ours, theirs = both(name)
    x, other, t = randn(2, 3, 4, 4), randn(2, 1, 4, 4), torch.tensor([10, 500])
    with pytest.raises(ValueError, match=r"noise is of shape \(2, 1, 4, 4\); allowed is the shape of .*\(2, 3, 4, 4\)"):
        ours.add_noise(x, other, t)
    for scheduler in (ours, theirs):
        scheduler.set_timesteps(10)
    t = int(ours.timesteps[0])
    for wrong in (other, x[:1], x[0]):
        with pytest.raises(
            ValueError, match=r"model_output is of shape .*; allowed is the shape of sample, \(2, 3, 4, 4\)"
        ):
            ours.step(wrong, t, x)
    assert theirs.step(other, t, x).prev_sample.shape == x.shape  # diffusers broadcasts
    with pytest.raises(ValueError, match="sample is torch.int64; allowed is a floating-point tensor"):
        ours.step(x, t, x.long())
    if name == "DDIMScheduler":
        with pytest.raises(ValueError, match=r"variance_noise is of shape \(2, 1, 4, 4\)"):
            ours.step(x, t, x, eta=1.0, variance_noise=other)
        with pytest.raises(ValueError, match=r"model_output is of shape \(2, 1, 4, 4\)"):
            ours.inverse_step(other, t, x)


@pytest.mark.parametrize("name", NAMES)
def test_a_step_is_made_at_one_time(name):
    scheduler = getattr(minidiff, name)()
    scheduler.set_timesteps(10)
    t = scheduler.timesteps[0]
    for times in (torch.tensor([3, 5]), t.expand(2)):
        with pytest.raises(ValueError, match=r"timestep has the shape \(2,\); allowed is one time"):
            scheduler.step(randn(), times, randn())
    scheduler.step(randn(), t.expand(1), randn())


def test_an_error_does_not_list_a_thousand_timesteps():
    scheduler = DDIMScheduler()
    scheduler.set_timesteps(1000)
    with pytest.raises(ValueError, match="timestep is 1000; allowed are the entries of timesteps, 1000 from 999 to 0$"):
        scheduler.step(randn(), 1000, randn())


# -- a list of one's own


@pytest.mark.parametrize("kind", (list, tuple, np.array, torch.tensor))
@pytest.mark.parametrize("name", ("DDPMScheduler", "DDIMScheduler"))
def test_timesteps_of_ones_own(name, kind):
    mine = [999, 850, 736, 24]
    scheduler = getattr(minidiff, name)(clip_sample=False)
    scheduler.set_timesteps(timesteps=kind(mine), device="cpu")
    assert scheduler.timesteps.tolist() == mine and scheduler.timesteps.dtype == torch.int64
    assert scheduler.num_inference_steps == 4 and scheduler.target_of(850) == 736 and scheduler.target_of(24) == -1
    if name == "DDIMScheduler":
        x, eps, (a, b) = randn(), randn(seed=1), scheduler.alpha_bar[[850, 736]]
        x_0_hat = (x - (1 - a).sqrt() * eps) / a.sqrt()
        assert_close(scheduler.step(eps, 850, x).prev_sample, b.sqrt() * x_0_hat + (1 - b).sqrt() * eps, 1e-5)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"timesteps": [3, 5]}, r"timesteps is \[3, 5\]; allowed are falling numbers from 999, the last, to 0"),
        ({"timesteps": [5, 5]}, "allowed are falling numbers"),
        ({"timesteps": [1000, 3]}, "allowed are falling numbers from 999"),
        ({"timesteps": [3, -1]}, "allowed are falling numbers"),
        ({"timesteps": []}, r"timesteps is \[\]; allowed is a list of whole numbers"),
        ({"timesteps": [5.5, 3]}, "allowed is a list of whole numbers"),
        ({"timesteps": 7}, "timesteps is 7; allowed is a list of whole numbers"),
        (
            {"timesteps": [5, 3], "num_inference_steps": 2},
            "steps is 2 and timesteps are given; allowed is one",
        ),
        ({}, "num_inference_steps is None; allowed is a whole number"),
    ],
)
def test_timesteps_that_are_refused(arguments, message):
    scheduler = DDIMScheduler()
    scheduler.set_timesteps(5)
    with pytest.raises(ValueError, match=message):
        scheduler.set_timesteps(**arguments)
    assert len(scheduler.timesteps) == scheduler.num_inference_steps == 5


def test_timesteps_of_ones_own_need_a_method_that_takes_them():
    with pytest.raises(ValueError, match="timesteps is .*, while the combinations .* want even steps; allowed is None"):
        PNDMScheduler().set_timesteps(timesteps=[5, 3])
    with pytest.raises(ValueError, match="with step_to='ratio' the former"):
        DDIMScheduler(step_to="ratio").set_timesteps(timesteps=[5, 3])


# -- what scripts read


@pytest.mark.parametrize("name", NAMES)
def test_names_that_scripts_read(name):
    ours, theirs = both(name)
    assert ours.num_train_timesteps == 1000 and torch.equal(ours.alphas, 1 - ours.betas)
    if name != "DDPMScheduler":
        assert_close(ours.final_alpha_cumprod, theirs.final_alpha_cumprod, 1e-6)
    public = [cls.__name__ for cls in ours.compatibles]
    assert set(public) >= {"DDPMScheduler", "DDIMScheduler", "PNDMScheduler"} and "ScoreSdeVeScheduler" not in public
    for cls in ours.compatibles:
        assert type(cls.from_config(ours.config)) is cls


@pytest.mark.parametrize(
    "name, config",
    [(name, {}) for name in minidiff.__all__ if name.endswith("Scheduler") and hasattr(getattr(minidiff, name), "step")]
    + [("PNDMScheduler", {"skip_prk_steps": True})],
)
def test_a_copy_that_steps_leaves_the_original_alone(name, config):
    """As every call of a pipeline walks along on a copy."""
    if name == "KarrasVeScheduler":  # whose step is told all that it needs
        return
    ends = []
    for looks_ahead in (False, True):
        scheduler = getattr(minidiff, name)(**config)
        scheduler.set_timesteps(6)
        x, drawn = randn(), {"generator"} & set(inspect.signature(scheduler.step).parameters)
        for k, t in enumerate(scheduler.timesteps):
            if looks_ahead:
                copy.copy(scheduler).step(randn(seed=9), t, x)
            x = scheduler.step(randn(seed=k), t, x, **dict.fromkeys(drawn, seeded(k))).prev_sample
        ends.append(x)
    assert torch.equal(*ends)


def test_an_assigned_table_is_used():
    scheduler = DDIMScheduler()
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.to(torch.float64)
    scheduler.betas = scheduler.betas.to(torch.float64)
    assert scheduler.alpha_bar.dtype == scheduler.beta.dtype == scheduler.alphas.dtype == torch.float64
