r"""Stable Diffusion, inpainting: a part of a picture drawn anew, as a prompt says.

High-Resolution Image Synthesis with Latent Diffusion Models. Rombach, Blattmann, Lorenz, Esser & Ommer, CVPR 2022,
arXiv:2112.10752, section 4.5: a UNet trained for it gets the mask and the rest of the picture beside the noisy latents,
as five further channels.

A UNet that was not can be made to: after each step, what shall stay is put back, noised to the step's level. RePaint:
Inpainting using Denoising Diffusion Probabilistic Models. Lugmayr et al., CVPR 2022, arXiv:2201.09865, section 4.1.

Letters: m is 1 where the picture is drawn anew (RePaint's m is 1 where it stays); z_k is what is known, z_t the sample.
"""

import torch
from torch.nn.functional import interpolate

from minidiff.config import check_whole
from minidiff.models.base import unwrapped
from minidiff.noise import randn
from minidiff.pipelines.base import check_latents
from minidiff.pipelines.guidance import check_guidance_scale, guided
from minidiff.pipelines.images import check_sizes_agree, masks, pictures
from minidiff.pipelines.latents import latent_shape
from minidiff.pipelines.stable_diffusion_base import LEFT_OUT_OF_CALLS, StableDiffusionBase, for_pictures, result
from minidiff.schedulers.ddim import check_eta
from minidiff.signatures import Off, leaving_out


class StableDiffusionInpaintPipeline(StableDiffusionBase):
    """Draws a part of pictures anew. Its components are those of `StableDiffusionBase`; the UNet takes 2 C + 1 channels
    where the latents have C, or C alone.
    """

    @leaving_out(
        **LEFT_OUT_OF_CALLS,
        masked_image_latents=Off((None,), "the autoencoder encodes what the mask leaves"),
        padding_mask_crop=Off((None,), "cutting a picture and pasting it back is Pillow's"),
    )
    @torch.no_grad()
    def __call__(
        self,
        prompt=None,
        image=None,
        mask_image=None,
        *,
        height=None,
        width=None,
        strength=1.0,
        num_inference_steps=50,
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
            image: one picture for all, or B, one for each prompt: PIL images; arrays (K, H, W, 3) or tensors
                (K, 3, H, W) in [0, 1].
            mask_image: as many masks, or one, as large as the image: PIL images of mode "L", "1" or "RGB"; arrays
                (K, H, W) or tensors (K, 1, H, W) in [0, 1]. What is 0.5 or more is drawn anew.
            height, width: of the pictures, multiples of `vae_scale_factor`, which image and mask are resized to; the
                size that the UNet was trained on if both are None.
            strength: how much of the walk is made, from 0 to 1. At 1 the part is drawn from noise alone.
            num_inference_steps: how many of the T timesteps the whole walk would visit; int(steps * strength) are made.
            guidance_scale: 1 + w of the paper of guidance; up to 1 there is none, see `minidiff.pipelines.guidance`.
            negative_prompt: what guidance leads away from: a text, or a list of B; the empty text if None.
            num_images_per_prompt: n. There are N = B n pictures, n for the first prompt, then n for the second, ...
            eta: 0 adds no noise, 1 has DDPM's variance. In [0, 1]. Only DDIM knows it; others are run without.
            generator: for the draws from the autoencoder's distribution, for the noise, and, where the scheduler draws,
                for that of every step: None, one, or a list of N.
            latents: the noise itself, (N, C, h, w).
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
        n = num_images_per_prompt
        N = B * n
        self.check_call(N, generator, output_type, ("pil", "np", "pt", "latent"), channels=3)
        C, h, w = latent_shape(self.vae, self.unet, height, width)
        blends = self.blends(C)
        skipped = self.steps_to_skip(strength, num_inference_steps)
        check_eta(eta)
        if latents is not None:
            check_latents(latents, (N, C, h, w))
        watch = self.watch(callback_on_step_end, callback_on_step_end_tensor_inputs, also=("prompt_embeds",))
        options = self.step_options(eta=eta, generator=generator)
        size = (h * self.vae_scale_factor, w * self.vae_scale_factor)
        x, mask = pictures(image, size=size), masks(mask_image, size)  # (K, 3, H, W) in [-1, 1]; (K', 1, H, W), 0 or 1
        check_sizes_agree(image, mask_image)
        x = for_pictures("image", x.to(self.device, self.dtype), B, n, generator)
        mask = for_pictures("mask_image", mask.to(self.device, self.dtype), B, n, generator)
        self.scheduler.set_timesteps(num_inference_steps, device=self.device)
        self.scheduler.skip_steps(skipped)

        context = self.context(guides, n, *texts)  # (2N, M, d) or (N, M, d)

        every = lambda values: values.expand(N, *values.shape[1:])  # (N, ...) of one or N
        if blends or skipped:
            z_0 = every(self.encode_pictures(x, generator))  # (N, C, h, w)
        # DDPM Alg. 2, line 1  \epsilon \sim \mathcal N(0, I)
        eps = randn((N, C, h, w), generator, self.device, self.dtype) if latents is None else latents.to(x)
        masked = x * (mask < 0.5)
        z_masked = every(self.encode_pictures(masked, generator))  # drawn even where nothing comes of it
        m = every(interpolate(mask, size=(h, w)))  # (N, 1, h, w)

        start = self.scheduler.timesteps[:1]
        z_t = self.scheduler.add_noise(z_0, eps, start) if skipped else eps * self.scheduler.init_noise_sigma

        for i, t in enumerate(self.progress_bar(self.scheduler.timesteps)):
            z_in = self.scheduler.scale_model_input(z_t, t)
            z_in = z_in if blends else torch.cat([z_in, m, z_masked], dim=1)  # what is noisy is scaled, the rest is not
            if len(context) > N:  # a callback may leave the negative prompts out
                eps_u, eps_c = self.unet(torch.cat([z_in, z_in]), t, context).sample.chunk(2)
                eps_theta = guided(eps_u, eps_c, guidance_scale)
            else:
                eps_theta = self.unet(z_in, t, context).sample
            step = self.scheduler.step(eps_theta, t, z_t, **options)
            z_prev = step.prev_sample
            if blends:
                later = self.scheduler.timesteps[i + 1 : i + 2]
                z_k = self.scheduler.add_noise(z_0, eps, later) if len(later) else z_0
                # RePaint (8)  z_{t-1} \leftarrow (1 - m)\, z_k + m\, z_{t-1}
                z_prev = (1 - m) * z_k + m * z_prev
            z_t, context = watch(i, t, step, latents=z_prev, sample=z_t, model_output=eps_theta, prompt_embeds=context)
            if self.interrupt:
                break
        return result(*self.pictures(z_t, output_type), return_dict)

    def blends(self, C):
        """bool: whether the UNet takes latents of C channels alone, so that what is known must be put back.

        Raises:
            ValueError: it takes neither these alone nor mask and picture beside them.
        """
        found = unwrapped(self.unet).config.in_channels
        if found not in (C, 2 * C + 1):
            raise ValueError(
                f"the unet takes {found} channels; allowed are {C}, the latents, or {2 * C + 1}, the latents, the mask "
                "and the latents of the masked picture"
            )
        return found == C
