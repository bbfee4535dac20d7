"""Which pipelines there are, what each is for, and how it shows itself with weights from the zoo."""

from typing import NamedTuple


class Entry(NamedTuple):
    """One pipeline.

    Fields:
        pipeline: its class, a public name of the package.
        paper, task: for people.
        lesson: its name, such as "03_ddim"; None while there is none.
        weights: the weights in the zoo that it runs with.
        call: arguments of its call in the tour, and the defaults of `minidiff generate`.
    """

    pipeline: str
    paper: str
    task: str
    lesson: str | None
    weights: str
    call: dict

    @property
    def draws_sound(self):
        """bool: its call returns `.audios`."""
        return self.pipeline == "DanceDiffusionPipeline"


# Pipelines go by their module's name.
CATALOGUE = {
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
        {"num_inference_steps": 70},
    ),
    "score_sde_vp": Entry(
        "ScoreSdeVpPipeline",
        "Song et al. 2021, arXiv:2011.13456",
        "pictures, DDPM in continuous time",
        None,
        "storybook-ddpm",
        {"num_inference_steps": 250},
    ),
    "karras_ve": Entry(
        "KarrasVePipeline",
        "Karras, Aittala, Aila & Laine 2022, arXiv:2206.00364",
        "pictures, Heun's method and churn",
        None,
        "storybook-ncsnpp",
        {"num_inference_steps": 50},
    ),
}
