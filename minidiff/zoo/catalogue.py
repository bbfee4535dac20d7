"""Which pipelines there are, what each is for, and how it shows itself with weights from the zoo."""

from typing import NamedTuple

from minidiff import zoo


class Entry(NamedTuple):
    """One pipeline.

    Fields:
        pipeline: its class, a public name of the package.
        paper, task: for people.
        lesson: its name, such as "03_ddim"; None while there is none.
        weights: the weights in the zoo that it runs with.
        call: arguments of its call in the tour, and the defaults of `minidiff generate`; of several prompts each
            picture gets one, in turn.
        in_tour: how many pictures the tour draws.
    """

    pipeline: str
    paper: str
    task: str
    lesson: str | None
    weights: str
    call: dict
    in_tour: int = 8

    @property
    def draws_sound(self):
        """bool: its call returns `.audios`."""
        return self.pipeline == "DanceDiffusionPipeline"


# Pipelines go by their module's name.
PIPELINES = {
    "ddpm": Entry(
        "DDPMPipeline",
        "Ho, Jain & Abbeel 2020, arXiv:2006.11239",
        "pictures, ancestral sampling",
        "02_ddpm",
        "storybook-ddpm",
        {"num_inference_steps": 250},
    ),
    "ddim": Entry(
        "DDIMPipeline",
        "Song, Meng & Ermon 2021, arXiv:2010.02502",
        "pictures, few steps, no noise but the first",
        "03_ddim",
        "storybook-ddpm",
        {"num_inference_steps": 50},
    ),
    "pndm": Entry(
        "PNDMPipeline",
        "Liu, Ren, Lin & Zhao 2022, arXiv:2202.09778",
        "pictures, few steps, higher order",
        "04_pndm",
        "storybook-ddpm",
        {"num_inference_steps": 20},
    ),
    "score_sde_ve": Entry(
        "ScoreSdeVePipeline",
        "Song et al. 2021, arXiv:2011.13456",
        "pictures, predictor and corrector",
        None,
        "storybook-ncsnpp",
        {"num_inference_steps": 100},
    ),
    "score_sde_vp": Entry(
        "ScoreSdeVpPipeline",
        "Song et al. 2021, arXiv:2011.13456",
        "pictures, DDPM in continuous time",
        None,
        "storybook-ddpm",
        {"num_inference_steps": 200},
    ),
    "karras_ve": Entry(
        "KarrasVePipeline",
        "Karras, Aittala, Aila & Laine 2022, arXiv:2206.00364",
        "pictures, Heun's method and churn",
        None,
        "storybook-ncsnpp",
        {"num_inference_steps": 50},
    ),
    "latent_diffusion_uncond": Entry(
        "LDMPipeline",
        "Rombach et al. 2022, arXiv:2112.10752",
        "pictures by way of latents",
        None,
        "storybook-ldm",
        {"num_inference_steps": 50},
    ),
    "latent_diffusion": Entry(
        "LDMTextToImagePipeline",
        "Rombach et al. 2022, arXiv:2112.10752",
        "text to picture, by way of latents",
        None,
        "storybook-ldm-text",
        {
            "prompt": (
                "a yellow cat in the snow",
                "a red boat at sunset",
                "a white house in front of mountains at night",
                "a purple mushroom on a sunny day",
            ),
            "guidance_scale": 4.0,
            "num_inference_steps": 20,
        },
    ),
    "latent_diffusion_superresolution": Entry(
        "LDMSuperResolutionPipeline",
        "Rombach et al. 2022, arXiv:2112.10752",
        "small pictures made large",
        None,
        "storybook-ldm-sr",
        {"num_inference_steps": 50},
    ),
    "stable_diffusion": Entry(
        "StableDiffusionPipeline",
        "Rombach et al. 2022, arXiv:2112.10752",
        "text to picture, with CLIP's words",
        None,
        "storybook-sd",
        {
            "prompt": (
                "a yellow cat in the snow",
                "a red house in front of mountains at sunset",
                "a blue star at night",
                "a green boat on a sunny day",
            ),
            "guidance_scale": 4.0,
            "num_inference_steps": 50,
        },
    ),
    "stable_diffusion_img2img": Entry(
        "StableDiffusionImg2ImgPipeline",
        "Meng et al. 2021, arXiv:2108.01073",
        "a sketch to a picture, in its layout",
        None,
        "storybook-sd",
        {"strength": 0.8, "guidance_scale": 4.0, "num_inference_steps": 50},
    ),
    "stable_diffusion_inpaint": Entry(
        "StableDiffusionInpaintPipeline",
        "Rombach et al. 2022, arXiv:2112.10752",
        "a part of a picture drawn anew",
        None,
        "storybook-sd-inpaint",
        {
            "prompt": ("a yellow cat on a sunny day", "a red house on a sunny day", "a purple mushroom on a sunny day"),
            "guidance_scale": 4.0,
            "num_inference_steps": 50,
        },
    ),
    "dance_diffusion": Entry(
        "DanceDiffusionPipeline",
        "Evans (Harmonai) 2022, github.com/Harmonai-org/sample-generator",
        "sound, a second or a few",
        None,
        "notes-dance-diffusion",
        {"num_inference_steps": 50},
        in_tour=4,
    ),
}
CATALOGUE = {name: entry for name, entry in PIPELINES.items() if entry.weights in zoo.names()}  # what runs here
