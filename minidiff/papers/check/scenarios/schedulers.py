"""What drives the paired statements of the schedulers."""

import importlib

import torch

from minidiff.papers.check.scenarios.driving import BETAS, T, picture, rand, scenario, walk


@scenario("minidiff.schedulers.base")
def base(module):
    module.beta_table("linear", T, 0.01, 0.2)
    module.beta_table("scaled_linear", T, 0.01, 0.2)
    module.beta_table("squaredcos_cap_v2", T, 0.01, 0.2)
    scheduler_class = importlib.import_module("minidiff.schedulers.ddim").DDIMScheduler
    for spacing in module.SPACINGS:
        for offset in (0, 1):
            scheduler = scheduler_class(**BETAS, timestep_spacing=spacing, steps_offset=offset)
            for steps in (3, 5, 7):
                scheduler.set_timesteps(steps)
    scheduler_class(**BETAS, timestep_spacing="trailing").set_timesteps(T)
    scheduler_class(timestep_spacing="trailing").set_timesteps(61)  # rounding adds an entry
    for prediction_type in ("epsilon", "sample", "v_prediction"):
        scheduler = scheduler_class(**BETAS, prediction_type=prediction_type)
        scheduler.predict(rand(), rand(), scheduler.alpha_bar[5])
    scheduler.add_noise(rand(), rand(), torch.tensor([3, 9]))
    scheduler.get_velocity(rand(), rand(), torch.tensor([3, 9]))
    assert scheduler.alphas.shape == (T,)


@scenario("minidiff.schedulers.ddpm")
def ddpm(module):
    for variance_type in ("fixed_small", "fixed_large"):
        for prediction_type in ("epsilon", "sample", "v_prediction"):
            scheduler = module.DDPMScheduler(**BETAS, variance_type=variance_type, prediction_type=prediction_type)
            walk(scheduler, 5, picture())


@scenario(
    "minidiff.schedulers.ddim",
    equivalent={
        "alpha_bar_prev ** 0.5 * x_0_hat + (1 - alpha_bar_prev - sigma_t ** 2) ** 0.5 * eps_theta + sigma_t * eps": (
            "by (16) sigma_t^2 is at most 1 - alpha_bar_{t-1}: the maximum is there for rounding errors alone"
        )
    },
)
def ddim(module):
    for set_alpha_to_one in (True, False):
        for step_to in ("next", "ratio"):
            scheduler = module.DDIMScheduler(
                **BETAS, set_alpha_to_one=set_alpha_to_one, step_to=step_to, steps_offset=1
            )
            for eta in (0.0, 0.5, 1.0):
                walk(scheduler, 5, picture(), eta=eta)
            walk(scheduler, 5, picture(), eta=0.7, use_clipped_model_output=True)
            scheduler.step(picture(), scheduler.timesteps[1], picture(), eta=0.3, variance_noise=picture())
            for t in reversed(scheduler.timesteps):
                scheduler.inverse_step(rand(), t, rand())


@scenario("minidiff.schedulers.ipndm")
def ipndm(module):
    for first_step in ("exact", "diffusers"):
        scheduler = module.IPNDMScheduler(first_step=first_step)
        walk(scheduler, 7, rand(2, 3, 5))
        scheduler.set_timesteps(5)
        scheduler.step(rand(), scheduler.timesteps[2], rand())  # a walk that begins later
    scheduler.add_noise(rand(), rand(), torch.tensor([0.3, 0.9]))
    scheduler.get_velocity(rand(), rand(), torch.tensor([0.3, 0.9]))


@scenario("minidiff.schedulers.pndm")
def pndm(module):
    for skip_prk_steps in (True, False):
        for step_to in ("next", "ratio"):
            for options in (
                {},
                {"set_alpha_to_one": True},
                {"alpha_index_shift": 1},
                {"prediction_type": "v_prediction"},
            ):
                walk(
                    module.PNDMScheduler(**BETAS, skip_prk_steps=skip_prk_steps, step_to=step_to, **options), 6, rand()
                )


@scenario("minidiff.schedulers.sde")
def sde(module):
    t = torch.tensor([0.3, 0.8]).reshape(2, 1, 1, 1)
    for equation in (module.VESDE(0.02, 7.0), module.VPSDE(0.3, 11.0)):
        for time in (0.4, t):
            equation.reverse(rand(), time, rand())
            equation.probability_flow(rand(), time, rand())
            equation.marginal(rand(), time)
    module.langevin(picture(), picture(), 0.3, 0.7)


@scenario("minidiff.schedulers.score_sde_ve")
def score_sde_ve(module):
    scheduler = module.ScoreSdeVeScheduler(12, snr=0.3, sigma_min=0.02, sigma_max=7.0, sampling_eps=0.01)
    scheduler.set_timesteps(5)
    for t in scheduler.timesteps:
        scheduler.step_pred(picture(), t, picture())
        scheduler.step_correct(picture(), picture())
    scheduler.add_noise(rand(), rand(), torch.tensor([1, 4]))
    scheduler.add_noise(rand(), rand(), torch.tensor([0.2, 0.7]))


@scenario("minidiff.schedulers.score_sde_vp")
def score_sde_vp(module):
    for options in ({}, {"num_train_timesteps": T, "trained_on": "table"}):
        for predictor in ("euler_maruyama", "reverse_diffusion"):
            scheduler = module.ScoreSdeVpScheduler(
                beta_min=0.3, beta_max=3.0, sampling_eps=0.01, predictor=predictor, snr=0.3, **options
            )
            scheduler.set_timesteps(5)
            for t in scheduler.timesteps:
                scheduler.step(picture(), t, picture())
                scheduler.step_correct(picture(), picture(), t)
            scheduler.add_noise(rand(), rand(), torch.tensor([0.2, 0.7]))
    scheduler.add_noise(rand(), rand(), torch.tensor([2, 9]))


@scenario("minidiff.schedulers.karras_ve")
def karras_ve(module):
    for sigma_schedule in ("ve", "rho", "diffusers"):
        scheduler = module.KarrasVeScheduler(
            0.3, 9.0, s_noise=1.1, s_churn=3.0, s_min=0.4, s_max=8.0, sigma_schedule=sigma_schedule, rho=3.0
        )
        for steps in (5, 20):
            scheduler.set_timesteps(steps)
            for t in scheduler.timesteps[:-1]:
                x_hat, sigma_hat = scheduler.add_noise_to_input(picture(), scheduler.schedule[t])
                step = scheduler.step(picture(), sigma_hat, scheduler.schedule[t - 1], x_hat)
                arguments = sigma_hat, scheduler.schedule[t - 1], x_hat, step.prev_sample, step.derivative
                scheduler.step_correct(picture(), *arguments)
    scheduler.add_noise(rand(), rand(), torch.tensor([1, 4]))


SIGMA_OPTIONS = (
    {},
    {"prediction_type": "sample"},
    {"prediction_type": "v_prediction"},
    {"timestep_spacing": "leading", "steps_offset": 1},
    {"timestep_spacing": "trailing"},
    {"use_karras_sigmas": True},
)


def walk_along_sigmas(scheduler, shape=(2, 3, 4, 5)):
    """A whole walk of 5 steps, as a pipeline makes it, from `init_noise_sigma` on."""
    scheduler.set_timesteps(5)
    x = rand(*shape) * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        scheduler.scale_model_input(x, t)
        x = scheduler.step(rand(*shape), t, x).prev_sample
    scheduler.add_noise(rand(*shape), rand(*shape), scheduler.timesteps[:2])


@scenario("minidiff.schedulers.sigmas")
def sigmas(module):
    euler_class = importlib.import_module("minidiff.schedulers.euler").EulerDiscreteScheduler
    for options in SIGMA_OPTIONS:
        scheduler = euler_class(**BETAS, **options)
        walk_along_sigmas(scheduler)
        scheduler.skip_steps(2)
    for steps in (1, 2):
        euler_class(**BETAS, use_karras_sigmas=True, timestep_spacing="leading").set_timesteps(steps)


@scenario("minidiff.schedulers.lms")
def lms(module):
    for options in SIGMA_OPTIONS:
        walk_along_sigmas(module.LMSDiscreteScheduler(**BETAS, **options))


@scenario("minidiff.schedulers.euler")
def euler(module):
    for options in SIGMA_OPTIONS:
        walk_along_sigmas(module.EulerDiscreteScheduler(**BETAS, **options))
    for options in SIGMA_OPTIONS[:-1]:
        walk_along_sigmas(module.EulerAncestralDiscreteScheduler(**BETAS, **options), (2, 3, 16, 20))


@scenario("minidiff.schedulers.heun")
def heun(module):
    for options in SIGMA_OPTIONS:
        walk_along_sigmas(module.HeunDiscreteScheduler(**BETAS, **options))


@scenario("minidiff.schedulers.dpm_solver")
def dpm_solver(module):
    for options in SIGMA_OPTIONS:
        walk_along_sigmas(module.DPMSolverMultistepScheduler(**BETAS, **options))
