r"""Pictures by diffusion over latents, without words.

High-Resolution Image Synthesis with Latent Diffusion Models. Rombach, Blattmann, Lorenz, Esser & Ommer, CVPR 2022,
arXiv:2112.10752: an autoencoder leaves out what no eye misses, and diffusion, on a sixteenth of the pixels, decides
what the picture shows. The sampler is DDIM's (Song, Meng & Ermon, arXiv:2010.02502).

Letters: the paper's z_t is DDPM's x_t, in latents.
"""

import torch

from minidiff.pipelines.base import DiffusionPipeline, ImagePipelineOutput
from minidiff.pipelines.latents import OUTPUT_TYPES, decoded
from minidiff.schedulers.ddim import check_eta


class LDMPipeline(DiffusionPipeline):
    """Draws pictures with a UNet2DModel over the latents of a VQModel.

    Args:
        vqvae: the autoencoder, a VQModel or AutoencoderKL.
        unet: predicts the noise in latents.
        scheduler: a DDIMScheduler, or any other.
    """

    def __init__(self, vqvae, unet, scheduler):
        self.register_modules(vqvae=vqvae, unet=unet, scheduler=scheduler)

    @torch.no_grad()
    def __call__(
        self,
        batch_size=1,
        generator=None,
        eta=0.0,
        num_inference_steps=50,
        output_type="pil",
        return_dict=True,
        *,
        latents=None,
        callback_on_step_end=None,
        callback_on_step_end_tensor_inputs=("latents",),
    ):
        """Draw `batch_size` pictures.

        Args:
            batch_size: B, how many.
            generator: for z_T and, where the scheduler draws, the noise of every step: None, one, or a list of B.
            eta: 0 is deterministic, so that z_T alone decides the picture; 1 has DDPM's variance. In [0, 1]. Only
                DDIM knows it; other schedulers are run without.
            num_inference_steps: how many of the T timesteps are visited.
            output_type: "pil", "np" (B, H, W, C) or "pt" (B, C, H, W), both in [0, 1]; "latent" for z_0,
                (B, C, h, w), not decoded.
            latents: z_T itself, standard normal, (B, C, h, w).
            callback_on_step_end: called as f(pipe, i, t, tensors) after each step; a dict that it returns replaces
                tensors.
            callback_on_step_end_tensor_inputs: names out of "latents" (after the step), "sample" (z_t, before it),
                "model_output", "pred_original_sample".
        Returns:
            `ImagePipelineOutput`, or the tuple `(images,)`.
        Raises:
            ValueError: an argument is out of range, or has the wrong length or shape; nothing was computed then. Or the
                pictures hold numbers that are infinite or none at all.
        """
        self.check_call(batch_size, generator, output_type, OUTPUT_TYPES, channels=3)
        check_eta(eta)
        watch = self.watch(callback_on_step_end, callback_on_step_end_tensor_inputs)
        options = self.step_options(eta=eta, generator=generator)
        self.scheduler.set_timesteps(num_inference_steps, device=self.device)

        # DDPM Alg. 2, line 1  z_T \sim \mathcal N(0, I)
        z_t = self.start_noise((batch_size, *self.sample_shape), generator, latents)  # (B, C, h, w)

        for i, t in enumerate(self.progress_bar(self.scheduler.timesteps)):
            eps_theta = self.unet(self.scheduler.scale_model_input(z_t, t), t).sample
            step = self.scheduler.step(eps_theta, t, z_t, **options)
            z_t = watch(i, t, step, sample=z_t, model_output=eps_theta)
            if self.interrupt:
                break
        images = z_t if output_type == "latent" else self.postprocess(decoded(self.vqvae, z_t), output_type)
        return ImagePipelineOutput(images).as_asked(return_dict)
