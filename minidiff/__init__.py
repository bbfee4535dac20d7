"""The first generation of diffusion models, each line of arithmetic beside the equation it implements.

Names are imported when they are first used, so that `import minidiff` costs next to nothing.
"""

import importlib

_PUBLIC = {
    "DiffusionPipeline": "minidiff.pipelines.base",
    "DanceDiffusionPipeline": "minidiff.pipelines.dance_diffusion",
    "DDPMPipeline": "minidiff.pipelines.ddpm",
    "DDIMPipeline": "minidiff.pipelines.ddim",
    "PNDMPipeline": "minidiff.pipelines.pndm",
    "LDMPipeline": "minidiff.pipelines.latent_diffusion_uncond",
    "LDMSuperResolutionPipeline": "minidiff.pipelines.latent_diffusion_superresolution",
    "LDMTextToImagePipeline": "minidiff.pipelines.latent_diffusion",
    "AutoencoderKL": "minidiff.models.autoencoder_kl",
    "LDMBertModel": "minidiff.models.ldm_bert",
    "UNet1DModel": "minidiff.models.unet_1d",
    "ScoreSdeVePipeline": "minidiff.pipelines.score_sde_ve",
    "ScoreSdeVpPipeline": "minidiff.pipelines.score_sde_vp",
    "KarrasVePipeline": "minidiff.pipelines.karras_ve",
    "UNet2DConditionModel": "minidiff.models.unet_2d_condition",
    "StableDiffusionPipeline": "minidiff.pipelines.stable_diffusion",
    "StableDiffusionImg2ImgPipeline": "minidiff.pipelines.stable_diffusion_img2img",
    "StableDiffusionInpaintPipeline": "minidiff.pipelines.stable_diffusion_inpaint",
    "UNet2DModel": "minidiff.models.unet_2d",
    "CLIPTextModel": "minidiff.models.clip",
    "CLIPVisionModel": "minidiff.models.clip",
    "StableDiffusionSafetyChecker": "minidiff.models.safety_checker",
    "VQModel": "minidiff.models.vq_model",
    "DDPMScheduler": "minidiff.schedulers.ddpm",
    "DDIMScheduler": "minidiff.schedulers.ddim",
    "IPNDMScheduler": "minidiff.schedulers.ipndm",
    "PNDMScheduler": "minidiff.schedulers.pndm",
    "ScoreSdeVeScheduler": "minidiff.schedulers.score_sde_ve",
    "ScoreSdeVpScheduler": "minidiff.schedulers.score_sde_vp",
    "KarrasVeScheduler": "minidiff.schedulers.karras_ve",
    "LMSDiscreteScheduler": "minidiff.schedulers.lms",
    "EulerDiscreteScheduler": "minidiff.schedulers.euler",
    "EulerAncestralDiscreteScheduler": "minidiff.schedulers.euler",
    "HeunDiscreteScheduler": "minidiff.schedulers.heun",
    "DPMSolverMultistepScheduler": "minidiff.schedulers.dpm_solver",
    "read": "minidiff.papers.reader.view",
    "zoo": "minidiff.zoo",
    "audio": "minidiff.audio",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name):
    if name == "__version__":
        from importlib.metadata import version

        return version("minidiff")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'minidiff' has no attribute {name!r}")
    module = importlib.import_module(_PUBLIC[name])
    return module if module.__name__ == f"{__name__}.{name}" else getattr(module, name)


def __dir__():
    return sorted({*globals(), *_PUBLIC, "__version__"})
