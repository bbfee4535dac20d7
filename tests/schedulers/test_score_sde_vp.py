"""ScoreSdeVpScheduler: the step is that of diffusers, and the rest does what the paper and its code say."""

import pytest
import torch
from against import assert_close, generators, randn, refusal, relative_difference, seeded
from diffusers.schedulers.deprecated import ScoreSdeVpScheduler as Theirs
from scores import gaussian, vp_score

from minidiff import DDIMScheduler, DDPMScheduler, PNDMScheduler, ScoreSdeVpScheduler
from minidiff.schedulers.sde import VPSDE

TABLE = {"trained_on": "table", "num_train_timesteps": 1000}


def ready(count, **config):
    scheduler = ScoreSdeVpScheduler(**config)
    scheduler.set_timesteps(count)
    return scheduler


@pytest.mark.parametrize("kind", ("none", "one", "list"))
@pytest.mark.parametrize("config", ({}, {"beta_min": 0.2, "beta_max": 12, "sampling_eps": 1e-2}))
@pytest.mark.parametrize("count", (1, 7, 200))
def test_steps(kind, config, count):
    ours, theirs = ready(count, **config), Theirs(**config)
    theirs.set_timesteps(count)
    assert torch.equal(ours.timesteps, theirs.timesteps) and len(ours) == len(theirs)
    for k in {0, count // 2, count - 1}:
        results, t = [], ours.timesteps[k]
        for scheduler, time, generator in zip((ours, theirs), (t, t.double()), generators(kind)):
            torch.manual_seed(k)  # theirs takes a difference of nearly equal numbers in the time's dtype
            results.append(scheduler.step_pred(randn(seed=1).double(), randn().double(), time, generator))
        for mine, other in zip(*results, strict=True):
            assert_close(mine, other, what=f"at {t}")


def test_a_step_and_its_names():
    scheduler = ready(10)
    t = scheduler.timesteps[3]
    step = scheduler.step(randn(seed=1), t, randn(), seeded())
    assert list(step) == ["prev_sample", "prev_sample_mean", "pred_original_sample"]
    x, x_mean = scheduler.step_pred(randn(seed=1), randn(), t, seeded())
    assert torch.equal(x, step.prev_sample) and torch.equal(x_mean, step.prev_sample_mean)
    assert len(scheduler.step(randn(), t, randn(), return_dict=False)) == 2


def test_what_the_network_is_told():
    assert ready(3).label(torch.tensor(0.5)) == 499.5 and ready(3).label(1) == 999
    assert ready(3, trained_on="table", num_train_timesteps=200).label(1) == 199


def test_levels():
    t = torch.tensor([0.001, 0.5, 1.0])
    for mine, sde in zip(ready(3).levels(t), (VPSDE().m(t), VPSDE().sigma(t)), strict=True):
        assert torch.equal(mine, sde)
    alpha_bar = DDPMScheduler().alpha_bar[[1, 500, 999]]  # 0.999 and 499.5 are rounded, halves to even
    m, sigma = ready(3, **TABLE).levels(t)
    assert_close(m, alpha_bar**0.5)
    assert_close(sigma, (1 - alpha_bar) ** 0.5)


# -- closed forms, on data N(0, 0.5^2)


def score_of(x, t, scheduler):
    """What a perfect network says: the noise."""
    m, sigma = scheduler.levels(t)
    return sigma * x / (0.25 * m**2 + sigma**2)


def final_std(count, **config):
    """Of what the predictor makes: a step is a x + b z, so that variances follow from a and b, without a sample."""
    scheduler, z, variance = ready(count, **config), torch.randn(16, generator=seeded(), dtype=torch.float64), 1.0
    for i, t in enumerate(scheduler.timesteps):
        x = torch.stack([torch.zeros(16), torch.ones(16)]).double()
        step = scheduler.step(score_of(x, t, scheduler), t, x, [seeded(), seeded()])  # (b z, a + b z)
        x_prev = step.prev_sample if i + 1 < count else step.prev_sample_mean
        a, b = (x_prev[1] - x_prev[0]).mean(), (x_prev[0] * z).sum() / (z * z).sum()
        variance = a**2 * variance + b**2
    return variance.item() ** 0.5


@pytest.mark.parametrize("predictor", ("euler_maruyama", "reverse_diffusion"))
def test_the_predictors_converge(predictor):
    errors = [abs(final_std(count, predictor=predictor) - 0.5) for count in (100, 200, 400, 800)]
    assert errors[-1] < 0.004
    assert all(1.5 < coarse / fine < 3 for coarse, fine in zip(errors, errors[1:]))


def test_the_picture_that_a_step_believes_in():
    x, t, scheduler = randn(dtype=torch.float64), 0.5, ready(3)
    eps = -scheduler.sde.sigma(t) * vp_score(gaussian(0.5, 192), x, t)
    step = scheduler.step(eps, scheduler.timesteps[1], x)
    t = scheduler.timesteps[1]
    m, sigma = scheduler.levels(t)
    wanted = scheduler.step(score_of(x, t, scheduler), t, x).pred_original_sample
    assert_close(wanted, 0.25 * m / (0.25 * m**2 + sigma**2) * x)
    assert relative_difference(step.pred_original_sample, wanted) < 0.01


def test_the_corrector_nearly_keeps_the_distribution():
    """With s = -x / v it is x (1 - 2 alpha r^2) + 2 r sqrt(alpha v) z."""
    scheduler = ready(100)
    for t in scheduler.timesteps[[0, 50]]:
        m, sigma = scheduler.levels(t)
        v = (0.25 * m**2 + sigma**2).double()
        alpha = 1 - scheduler.sde.beta(t) / 100
        x = v**0.5 * torch.randn(2, 200_000, generator=seeded(), dtype=torch.float64)
        x_next = scheduler.step_correct(score_of(x, t, scheduler), x, t, seeded(1))
        assert x_next.var().item() == pytest.approx((v * (1 + 4 * (alpha * 0.16**2) ** 2)).item(), rel=0.01)
        assert (x_next * x).mean().item() == pytest.approx((v * (1 - 2 * alpha * 0.16**2)).item(), rel=0.01)


def test_the_forward_process():
    x_0, z, scheduler = randn(), randn(seed=1), ScoreSdeVpScheduler()
    assert_close(scheduler.add_noise(x_0, z, 0.5), VPSDE().m(0.5) * x_0 + VPSDE().sigma(0.5) * z)
    table, t = ScoreSdeVpScheduler(**TABLE), torch.tensor([3, 900])
    assert_close(table.add_noise(x_0, z, t), DDPMScheduler().add_noise(x_0, z, t))
    for wrong in (1.5, -0.1, torch.tensor([1, 2]), torch.tensor([0.1, 0.2, 0.3])):
        with pytest.raises(ValueError, match="timesteps .*allowed"):
            scheduler.add_noise(x_0, z, wrong)


def test_the_dtype_of_the_sample_is_kept():
    scheduler = ready(30)
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        x, eps, t = randn(dtype=dtype), randn(seed=1, dtype=dtype), scheduler.timesteps[4]
        assert {value.dtype for value in scheduler.step(eps, t, x, seeded()).values()} == {dtype}
        assert scheduler.step_correct(eps, x, t, seeded()).dtype == dtype


# -- from a table of betas


@pytest.mark.parametrize("discrete", (DDPMScheduler(), DDIMScheduler(), DDPMScheduler(beta_start=2e-4, beta_end=1e-2)))
def test_a_table_of_betas_becomes_an_sde(discrete):
    for given in (discrete, discrete.config, dict(discrete.config)):
        made = ScoreSdeVpScheduler.from_config(given)
        assert made.config.trained_on == "table" and len(made) == 1000
        assert made.sde.beta_min == pytest.approx(1000 * discrete.config.beta_start)
        assert made.sde.beta_max == pytest.approx(1000 * discrete.config.beta_end)
        assert torch.equal(made.alpha_bar, discrete.alpha_bar)


def test_a_file_of_ddpm_becomes_an_sde(tmp_path):
    """Also where it says nothing of its betas, since they are the default."""
    DDPMScheduler().save_pretrained(tmp_path)
    assert "beta_start" not in (tmp_path / "scheduler_config.json").read_text()
    made = ScoreSdeVpScheduler.from_pretrained(tmp_path)
    assert made.config.trained_on == "table" and torch.equal(made.alpha_bar, DDPMScheduler().alpha_bar)
    with pytest.raises(TypeError, match="config is 'somewhere'; allowed is a mapping"):
        ScoreSdeVpScheduler.from_config("somewhere")


def test_a_file_of_a_class_of_ones_own_becomes_an_sde(tmp_path):
    class Gentle(DDPMScheduler):
        def __init__(self, num_train_timesteps=1000, beta_end=0.01):
            super().__init__(num_train_timesteps, beta_end=beta_end)

    Gentle().save_pretrained(tmp_path)
    for made in (ScoreSdeVpScheduler.from_pretrained(tmp_path), ScoreSdeVpScheduler.from_config(Gentle())):
        assert made.config.trained_on == "table" and torch.equal(made.alpha_bar, Gentle().alpha_bar)
    assert ScoreSdeVpScheduler.from_config({"_class_name": "Unheard", "snr": 0.2}).config.trained_on == "continuous"


def test_a_table_that_is_given():
    betas = torch.linspace(1e-4, 0.02, 500)
    made = ScoreSdeVpScheduler.from_config(DDPMScheduler(500, trained_betas=betas))
    assert len(made) == 500 and made.sde.beta_max == pytest.approx(10)
    assert_close(made.alpha_bar, (1 - betas).cumprod(0))


def test_what_is_saved_is_loaded(tmp_path):
    for scheduler in (ScoreSdeVpScheduler.from_config(DDPMScheduler()), ScoreSdeVpScheduler(snr=0.2, correct_steps=1)):
        scheduler.save_pretrained(tmp_path)
        assert ScoreSdeVpScheduler.from_pretrained(tmp_path).config == scheduler.config


# -- the ledger


def test_the_table_has_more_noise_near_the_end():
    for t, ratio in ((0.001, 1.41), (0.005, 1.10)):
        (_, table), (_, kernel) = (scheduler.levels(torch.tensor(t)) for scheduler in (ready(3, **TABLE), ready(3)))
        assert (table / kernel).item() == pytest.approx(ratio, abs=0.005)
    theirs = Theirs()
    theirs.set_timesteps(1000)
    assert_close(theirs.step_pred(randn(), randn(seed=1), torch.tensor(0.001), seeded())[1],
                 one_step(ready(1000, sampling_eps=0.001)), 1e-3)  # fmt: skip


def one_step(scheduler):
    return scheduler.step(randn(), scheduler.timesteps[-1], randn(seed=1), seeded()).prev_sample_mean


def test_other_betas_are_refused_and_in_diffusers_replaced():
    for config in ({"beta_schedule": "scaled_linear"}, {"beta_schedule": "squaredcos_cap_v2"}):
        discrete = DDPMScheduler(**config)
        with pytest.raises(
            ValueError, match=rf"betas \(beta_schedule='{discrete.config.beta_schedule}'\) are not linear"
        ):
            ScoreSdeVpScheduler.from_config(discrete)
    theirs = Theirs.from_config(dict(DDPMScheduler(beta_start=1e-3, beta_end=0.01).config))
    assert (theirs.config.beta_min, theirs.config.beta_max) == (0.1, 20)  # 1 and 10 would be right


# -- refusals


@pytest.mark.parametrize(
    "config, message",
    [
        ({"beta_min": 0}, refusal("beta_min", 0)),
        ({"beta_max": 0.05}, "beta_max is 0.05; allowed are numbers above beta_min, 0.1"),
        ({"sampling_eps": 0.0}, refusal("sampling_eps", 0.0)),
        ({"sampling_eps": 1}, refusal("sampling_eps", 1)),
        ({"trained_on": "tables"}, "trained_on is 'tables'; allowed are 'continuous', 'table'"),
        ({"trained_betas": [0.1, 0.2]}, "trained_betas are given with trained_on='continuous'; allowed is"),
        ({"trained_betas": [0.1, 0.2], "trained_on": "table"}, "trained_betas has 2 entries; allowed are"),
        ({"predictor": "ancestral"}, "predictor is 'ancestral'; allowed are 'euler_maruyama', 'reverse_diffusion'"),
        ({"correct_steps": -1}, refusal("correct_steps", -1)),
        ({"snr": 0}, refusal("snr", 0)),
    ],
)
def test_configs_that_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        ScoreSdeVpScheduler(**config)


def test_networks_that_predict_something_else_are_refused():
    with pytest.raises(ValueError, match="prediction_type is 'v_prediction'; allowed are 'epsilon'"):
        ScoreSdeVpScheduler.from_config(PNDMScheduler(prediction_type="v_prediction"))


@pytest.mark.parametrize("count", (0, -3, 2.0, "7", None))
def test_counts_that_are_refused(count):
    with pytest.raises(ValueError, match=f"num_inference_steps is {count!r}; allowed is a whole number from 1 on"):
        ScoreSdeVpScheduler().set_timesteps(count)


@pytest.mark.parametrize("config", ({"predictor": "reverse_diffusion"}, {"correct_steps": 1}))
def test_betas_above_1_are_refused(config):
    scheduler = ScoreSdeVpScheduler(**config)
    with pytest.raises(ValueError, match="num_inference_steps is 20; allowed are more than beta_max=20"):
        scheduler.set_timesteps(20)
    scheduler.set_timesteps(21)
    assert scheduler.step(randn(), 1.0, randn(), seeded()).prev_sample.isfinite().all()


def test_steps_that_are_refused():
    with pytest.raises(ValueError, match="set_timesteps.* was not called"):
        ScoreSdeVpScheduler().step(randn(), 1.0, randn())
    scheduler = ready(10)
    for step in (
        lambda eps, t: scheduler.step(eps, t, randn()),
        lambda eps, t: scheduler.step_correct(eps, randn(), t),
    ):
        with pytest.raises(ValueError, match="timestep is 0.123; allowed are the entries of timesteps"):
            step(randn(), 0.123)
        with pytest.raises(ValueError, match="model_output is of shape"):
            step(randn(2, 3, 8, 1), 1.0)
