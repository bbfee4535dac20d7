r"""storybook-ldm-sr: 16x16 drawings made 64x64, by diffusion over the latents of storybook-vq.

High-Resolution Image Synthesis with Latent Diffusion Models. Rombach et al., CVPR 2022, arXiv:2112.10752, section 4.4:
the small drawing is as high and wide as the latent of the large one, and lies beside it.

What is left to gain: little. Snowflakes, and stars in the sky, stand where they well could, and not where they stood.
"""

import torch
from torch.nn.functional import interpolate

from minidiff.models.vq_model import VQModel
from minidiff.pipelines.latent_diffusion_superresolution import LDMSuperResolutionPipeline
from minidiff.schedulers.ddim import DDIMScheduler
from minidiff.zoo.evaluator import evaluate
from minidiff.zoo.recipes import latents
from minidiff.zoo.recipes.storybook_ldm import latent_unet
from minidiff.zoo.recipes.storybook_vq import worth


def shrunk(x):
    """Drawings (B, 3, 64, 64) in [-1, 1] to (B, 3, 16, 16), each pixel the mean of sixteen, in whole levels."""
    small = interpolate(x, scale_factor=0.25, mode="area")
    return ((small + 1) * 127.5).round() / 127.5 - 1


def bicubic(y):
    """The same made large again as any program does it."""
    return interpolate(y, scale_factor=4, mode="bicubic", align_corners=False).clamp(-1, 1)


class Recipe(latents.DiffusionRecipe):
    name, seed, steps, batch_size = "storybook-ldm-sr", 0, 2_000, 32

    def __init__(self):
        self.scheduler = DDIMScheduler(
            beta_schedule="scaled_linear", beta_start=0.0015, beta_end=0.0155, clip_sample=False, steps_offset=1
        )  # as published

    def network(self):
        return latent_unet(in_channels=6)

    def autoencoder(self):
        return latents.trained(VQModel, "storybook-vq", self.name)

    def data(self):
        pixels, _ = latents.drawings(self.drawings, self.seed)
        small = torch.cat([shrunk(latents.centred(part)) for part in pixels.split(1_000)])
        return latents.encoded(self.autoencoder(), pixels), small

    def loss(self, network, batch, generator, step):
        z_0, y = batch
        return self.noise_loss(z_0, lambda z_t, t: network(torch.cat([z_t, y], dim=1), t).sample, generator)

    def save(self, network, folder):
        pipe = LDMSuperResolutionPipeline(self.autoencoder().half(), network.half(), self.scheduler)
        pipe.save_pretrained(folder)

    def measure(self, folder, device="cpu", samples=1_000, steps=50):
        """Unseen drawings made small and large again: by the pipeline, and by bicubic interpolation."""
        pipe, x = LDMSuperResolutionPipeline.from_pretrained(folder).to(device), latents.unseen_drawings(samples)
        pipe.set_progress_bar_config(disable=True)
        y = shrunk(x)
        parts = [
            pipe(part, num_inference_steps=steps, generator=torch.Generator().manual_seed(k), output_type="pt").images
            for k, part in enumerate(y.split(100))
        ]
        measures = {"steps": steps}
        for name, x_hat in (("pipeline", torch.cat(parts).cpu() * 2 - 1), ("bicubic", bicubic(y))):
            quality = evaluate(x_hat / 2 + 0.5)
            measures[name] = {key: quality[key] for key in ("images", "named", "frechet", "frechet_floor")}
            measures[name]["decibels"] = latents.decibels(x_hat, x).mean().item()
        return measures | {"autoencoder": worth(pipe.vqvae.to("cpu"))}
