"""ScoreSdeVeScheduler: predictor and corrector are those of diffusers, and do what the paper says."""

import diffusers
import pytest
import torch
from against import assert_close, generators, randn, refusal, seeded
from scores import gaussian, ve_score

from minidiff import ScoreSdeVeScheduler

CIFAR = {"snr": 0.16, "sigma_max": 50.0}
COUNTS = (2, 7, 50, 2000)


def both(count, **config):
    """Ours and theirs, ready to walk."""
    ours, theirs = ScoreSdeVeScheduler(**config), diffusers.ScoreSdeVeScheduler(**config)
    ours.set_timesteps(count)
    theirs.set_timesteps(count)
    theirs.set_sigmas(count)
    return ours, theirs


@pytest.mark.parametrize("config", ({}, CIFAR, {"sampling_eps": 1e-3}))
@pytest.mark.parametrize("count", COUNTS)
def test_tables(config, count):
    ours, theirs = both(count, **config)
    for name in ("timesteps", "sigmas", "discrete_sigmas"):
        mine, other = getattr(ours, name), getattr(theirs, name)
        assert mine.dtype == torch.float32 and ((mine - other) / other).abs().max() < 3e-6, name
    assert ours.init_noise_sigma == theirs.init_noise_sigma and len(ours) == len(theirs) == 2000


def test_before_set_timesteps_all_levels_are_there():
    assert_close(ScoreSdeVeScheduler().timesteps, diffusers.ScoreSdeVeScheduler().timesteps)


@pytest.mark.parametrize("kind", ("none", "one", "list"))
@pytest.mark.parametrize("count", (2, 7, 200))
def test_predictor(kind, count):
    schedulers = both(count, **CIFAR)
    for k in {0, 1, count // 2, count - 1}:
        x, s = 20 * randn(seed=1), randn(seed=2)
        results = []
        for scheduler, generator in zip(schedulers, generators(kind)):
            torch.manual_seed(k)
            results.append(scheduler.step_pred(s, scheduler.timesteps[k], x, generator))
        for name in ("prev_sample", "prev_sample_mean"):
            assert_close(results[0][name], results[1][name], 1e-5 if count > 2 else 2e-5, f"{name} at {k}")
        assert len(schedulers[0].step_pred(s, schedulers[0].timesteps[k], x, return_dict=False)) == 2


@pytest.mark.parametrize("kind", ("none", "one", "list"))
@pytest.mark.parametrize("snr", (0.075, 0.16))
def test_corrector(kind, snr):
    results = []
    for scheduler, generator in zip(both(10, snr=snr), generators(kind)):
        torch.manual_seed(0)
        results.append(scheduler.step_correct(10 * randn(seed=2), randn(seed=1), generator).prev_sample)
    assert_close(*results)
    (only,) = both(10)[0].step_correct(randn(), randn(), return_dict=False)
    assert only.shape == randn().shape


def test_set_sigmas_moves_the_ends():
    scheduler = ScoreSdeVeScheduler()
    scheduler.set_timesteps(10)
    scheduler.set_sigmas(20, sigma_min=0.1, sigma_max=10.0, sampling_eps=1e-3)
    assert len(scheduler.timesteps) == 20 and scheduler.timesteps[-1] == pytest.approx(1e-3, rel=1e-3)
    assert scheduler.discrete_sigmas[0] == pytest.approx(0.1) and scheduler.init_noise_sigma == 10
    assert scheduler.sigmas[0] == pytest.approx(10)
    assert (scheduler.config.sigma_min, scheduler.config.sigma_max) == (0.1, 10)  # so that this is what is saved
    scheduler.set_sigmas(30)
    assert scheduler.init_noise_sigma == 10 and scheduler.config.given == {"sigma_min", "sigma_max"}


# -- closed forms, on data N(0, 0.5^2)


def test_the_picture_that_a_step_believes_in():
    scheduler, mixture = both(10, **CIFAR)[0], gaussian(0.5, 192)
    x = 3 * randn(dtype=torch.float64)
    step = scheduler.step_pred(ve_score(mixture, x, scheduler.discrete_sigmas[7]), scheduler.timesteps[2], x)
    sigma = scheduler.discrete_sigmas[7].double()
    assert_close(step.pred_original_sample, x * 0.25 / (0.25 + sigma**2))


def predicted_std(count):
    """Of what the predictor makes: a step is a x + b z, so that variances follow from a and b, without a sample."""
    scheduler, z, variance = both(count, **CIFAR)[0], torch.randn(16, generator=seeded(), dtype=torch.float64), 50.0**2
    for i, t in enumerate(scheduler.timesteps):
        x = torch.stack([torch.zeros(16), torch.ones(16)]).double()
        score = -x / (0.25 + scheduler.discrete_sigmas[count - 1 - i].double() ** 2)
        step = scheduler.step_pred(score, t, x, [seeded(), seeded()])  # (b z, a + b z)
        x_prev = step.prev_sample if i + 1 < count else step.prev_sample_mean
        a, b = (x_prev[1] - x_prev[0]).mean(), (x_prev[0] * z).sum() / (z * z).sum()
        variance = a**2 * variance + b**2
    return variance.item() ** 0.5


def test_the_predictor_converges():
    errors = [predicted_std(count) - 0.5 for count in (50, 100, 200, 400)]
    assert errors[-1] == pytest.approx(0.0053, abs=0.0001)
    assert all(1.8 < coarse / fine < 2.2 for coarse, fine in zip(errors, errors[1:]))  # the first order


def test_the_corrector_keeps_the_distribution():
    """With s = -x / v it is x (1 - 2 r^2) + 2 r sqrt(v) z, which makes v to v (1 + 4 r^4)."""
    scheduler, v = both(10, **CIFAR)[0], 0.25
    x = v**0.5 * torch.randn(2, 200_000, generator=seeded(), dtype=torch.float64)
    x_next = scheduler.step_correct(-x / v, x, seeded(1)).prev_sample
    assert x_next.var().item() == pytest.approx(v * (1 + 4 * 0.16**4), rel=0.01)
    assert (x_next * x).mean().item() == pytest.approx(v * (1 - 2 * 0.16**2), rel=0.01)


def test_the_forward_process():
    scheduler = ScoreSdeVeScheduler(**CIFAR)
    scheduler.set_timesteps(10)
    x_0, z = randn(), randn(seed=1)
    theirs = both(10, **CIFAR)[1].add_noise(x_0, z, torch.tensor([3, 9]))
    assert_close(scheduler.add_noise(x_0, z, torch.tensor([3, 9])), theirs)
    assert_close(scheduler.add_noise(x_0, z, 0.5), x_0 + 0.5**0.5 * z)
    assert_close(scheduler.add_noise(x_0, z, torch.tensor([1.0, 0.0]))[1], x_0[1] + 0.01 * z[1])


# -- precision


def test_the_dtype_of_the_sample_is_kept():
    scheduler = ScoreSdeVeScheduler(**CIFAR)
    scheduler.set_timesteps(10)
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        x, s = randn(dtype=dtype), 100 * randn(seed=1, dtype=dtype)
        step = scheduler.step_pred(s, scheduler.timesteps[5], x, seeded())
        assert {value.dtype for value in step.values()} == {dtype}
        assert scheduler.step_correct(s, x, seeded()).prev_sample.dtype == dtype


def test_half_precision_cannot_hold_the_norm_of_a_score():
    scheduler = ScoreSdeVeScheduler(**CIFAR)
    s = torch.full((1, 3, 512, 512), 100.0)  # of norm 88,681
    half, single = (
        scheduler.step_correct(s.to(dtype), torch.zeros_like(s, dtype=dtype), seeded()).prev_sample.float().std().item()
        for dtype in (torch.float16, torch.float32)
    )
    assert half == pytest.approx(single, rel=1e-2) and half > 0


def test_half_precision_cannot_hold_the_square_of_a_noise_level():
    ours, theirs = both(2000)
    x = (1348 * randn(seed=1)).half()
    s = -x / 1348**2  # of N(0, sigma_max^2)
    steps = [scheduler.step_pred(s, scheduler.timesteps[0], x, seeded()) for scheduler in (ours, theirs)]
    assert all(value.isfinite().all() for value in steps[0].values())
    assert_close(steps[0].prev_sample.float(), steps[1].prev_sample.float(), 1e-3)


# -- the ledger


def test_a_sample_of_a_batch_depends_on_the_others():
    x, s = randn(), randn(seed=1)
    louder = torch.cat([s[:1], 10 * s[1:]])
    for scheduler in both(10, **CIFAR):
        alone = scheduler.step_correct(s[:1], x[:1], [seeded(1)]).prev_sample
        together = scheduler.step_correct(louder, x, [seeded(1), seeded(2)]).prev_sample[:1]
        moved = ((together - x[:1]).std() / (alone - x[:1]).std()).item()
        assert moved == pytest.approx(0.155, abs=0.001)


def corrected_std(count, after):
    """Of what 100,000 numbers become, with one corrector step before each predictor step or after it."""
    scheduler, generator = both(count, **CIFAR)[0], seeded()
    score = lambda x, sigma: -x / (0.25 + sigma.double() ** 2)
    correct = lambda x, sigma: scheduler.step_correct(score(x, sigma), x, generator).prev_sample
    x, sigmas = 50 * torch.randn(2, 50_000, generator=generator, dtype=torch.float64), scheduler.sigmas
    for i, t in enumerate(scheduler.timesteps):
        x = x if after else correct(x, sigmas[i])
        step = scheduler.step_pred(score(x, sigmas[i]), t, x, generator)
        x = correct(step.prev_sample, sigmas[i + 1]) if after and i + 1 < count else step.prev_sample
    return step.prev_sample_mean.std().item()


def test_corrector_before_or_after_the_predictor():
    assert corrected_std(24, after=False) == pytest.approx(0.5477, abs=0.0005)
    assert corrected_std(24, after=True) == pytest.approx(0.5458, abs=0.0005)


# -- refusals


@pytest.mark.parametrize(
    "config, message",
    [
        ({"snr": 0}, refusal("snr", 0)),
        ({"snr": -0.1}, refusal("snr", -0.1)),
        ({"snr": "0.16"}, refusal("snr", "'0.16'")),
        ({"correct_steps": -1}, refusal("correct_steps", -1)),
        ({"correct_steps": 1.5}, refusal("correct_steps", 1.5)),
        ({"sampling_eps": 0}, refusal("sampling_eps", 0)),
        ({"sampling_eps": 1.0}, refusal("sampling_eps", 1.0)),
        ({"sigma_min": 0.0}, refusal("sigma_min", 0.0)),
        ({"sigma_min": 50.0, "sigma_max": 50.0}, "sigma_max is 50.0; allowed are numbers above sigma_min, 50.0"),
        ({"num_train_timesteps": 1}, refusal("num_train_timesteps", 1)),
    ],
)
def test_configs_that_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        ScoreSdeVeScheduler(**config)


@pytest.mark.parametrize("count", (0, 1, -3, 2.0, "7", None))
def test_counts_that_are_refused(count):
    scheduler = ScoreSdeVeScheduler()
    before = dict(vars(scheduler))
    for set_them in (scheduler.set_timesteps, scheduler.set_sigmas):
        with pytest.raises(ValueError, match=f"num_inference_steps is {count!r}; allowed is a whole number from 2 on"):
            set_them(count)
    with pytest.raises(ValueError, match="sampling_eps is 2; allowed"):
        scheduler.set_timesteps(10, sampling_eps=2)
    with pytest.raises(ValueError, match="sigma_max is 0.001; allowed"):
        scheduler.set_sigmas(10, sigma_max=0.001)
    assert all(vars(scheduler)[name] is value for name, value in before.items())


def test_steps_that_are_refused():
    scheduler = ScoreSdeVeScheduler()
    scheduler.set_timesteps(10)
    with pytest.raises(ValueError, match="timestep is 0.123; allowed are the entries of timesteps"):
        scheduler.step_pred(randn(), 0.123, randn())
    for step in (lambda s: scheduler.step_pred(s, 1.0, randn()), lambda s: scheduler.step_correct(s, randn())):
        with pytest.raises(
            ValueError, match=r"model_output is of shape \(2, 3, 8, 1\); allowed is the shape of sample"
        ):
            step(randn(2, 3, 8, 1))


@pytest.mark.parametrize("timesteps", (10, -1, 1.5, torch.tensor([0, 1, 2])))
def test_noise_levels_that_are_refused(timesteps):
    scheduler = ScoreSdeVeScheduler()
    scheduler.set_timesteps(10)
    with pytest.raises(ValueError, match="timesteps .*allowed"):
        scheduler.add_noise(randn(), randn(), timesteps)
    with pytest.raises(ValueError, match="noise is of shape"):
        scheduler.add_noise(randn(), randn(2, 3, 8, 1), 0.5)
