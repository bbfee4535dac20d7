"""What drives the paired statements of the pipelines."""

import importlib

from minidiff.papers.check.scenarios.driving import draw, sample, scenario, tiny_score_unet, tiny_unet_1d


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
