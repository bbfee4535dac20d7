r"""Stable Diffusion: pictures as a prompt asks for them.

High-Resolution Image Synthesis with Latent Diffusion Models. Rombach, Blattmann, Lorenz, Esser & Ommer, CVPR 2022,
arXiv:2112.10752, with classifier-free guidance (Ho & Salimans, 2022, arXiv:2207.12598): the UNet is asked twice at each
step, with the prompt and with the negative one, and the answer is followed beyond the prompt's.

Letters: the paper's z_t is DDPM's x_t, in latents; its \tau_\theta(y), the encoded prompt, is the context.
"""

import torch

from minidiff.config import check_whole
from minidiff.pipelines.guidance import check_guidance_scale, guided
from minidiff.pipelines.latents import latent_shape
from minidiff.pipelines.stable_diffusion_base import LEFT_OUT_OF_CALLS, StableDiffusionBase, result
from minidiff.schedulers.ddim import check_eta
from minidiff.signatures import leaving_out


class StableDiffusionPipeline(StableDiffusionBase):
    """Draws what prompts say. Its components are those of `StableDiffusionBase`."""

    @leaving_out(**LEFT_OUT_OF_CALLS)
    @torch.no_grad()
    def __call__(
        self,
        prompt=None,
        height=None,
        width=None,
        num_inference_steps=50,
        *,
        guidance_scale=7.5,
        negative_prompt=None,
        num_images_per_prompt=1,
        eta=0.0,
        generator=None,
        latents=None,
        prompt_embeds=None,
        negative_prompt_embeds=None,
        output_type="pil",
        return_dict=True,
        callback_on_step_end=None,
        callback_on_step_end_tensor_inputs=("latents",),
    ):
        """Draw `num_images_per_prompt` pictures for each prompt.

        Args:
            prompt: a text, or a list of B of them. What goes beyond the text encoder's length (77 tokens) is cut off,
                with a warning.
            height, width: of the pictures, multiples of `vae_scale_factor`; the size that the UNet was trained on if
                both are None.
            num_inference_steps: how many of the T timesteps are visited.
            guidance_scale: 1 + w of the paper of guidance; up to 1 there is none, see `minidiff.pipelines.guidance`.
            negative_prompt: what guidance leads away from: a text, or a list of B; the empty text if None.
            num_images_per_prompt: n. There are N = B n pictures, n for the first prompt, then n for the second, ...
            eta: 0 adds no noise, 1 has DDPM's variance. In [0, 1]. Only DDIM knows it; others are run without.
            generator: for z_T and, where the scheduler draws, the noise of every step: None, one, or a list of N.
            latents: z_T itself, (N, C, h, w), before the scheduler's `init_noise_sigma`.
            prompt_embeds, negative_prompt_embeds: (B, M, d), prompts encoded before, see `encode_prompt`.
            output_type: "pil", "np" (N, H, W, 3) or "pt" (N, 3, H, W), both in [0, 1]; "latent" for z_0, not decoded.
            callback_on_step_end: called as f(pipe, i, t, tensors) after each step; a dict that it returns replaces
                tensors.
            callback_on_step_end_tensor_inputs: names out of "latents", "sample", "model_output",
                "pred_original_sample", "prompt_embeds" (under guidance the negative prompts' first; where the
                prompts' alone come back, there is no more guidance).
        Returns:
            `StableDiffusionPipelineOutput`, or the tuple `(images, nsfw_content_detected)`.
        Raises:
            ValueError: an argument is out of range, or has the wrong length or shape; nothing was computed then.
        """
        check_guidance_scale(guidance_scale)
        guides = guidance_scale > 1
        texts = (prompt, negative_prompt, prompt_embeds, negative_prompt_embeds)
        B = self.check_prompts(guides, *texts)
        check_whole("num_images_per_prompt", num_images_per_prompt)
        N = B * num_images_per_prompt
        self.check_call(N, generator, output_type, ("pil", "np", "pt", "latent"), channels=3)
        shape = (N, *latent_shape(self.vae, self.unet, height, width))
        check_eta(eta)
        watch = self.watch(callback_on_step_end, callback_on_step_end_tensor_inputs, also=("prompt_embeds",))
        options = self.step_options(eta=eta, generator=generator)
        self.scheduler.set_timesteps(num_inference_steps, device=self.device)

        # DDPM Alg. 2, line 1  z_T \sim \mathcal N(0, I)
        z_t = self.start_noise(shape, generator, latents)  # (N, C, h, w), times init_noise_sigma

        context = self.context(guides, num_images_per_prompt, *texts)  # (2N, M, d) or (N, M, d)

        for i, t in enumerate(self.progress_bar(self.scheduler.timesteps)):
            z_in = self.scheduler.scale_model_input(z_t, t)
            if len(context) > N:  # a callback may leave the negative prompts out
                eps_u, eps_c = self.unet(torch.cat([z_in, z_in]), t, context).sample.chunk(2)
                eps_theta = guided(eps_u, eps_c, guidance_scale)
            else:
                eps_theta = self.unet(z_in, t, context).sample
            step = self.scheduler.step(eps_theta, t, z_t, **options)
            z_t, context = watch(i, t, step, sample=z_t, model_output=eps_theta, prompt_embeds=context)
            if self.interrupt:
                break
        return result(*self.pictures(z_t, output_type), return_dict)
