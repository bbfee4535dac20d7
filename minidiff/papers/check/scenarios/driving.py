"""What scenarios are made of: their register, random inputs, walks, tiny networks."""

import importlib

import torch

from minidiff.papers.check.checker import Scenario

SCENARIOS = []
T = 12
BETAS = {"num_train_timesteps": T, "beta_start": 0.01, "beta_end": 0.2}


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


def tiny_unet_1d(**options):
    """A UNet of two levels for waves of three channels, with random weights."""
    unet_class = importlib.import_module("minidiff.models.unet_1d").UNet1DModel
    down, up = ("DownBlock1DNoSkip", "AttnDownBlock1D"), ("UpBlock1D", "UpBlock1DNoSkip")
    sizes = {"sample_size": 16, "sample_rate": 10, "extra_in_channels": 6, "block_out_channels": (4, 64)}
    blocks = {"down_block_types": down, "up_block_types": up}
    return unet_class(in_channels=3, out_channels=3, **sizes | blocks | options)


def tiny_unet(**options):
    """A UNet of two levels for pictures of 16 by 20, of each block type, with random weights."""
    unet_class = importlib.import_module("minidiff.models.unet_2d").UNet2DModel
    sizes = {
        "sample_size": (16, 20),
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        "block_out_channels": (4, 6),
        "norm_num_groups": 2,
        "attention_head_dim": 2,
        "layers_per_block": 1,
    }
    return unet_class(**sizes | options)


def tiny_score_unet():
    """One of Skip blocks, which is told the noise level."""
    levels = {"down_block_types": ("SkipDownBlock2D",) * 2, "up_block_types": ("SkipUpBlock2D",) * 2}
    sizes = {"block_out_channels": (8, 12), "norm_num_groups": None, "attention_head_dim": None}
    return tiny_unet(center_input_sample=True, time_embedding_type="fourier", **levels, **sizes)


def tiny_conditioned_unet():
    """A UNet of two levels for latents of 16 by 20 and prompts of 6 channels, with random weights."""
    unet_class = importlib.import_module("minidiff.models.unet_2d_condition").UNet2DConditionModel
    sizes = {"block_out_channels": (4, 6), "norm_num_groups": 2, "attention_head_dim": 2, "layers_per_block": 1}
    blocks = {
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    }
    return unet_class((16, 20), 3, 3, cross_attention_dim=6, **sizes, **blocks)


def tiny_autoencoder(module, **options):
    """An AutoencoderKL or VQModel of two levels, from the module of that name, with random weights."""
    found = importlib.import_module(f"minidiff.models.{module}")
    sizes = {"block_out_channels": (4, 6), "norm_num_groups": 2, "scaling_factor": 0.7}
    levels = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    return (found.AutoencoderKL if module == "autoencoder_kl" else found.VQModel)(**sizes, **levels, **options)


def sample(pipeline_class, **options):
    """Draw two pictures of random weights."""
    scheduler = importlib.import_module("minidiff.schedulers.ddpm").DDPMScheduler(**BETAS)
    draw(pipeline_class(tiny_unet(), scheduler), **options)


def draw(pipe, **options):
    pipe.set_progress_bar_config(disable=True)
    pipe(batch_size=2, num_inference_steps=4, output_type="pt", **options)
