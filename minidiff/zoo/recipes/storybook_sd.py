r"""storybook-sd: Stable Diffusion in small, for 64x64 drawings of the drawn world.

High-Resolution Image Synthesis with Latent Diffusion Models. Rombach et al., CVPR 2022, arXiv:2112.10752, equation
(3), over the latents of storybook-kl, with the frozen text model of storybook-clip. Every tenth prompt is the empty
one, so that there is something to be guided away from (Ho & Salimans, arXiv:2207.12598). The scheduler's config is that
of Stable Diffusion 1.5.

The UNet starts from storybook-ldm-text's, which draws the same latents from the words of another text model.

Guidance makes the curve that a walk follows turn sharply, and methods that extrapolate from several slopes leave it
where their steps are long (DPM-Solver++, Lu et al., arXiv:2211.01095, section 3). With 20 steps at a guidance scale of
4 PNDM drew 14 of 32 prompts in the colour they name, DDIM and DPM-Solver++ all 32. With 50 steps PNDM is right too; at
7.5, which people know from the large model, one prompt in six is still drawn in another colour.

What is left to gain: now and then a cat has two tails, and what is black at night or at sunset has no inner lines.
"""

from pathlib import Path

import torch

from minidiff import zoo
from minidiff.models.autoencoder_kl import AutoencoderKL
from minidiff.models.clip import CLIPTextModel
from minidiff.models.safety_checker import StableDiffusionSafetyChecker
from minidiff.models.unet_2d_condition import UNet2DConditionModel
from minidiff.pipelines.stable_diffusion import StableDiffusionPipeline
from minidiff.pipelines.stable_diffusion_img2img import StableDiffusionImg2ImgPipeline
from minidiff.schedulers.dpm_solver import DPMSolverMultistepScheduler
from minidiff.schedulers.pndm import PNDMScheduler
from minidiff.zoo import sketches, world
from minidiff.zoo.evaluator import evaluate
from minidiff.zoo.recipes import latents, storybook_clip, words

PUBLISHED = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "skip_prk_steps": True,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "clip_sample": False,  # for schedulers that are made from this one: latents are no pictures
}
EMPTY = len(words.captions())  # the row of the empty prompt in the table of encoded prompts


class Recipe(latents.DiffusionRecipe):
    name, seed, steps, batch_size = "storybook-sd", 0, 1_500, 32
    channels = 4  # that the UNet takes

    def __init__(self):
        self.scheduler = PNDMScheduler.from_config(PUBLISHED)

    def network(self):
        unet, started = self.unet(), UNet2DConditionModel.from_pretrained(zoo.path("storybook-ldm-text") / "unet")
        unet.load_state_dict(started.state_dict())
        return unet

    def unet(self):
        return UNet2DConditionModel(
            16,
            self.channels,
            4,
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            block_out_channels=(40, 64, 96),
            layers_per_block=1,
            norm_num_groups=8,
            cross_attention_dim=96,
            attention_head_dim=4,
        )

    def parts(self):
        """dict: the components that others have trained, by name; ./NAME where `minidiff train` left them."""
        clip = {"text_encoder": CLIPTextModel, "safety_checker": StableDiffusionSafetyChecker}
        found = {name: component(cls, "storybook-clip", name) for name, cls in clip.items()}
        return found | {"vae": latents.trained(AutoencoderKL, "storybook-kl", "storybook-sd", "vae")}

    @torch.no_grad()
    def encoded_prompts(self):
        """(captions and the empty prompt, LENGTH, 96): what the frozen text model makes of them."""
        return self.parts()["text_encoder"](words.tokens([*words.captions(), ""])).last_hidden_state

    def data(self):
        pixels, shown = latents.drawings(self.drawings, self.seed)
        vae = self.parts()["vae"]
        self.context = self.encoded_prompts()
        z = latents.encoded(vae, pixels) * vae.config.scaling_factor
        return z, torch.tensor([words.index_of(attributes) for attributes in shown])

    def loss(self, network, batch, generator, step):
        z_0, *beside, which = batch
        silent = torch.rand(len(which), generator=generator) < 0.1
        which = torch.where(silent.to(which.device), EMPTY, which)
        context = self.context.to(which.device)[which]
        predict = lambda z_t, t: network(torch.cat([z_t, *beside], dim=1), t, context).sample
        return self.noise_loss(z_0, predict, generator)

    pipeline = StableDiffusionPipeline

    def save(self, network, folder):
        halves = {name: part.half() for name, part in self.parts().items()}
        pipe = self.pipeline(
            unet=network.half(),
            scheduler=self.scheduler,
            tokenizer=words.tokenizer(),
            feature_extractor=storybook_clip.image_processor(),
            **halves,
        )
        pipe.save_pretrained(folder)
        words.write(Path(folder, "tokenizer"))

    def measure(self, folder, device="cpu", samples=1_000, fewer=100):
        """How many prompts are drawn as they say, for combinations seen in training and for held-out ones: of many by
        DPM-Solver++ with 20 steps, of fewer by PNDM, as the folder has it, with 50. And how often a sketch of three
        flat shapes becomes the scene that it is a sketch of.
        """
        pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None).to(device)
        pipe.set_progress_bar_config(disable=True)
        solver = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
        quick = StableDiffusionPipeline(**pipe.components | {"scheduler": solver})
        quick.set_progress_bar_config(disable=True)
        measures = {}
        for name, combinations in {"seen": world.SEEN, "held_out": sorted(world.HELD_OUT)}.items():
            measures[f"{name}, guidance_scale 4"] = self.accuracy(quick, combinations, samples, 4.0, 20)
            for scale in (4.0, 7.5):
                key = f"{name}, PNDM, guidance_scale {scale:g}"
                measures[key] = self.accuracy(pipe, combinations, fewer, scale, 50)
        measures["sketches"] = self.from_sketches(StableDiffusionImg2ImgPipeline(**pipe.components), 2 * fewer)
        measures["autoencoder"] = latents.reconstruction(pipe.vae.to("cpu"), latents.unseen_drawings(500))[0]
        checker = StableDiffusionSafetyChecker.from_pretrained(folder, subfolder="safety_checker")
        return measures | {"safety_checker": storybook_clip.worth(checker)}

    def accuracy(self, pipe, combinations, n, guidance_scale, steps):
        """dict: what `zoo.evaluate` says of n pictures for prompts that name all combinations in turn."""
        chosen = [combinations[k % len(combinations)] for k in range(n)]
        prompts = [world.caption(dict(zip(world.ATTRIBUTES, combination))) for combination in chosen]
        call = {"num_inference_steps": steps, "guidance_scale": guidance_scale, "output_type": "pt"}
        draw = lambda k: pipe(prompts[k : k + 100], generator=torch.Generator().manual_seed(k), **call).images
        return judged(torch.cat([draw(k) for k in range(0, n, 100)]), prompts) | {"steps": steps}

    def from_sketches(self, pipe, n, strength=0.8, steps=50):
        made = [sketches.sketch(9_200_000 + k) for k in range(n)]
        prompts, images = [one.caption for one in made], [one.image for one in made]
        call = {"strength": strength, "num_inference_steps": steps, "guidance_scale": 4.0, "output_type": "pt"}
        generator = torch.Generator().manual_seed(0)
        return judged(pipe(prompts, images, generator=generator, **call).images, prompts) | {"strength": strength}


def component(cls, recipe, folder):
    """A network that the recipe of that name trained beside others: ./RECIPE/FOLDER, else storybook-sd's own copy."""
    here = Path(recipe, folder)
    return cls.from_pretrained(here) if here.is_dir() else latents.trained(cls, recipe, "storybook-sd", folder)


def judged(pictures, prompts):
    quality = evaluate(pictures, prompts)
    return {key: quality[key] for key in ("images", "prompt_accuracy", "named", "frechet")}
