"""What drives the paired statements of the pipelines."""

import importlib
from typing import NamedTuple

import torch

from minidiff.papers.check.scenarios.driving import (
    BETAS,
    draw,
    picture,
    rand,
    sample,
    scenario,
    tiny_autoencoder,
    tiny_conditioned_unet,
    tiny_score_unet,
    tiny_unet,
    tiny_unet_1d,
)


@scenario("minidiff.pipelines.dance_diffusion")
def dance_diffusion_pipeline(module):
    scheduler = importlib.import_module("minidiff.schedulers.ipndm").IPNDMScheduler()
    pipe = module.DanceDiffusionPipeline(tiny_unet_1d(sample_size=400), scheduler)
    pipe.set_progress_bar_config(disable=True)
    pipe(batch_size=2, num_inference_steps=2)


@scenario("minidiff.pipelines.ddpm")
def ddpm_pipeline(module):
    sample(module.DDPMPipeline)


@scenario("minidiff.pipelines.ddim")
def ddim_pipeline(module):
    sample(module.DDIMPipeline, eta=0.5)


@scenario("minidiff.pipelines.pndm")
def pndm_pipeline(module):
    sample(module.PNDMPipeline)


@scenario("minidiff.pipelines.score_sde_ve")
def score_sde_ve_pipeline(module):
    scheduler = importlib.import_module("minidiff.schedulers.score_sde_ve").ScoreSdeVeScheduler(sigma_max=7.0)
    draw(module.ScoreSdeVePipeline(tiny_score_unet(), scheduler))


@scenario("minidiff.pipelines.score_sde_vp")
def score_sde_vp_pipeline(module):
    sample(module.ScoreSdeVpPipeline)


@scenario("minidiff.pipelines.karras_ve")
def karras_ve_pipeline(module):
    scheduler = importlib.import_module("minidiff.schedulers.karras_ve").KarrasVeScheduler(sigma_max=7.0)
    draw(module.KarrasVePipeline(tiny_score_unet(), scheduler))


@scenario("minidiff.pipelines.guidance")
def guidance(module):
    for guidance_scale in (0.0, 1.0, 7.5):
        module.guided(rand(), rand(), guidance_scale)


@scenario("minidiff.pipelines.latents")
def latents(module):
    module.decoded(tiny_autoencoder("vq_model"), rand(2, 3, 4, 5))


@scenario("minidiff.pipelines.latent_diffusion_uncond")
def latent_diffusion_uncond(module):
    networks = {"vqvae": tiny_autoencoder("vq_model"), "unet": tiny_unet()}
    run(module.LDMPipeline, networks, batch_size=2)


@scenario("minidiff.pipelines.latent_diffusion_superresolution")
def latent_diffusion_superresolution(module):
    networks = {"vqvae": tiny_autoencoder("vq_model"), "unet": tiny_unet(in_channels=6)}
    run(module.LDMSuperResolutionPipeline, networks, image=picture() / 9)


@scenario("minidiff.pipelines.latent_diffusion")
def latent_diffusion(module):
    bert_class = importlib.import_module("minidiff.models.ldm_bert").LDMBertModel
    bert = bert_class(9, 5, encoder_layers=1, encoder_ffn_dim=7, encoder_attention_heads=1, head_dim=3, d_model=6)
    networks = {"vqvae": tiny_autoencoder("autoencoder_kl", latent_channels=3), "unet": tiny_conditioned_unet()}
    words = {"bert": bert, "tokenizer": lambda texts, **options: Tokens(torch.ones(len(texts), 5, dtype=torch.int64))}
    run(module.LDMTextToImagePipeline, networks | words, prompt=["a", "b"], guidance_scale=3.0)


def stable_diffusion_parts():
    """Components with random weights, and what a call needs beside a picture; words are encoded already."""
    networks = {"vae": tiny_autoencoder("autoencoder_kl", latent_channels=3), "unet": tiny_conditioned_unet()}
    words = {"prompt_embeds": rand(2, 5, 6), "negative_prompt_embeds": rand(2, 5, 6)}
    return networks | {"text_encoder": "not asked", "tokenizer": "not asked"}, words


@scenario("minidiff.pipelines.stable_diffusion")
def stable_diffusion(module):
    parts, words = stable_diffusion_parts()
    run(module.StableDiffusionPipeline, parts, **words)


@scenario("minidiff.pipelines.stable_diffusion_img2img")
def stable_diffusion_img2img(module):
    parts, words = stable_diffusion_parts()
    run(module.StableDiffusionImg2ImgPipeline, parts, image=rand(2, 3, 32, 40).clamp(-1, 1), **words)


@scenario("minidiff.pipelines.stable_diffusion_inpaint")
def stable_diffusion_inpaint(module):
    parts, words = stable_diffusion_parts()
    half = torch.zeros(1, 1, 32, 40)
    half[..., :24] = 1
    run(module.StableDiffusionInpaintPipeline, parts, image=rand(2, 3, 32, 40).clamp(-1, 1), mask_image=half, **words)


class Tokens(NamedTuple):
    input_ids: torch.Tensor


def run(pipeline_class, components, **call):
    """Four steps of a pipeline with random weights."""
    scheduler = importlib.import_module("minidiff.schedulers.ddim").DDIMScheduler(**BETAS)
    pipe = pipeline_class(scheduler=scheduler, **components)
    pipe.set_progress_bar_config(disable=True)
    pipe(num_inference_steps=4, output_type="pt", eta=0.5, **call)
