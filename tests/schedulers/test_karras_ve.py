"""KarrasVeScheduler: its steps are those of diffusers, its noise levels those of the paper."""

import pytest
import torch
from against import assert_close, generators, randn, refusal, seeded
from diffusers.schedulers.deprecated import KarrasVeScheduler as Theirs
from scores import gaussian, ve_score

from minidiff import KarrasVeScheduler, ScoreSdeVeScheduler
from minidiff.course.mixture import Mixture

MIXTURE = Mixture([[-1.0, 0.3], [0.5, -0.8], [0.9, 0.7]], [0.2, 0.3, 0.25], [0.5, 0.3, 0.2])


def both(count, **config):
    ours = KarrasVeScheduler(**config, sigma_schedule="diffusers")
    theirs = Theirs(**config)
    for scheduler in (ours, theirs):
        scheduler.set_timesteps(count)
    return ours, theirs


@pytest.mark.parametrize("count", (2, 7, 50))
@pytest.mark.parametrize("config", ({}, {"sigma_min": 0.1, "sigma_max": 20}))
def test_with_the_switch_the_noise_levels_are_theirs(count, config):
    ours, theirs = both(count, **config)
    assert torch.equal(ours.timesteps, theirs.timesteps) and ours.timesteps.dtype == torch.int64
    assert ((ours.schedule - theirs.schedule) / theirs.schedule).abs().max() < 1e-6
    assert ours.init_noise_sigma == theirs.init_noise_sigma and ours.order == theirs.order == 2


@pytest.mark.parametrize("kind", ("none", "one", "list"))
@pytest.mark.parametrize("config", ({}, {"s_churn": 10, "s_noise": 1.0, "s_min": 0.5, "s_max": 5}, {"s_churn": 0}))
def test_steps(kind, config):
    schedulers = both(10, **config)
    for k in (9, 5, 4, 1, 0):
        results = []
        for scheduler, generator in zip(schedulers, generators(kind)):
            torch.manual_seed(k)
            sigma, sigma_prev = schedulers[1].schedule[k], schedulers[1].schedule[k - 1] if k else 0
            x_hat, sigma_hat = scheduler.add_noise_to_input(randn(), sigma, generator)
            step = scheduler.step(randn(seed=1), sigma_hat, sigma_prev, x_hat)
            results += [
                [x_hat, torch.as_tensor(sigma_hat), step.prev_sample, step.derivative, step.pred_original_sample]
            ]
            if k:
                arguments = (sigma_hat, sigma_prev, x_hat, step.prev_sample, step.derivative)
                step = scheduler.step_correct(randn(seed=2), *arguments)
                results[-1] += [step.prev_sample, step.derivative, step.pred_original_sample]
                assert len(scheduler.step_correct(randn(), *arguments, return_dict=False)) == 2
            assert len(scheduler.step(randn(), sigma_hat, sigma_prev, x_hat, return_dict=False)) == 2
        for mine, other in zip(*results, strict=True):
            assert_close(mine, other, what=f"{config} at {k}")


def test_noise_levels_of_the_paper():
    ve, rho = KarrasVeScheduler(), KarrasVeScheduler(sigma_schedule="rho")
    for scheduler in (ve, rho):
        scheduler.set_timesteps(5)
        assert scheduler.schedule[0] == pytest.approx(0.02) and scheduler.schedule[-1] == pytest.approx(100)
    assert_close(ve.schedule[1:] / ve.schedule[:-1], torch.full((4,), 5000**0.25))  # in equal ratios
    assert_close(rho.schedule.diff().sign(), torch.ones(4))
    assert_close((rho.schedule ** (1 / 7)).diff(), torch.full((4,), (100 ** (1 / 7) - 0.02 ** (1 / 7)) / 4), 1e-4)


def test_churn_stays_between_its_ends_and_is_always_drawn():
    scheduler = KarrasVeScheduler(s_min=1, s_max=10)
    scheduler.set_timesteps(50)
    for sigma, gamma in ((0.5, 0), (1, 0.414), (10, 0.414), (11, 0)):
        generator = seeded()
        x_hat, sigma_hat = scheduler.add_noise_to_input(randn(), sigma, generator)
        assert sigma_hat == pytest.approx(sigma * (1 + gamma), rel=1e-3) and torch.equal(x_hat, randn()) == (not gamma)
        assert not torch.equal(generator.get_state(), seeded().get_state())
    scheduler = KarrasVeScheduler(s_churn=5)
    scheduler.set_timesteps(50)
    assert scheduler.add_noise_to_input(randn(), 1.0)[1] == pytest.approx(1.1)


# -- closed forms


def walk(scheduler, mixture, x, generator=None, last=True, correct=True):
    """As the pipeline, on data whose denoised picture is known; without the last step if asked."""
    output = lambda x, sigma: sigma * ve_score(mixture, x, sigma)
    for t in scheduler.timesteps:
        sigma, sigma_prev = scheduler.schedule[t], scheduler.schedule[t - 1] if t > 0 else 0
        if t == 0 and not last:
            break
        x_hat, sigma_hat = scheduler.add_noise_to_input(x, sigma, generator)
        step = scheduler.step(output(x_hat, sigma_hat), sigma_hat, sigma_prev, x_hat)
        if t > 0 and correct:
            x_prev = step.prev_sample
            F = output(x_prev, sigma_prev)
            step = scheduler.step_correct(F, sigma_hat, sigma_prev, x_hat, x_prev, step.derivative)
        x = step.prev_sample
    return x


def errors(counts, schedule, correct=True, **ends):
    """Without churn, at sigma_min: how far from the exact end of the probability flow."""
    config = {"sigma_min": 0.05, "sigma_max": 5.0} | ends
    alpha_bar = [1 / (1 + config[name] ** 2) for name in ("sigma_max", "sigma_min")]
    x = MIXTURE.sample(64, alpha_bar[0], seeded()) / alpha_bar[0] ** 0.5
    exact = MIXTURE.flow(alpha_bar[0] ** 0.5 * x, *alpha_bar) / alpha_bar[1] ** 0.5
    found = []
    for count in counts:
        scheduler = KarrasVeScheduler(**config, s_churn=0, sigma_schedule=schedule)
        scheduler.set_timesteps(count)
        found.append(((walk(scheduler, MIXTURE, x, last=False, correct=correct) - exact) ** 2).mean().sqrt().item())
    return found


@pytest.mark.parametrize("schedule", ("ve", "rho"))
@pytest.mark.parametrize("correct, order", ((True, 2), (False, 1)))
def test_order_at_sigma_min(schedule, correct, order):
    found = torch.tensor(errors((41, 81, 161), schedule, correct)).log2()
    assert (-found.diff() == pytest.approx([order, order], abs=0.1)) and found[-1] < -8


def test_the_last_step_has_an_error_of_its_own():
    """From sigma_min to 0 in one step of Euler's, however many steps came before: about sigma_min^2 of the picture."""
    x, mixture, found = torch.ones(1, 1, dtype=torch.float64), gaussian(), []
    for sigma_min in (0.1, 0.05):
        scheduler = KarrasVeScheduler(sigma_min=sigma_min, sigma_max=5.0, s_churn=0)
        scheduler.set_timesteps(200)
        at_sigma_min = walk(scheduler, mixture, x, last=False).item()
        end, exact = walk(scheduler, mixture, x).item(), at_sigma_min * (0.25 / (0.25 + sigma_min**2)) ** 0.5
        found.append(1 - end / exact)
    assert found[0] / found[1] == pytest.approx(4, rel=0.05) and found[1] == pytest.approx(0.05**2 / 0.5, rel=0.05)


def test_the_forward_process():
    scheduler, x_0, eps = KarrasVeScheduler(), randn(), randn(seed=1)
    with pytest.raises(ValueError, match="set_timesteps.* was not called"):
        scheduler.add_noise(x_0, eps, 3)
    scheduler.set_timesteps(10)
    noised = scheduler.add_noise(x_0, eps, torch.tensor([0, 9]))
    assert_close(noised[0], x_0[0] + 0.02 * eps[0])
    assert_close(noised[1], x_0[1] + 100 * eps[1])
    for wrong in (10, -1, 0.5):
        with pytest.raises(ValueError, match="timesteps reach from .*allowed are whole numbers from 0 to 9$"):
            scheduler.add_noise(x_0, eps, wrong)


def test_the_dtype_of_the_sample_is_kept():
    scheduler = KarrasVeScheduler()
    scheduler.set_timesteps(10)
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        x, F, sigma = randn(dtype=dtype), randn(seed=1, dtype=dtype), scheduler.schedule[5]
        x_hat, sigma_hat = scheduler.add_noise_to_input(x, sigma, seeded())
        step = scheduler.step(F, sigma_hat, sigma, x_hat)
        corrected = scheduler.step_correct(F, sigma_hat, sigma, x_hat, step.prev_sample, step.derivative)
        assert {x_hat.dtype} | {value.dtype for out in (step, corrected) for value in out.values()} == {dtype}


def test_it_has_no_number_of_timesteps():
    with pytest.raises(TypeError, match="has no len"):
        len(KarrasVeScheduler())
    assert KarrasVeScheduler()


def test_what_is_saved_is_loaded(tmp_path):
    scheduler = KarrasVeScheduler(sigma_schedule="rho", s_churn=20)
    scheduler.save_pretrained(tmp_path)
    assert KarrasVeScheduler.from_pretrained(tmp_path).config == scheduler.config


def test_a_file_of_the_ve_sde_has_twice_its_noise(tmp_path):
    """In [-1, 1], where a picture is twice as large as in [0, 1]."""
    ve = ScoreSdeVeScheduler(sigma_max=50.0)
    ve.save_pretrained(tmp_path)
    made = [KarrasVeScheduler.from_config(given) for given in (ve, ve.config, {"_class_name": "Unheard"} | ve.config)]
    for scheduler in (*made, KarrasVeScheduler.from_pretrained(tmp_path)):
        assert (scheduler.config.sigma_min, scheduler.config.sigma_max) == (0.02, 100)
    ve.set_sigmas(10, sigma_max=20.0)
    assert KarrasVeScheduler.from_config(ve, s_churn=0).config.sigma_max == 40
    karras = KarrasVeScheduler(sigma_max=50.0)
    assert KarrasVeScheduler.from_config(karras).config == karras.config


# -- the ledger


def test_sigma_is_the_square_root_of_time():
    stds = []
    for schedule in ("ve", "diffusers"):
        scheduler, generator = KarrasVeScheduler(sigma_schedule=schedule), seeded()
        scheduler.set_timesteps(18)
        x = 100 * torch.randn(2, 50_000, generator=generator, dtype=torch.float64)
        stds.append(walk(scheduler, gaussian(D=50_000), x, generator).std().item())
    assert stds == pytest.approx([0.541, 0.625], abs=0.005)


# -- refusals


@pytest.mark.parametrize(
    "config, message",
    [
        ({"sigma_min": 0}, refusal("sigma_min", 0)),
        ({"sigma_min": 100}, "sigma_max is 100; allowed are numbers above sigma_min, 100"),
        ({"s_churn": -1}, refusal("s_churn", -1)),
        ({"s_noise": 0}, refusal("s_noise", 0)),
        ({"s_min": -0.1}, refusal("s_min", -0.1)),
        ({"s_max": 0.01}, "s_max is 0.01; allowed are numbers from s_min, 0.05, on"),
        ({"sigma_schedule": "karras"}, "sigma_schedule is 'karras'; allowed are 've', 'rho', 'diffusers'"),
        ({"rho": 0}, refusal("rho", 0)),
    ],
)
def test_configs_that_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        KarrasVeScheduler(**config)


@pytest.mark.parametrize("count", (0, 1, -3, 2.0, "7", None))
def test_counts_that_are_refused(count):
    scheduler = KarrasVeScheduler()
    with pytest.raises(ValueError, match=f"num_inference_steps is {count!r}; allowed is a whole number from 2 on"):
        scheduler.set_timesteps(count)
    assert scheduler.timesteps is None


def test_steps_that_are_refused():
    scheduler = KarrasVeScheduler()
    with pytest.raises(ValueError, match="set_timesteps.* was not called"):
        scheduler.add_noise_to_input(randn(), 1.0)
    with pytest.raises(ValueError, match="model_output is of shape"):
        scheduler.step(randn(2, 3, 8, 1), 2.0, 1.0, randn())
    with pytest.raises(ValueError, match="sigma_prev is 0.0; allowed are numbers above 0"):
        scheduler.step_correct(randn(), 2.0, 0.0, randn(), randn(), randn())
