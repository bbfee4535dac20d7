r"""Stable Diffusion, image to image: a picture, or a sketch of one, made into what a prompt says.

SDEdit: Guided Image Synthesis and Editing with Stochastic Differential Equations. Meng et al., ICLR 2022,
arXiv:2108.01073: noise drowns the strokes of a sketch before it drowns its layout. So the sampler does not start from
noise alone but from the sketch, noised as it would be some way down the walk, and goes on from there.

Letters: z_0 is the latent of the sketch, z_t the sample; the paper's t_0 is `strength`.
"""

import copy

import torch

from minidiff.config import check_one_of, check_whole
from minidiff.noise import randn
from minidiff.pipelines.base import check_latents
from minidiff.pipelines.guidance import check_guidance_scale, guided
from minidiff.pipelines.images import pictures
from minidiff.pipelines.latents import latent_shape
from minidiff.pipelines.stable_diffusion_base import LEFT_OUT_OF_CALLS, StableDiffusionBase, for_pictures, result
from minidiff.schedulers.ddim import check_eta
from minidiff.signatures import leaving_out


class StableDiffusionImg2ImgPipeline(StableDiffusionBase):
    """Draws what prompts say in the layout of given pictures. Its components are those of `StableDiffusionBase`."""

    @leaving_out(**LEFT_OUT_OF_CALLS)
    @torch.no_grad()
    def __call__(
        self,
        prompt=None,
        image=None,
        strength=0.8,
        num_inference_steps=50,
        *,
        guidance_scale=7.5,
        negative_prompt=None,
        num_images_per_prompt=1,
        eta=0.0,
        generator=None,
        prompt_embeds=None,
        negative_prompt_embeds=None,
        output_type="pil",
        return_dict=True,
        latents=None,
        noise_to="first_call",
        callback_on_step_end=None,
        callback_on_step_end_tensor_inputs=("latents",),
    ):
        """Draw `num_images_per_prompt` pictures for each prompt.

        Args:
            prompt: a text, or a list of B of them. What goes beyond the text encoder's length (77 tokens) is cut off,
                with a warning.
            image: one picture for all, or B, one for each prompt: PIL images, which are shrunk by less than
                `vae_scale_factor` pixels a side to multiples of it; arrays (K, H, W, 3) or tensors (K, 3, H, W) in
                [0, 1]; or latents, a tensor (K, C, h, w).
            strength: how much of the walk is made, from 0 to 1. At 1 little is left of the picture.
            num_inference_steps: how many of the T timesteps the whole walk would visit; int(steps * strength) are made.
            guidance_scale: 1 + w of the paper of guidance; up to 1 there is none, see `minidiff.pipelines.guidance`.
            negative_prompt: what guidance leads away from: a text, or a list of B; the empty text if None.
            num_images_per_prompt: n. There are N = B n pictures, n for the first prompt, then n for the second, ...
            eta: 0 adds no noise, 1 has DDPM's variance. In [0, 1]. Only DDIM knows it; others are run without.
            generator: for the draw from the autoencoder's distribution, for the noise, and, where the scheduler draws,
                for that of every step: None, one, or a list of N.
            prompt_embeds, negative_prompt_embeds: (B, M, d), prompts encoded before, see `encode_prompt`.
            output_type: "pil", "np" (N, H, W, 3) or "pt" (N, 3, H, W), both in [0, 1]; "latent" for z_0, not decoded.
            latents: the noise itself, (N, C, h, w).
            noise_to: "first_call", a picture is noised to the level at which the network is first asked; "one_more", by
                one step more, as CompVis's code does it: see the ledger, "Image to image noise".
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
        skipped = self.steps_to_skip(strength, num_inference_steps)
        check_eta(eta)
        check_one_of("noise_to", noise_to, ("first_call", "one_more"))
        watch = self.watch(callback_on_step_end, callback_on_step_end_tensor_inputs, also=("prompt_embeds",))
        options = self.step_options(eta=eta, generator=generator)
        x = pictures(image, self.vae_scale_factor, latent_channels=self.latent_channels)
        x = for_pictures("image", x.to(self.device, self.dtype), B, num_images_per_prompt, generator)
        is_latent = x.shape[1] != 3
        shape = (N, *(x.shape[1:] if is_latent else latent_shape(self.vae, self.unet, *x.shape[2:])))
        if latents is not None:
            check_latents(latents, shape)
        self.scheduler.set_timesteps(num_inference_steps, device=self.device)

        context = self.context(guides, num_images_per_prompt, *texts)  # (2N, M, d) or (N, M, d)

        z_0 = (x if is_latent else self.encode_pictures(x, generator)).expand(shape)  # (N, C, h, w)
        # SDEdit Alg. 1  \epsilon \sim \mathcal N(0, I)
        eps = randn(shape, generator, self.device, self.dtype) if latents is None else latents.to(z_0)
        noising = copy.copy(self.scheduler)
        noising.skip_steps(max(skipped - 1, 0) if noise_to == "one_more" else skipped)
        z_t = noising.add_noise(z_0, eps, noising.timesteps[:1])
        self.scheduler.skip_steps(skipped)

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
