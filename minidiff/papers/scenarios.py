"""What drives the paired statements of this package, so that `checker.check` can compare them with their equations.

One function a module, with every config and branch: random inputs from a fixed seed, batch 2, no two sizes alike, T =
12, random weights, all in float64. Imports inside a function give the freshly imported modules; this file imports
none of them itself.
"""

import importlib

import torch

from minidiff.papers.checker import Scenario

SCENARIOS = []
T = 12
BETAS = {"num_train_timesteps": T, "beta_start": 0.01, "beta_end": 0.2}

# In these files (beginnings of paths) every statement of arithmetic has a pair ...
WHOLLY_PAIRED = ("schedulers/", "pipelines/guidance")
# ... but these, {"path: statement": reason}.
UNPAIRED = {}


def scenario(module, equivalent=None):
    """Decorates the function that drives a module.

    Args:
        module: its full name; the function is called with the module itself.
        equivalent: {mutant: reason} of statements with one token changed that are equal by mathematics.
    """

    def register(drive):
        SCENARIOS.append(Scenario(module, drive, equivalent or {}))
        return drive

    return register


def rand(*shape):
    """Standard normal numbers, (2, 3, 4, 5) unless another shape is asked for."""
    return torch.randn(shape or (2, 3, 4, 5))


def picture():
    """Enough standard normal numbers, (2, 3, 16, 20), for a draw of that shape to be judged."""
    return rand(2, 3, 16, 20)


def walk(scheduler, steps, sample, **options):
    """A whole walk with random network outputs, as a pipeline would make it."""
    scheduler.set_timesteps(steps)
    for t in scheduler.timesteps:
        sample = scheduler.step(torch.randn_like(sample), t, sample, **options).prev_sample


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


@scenario("minidiff.models.resnet")
def resnet(module):
    module.ResnetBlock2D(4, 6, temb_channels=5, groups=2, output_scale_factor=2**0.5)(rand(2, 4, 5, 7), rand(2, 5))
    module.ResnetBlock2D(4, 4, groups=2, output_scale_factor=1.5)(rand(2, 4, 5, 7))


@scenario("minidiff.models.attention")
def attention(module):
    module.Attention(6, head_channels=2, groups=3, output_scale_factor=2**0.5)(rand(2, 6, 4, 5))


@scenario("minidiff.models.embeddings")
def embeddings(module):
    for flip_sin_to_cos in (False, True):
        for freq_shift in (0, 1):
            module.timestep_embedding(torch.tensor([3.5, 700]), 6, flip_sin_to_cos, freq_shift)


def tiny_unet(**options):
    """A UNet of two levels for pictures of 16 by 20, of each block type, with random weights."""
    down, up = ("DownBlock2D", "AttnDownBlock2D"), ("AttnUpBlock2D", "UpBlock2D")
    unet_class = importlib.import_module("minidiff.models.unet_2d").UNet2DModel
    sizes = {
        "sample_size": (16, 20),
        "block_out_channels": (4, 6),
        "norm_num_groups": 2,
        "attention_head_dim": 2,
        "layers_per_block": 1,
    }
    return unet_class(down_block_types=down, up_block_types=up, **sizes | options)


@scenario("minidiff.models.unet_2d")
def unet_2d(module):
    for options in (
        {},
        {"mid_block_scale_factor": 2**0.5, "downsample_padding": 0, "flip_sin_to_cos": False, "freq_shift": 1},
    ):
        tiny_unet(**options)(picture(), torch.tensor([3, 9]))


@scenario("minidiff.pipelines.ddpm")
def ddpm_pipeline(module):
    sample(module.DDPMPipeline)


@scenario("minidiff.pipelines.ddim")
def ddim_pipeline(module):
    sample(module.DDIMPipeline, eta=0.5)


@scenario("minidiff.pipelines.pndm")
def pndm_pipeline(module):
    sample(module.PNDMPipeline)


@scenario("minidiff.zoo.recipes.storybook_ddpm")
def storybook_ddpm(module):
    pictures = torch.randint(256, (2, 3, 16, 20), dtype=torch.uint8)
    recipe = module.Recipe()
    recipe.loss(tiny_unet(), (pictures,), torch.Generator().manual_seed(0), step=recipe.restarts[0])


@scenario("minidiff.zoo.evaluator")
def evaluator(module):
    (m, C), (m_w, C_w) = (module.mean_and_covariance(rand(7, 4) * scale) for scale in (1, 2))
    module.frechet_distance(m, C, m_w, C_w)


def sample(pipeline_class, **options):
    """Draw two pictures of random weights."""
    scheduler = importlib.import_module("minidiff.schedulers.ddpm").DDPMScheduler(**BETAS)
    pipe = pipeline_class(tiny_unet(), scheduler)
    pipe.set_progress_bar_config(disable=True)
    pipe(batch_size=2, num_inference_steps=4, output_type="pt", **options)
