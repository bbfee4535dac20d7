r"""Small pictures made large by diffusion over latents.

High-Resolution Image Synthesis with Latent Diffusion Models. Rombach, Blattmann, Lorenz, Esser & Ommer, CVPR 2022,
arXiv:2112.10752, section 4.4: the latents of the large picture are as high and wide as the small picture, so the UNet
simply gets that beside the noisy latents, as further channels.

Letters: the paper's z_t is DDPM's x_t, in latents; y is the small picture.
"""

import torch

from minidiff.config import check_whole
from minidiff.models.base import unwrapped
from minidiff.pipelines.base import DiffusionPipeline, ImagePipelineOutput
from minidiff.pipelines.images import check_tensor, pictures
from minidiff.pipelines.latents import OUTPUT_TYPES, halvings, multiple_of_pixels
from minidiff.schedulers.ddim import check_eta


class LDMSuperResolutionPipeline(DiffusionPipeline):
    """Enlarges pictures as often as a VQModel shrinks them, four times for the published one.

    Args:
        vqvae: the autoencoder of large pictures, a VQModel.
        unet: a UNet2DModel, predicts the noise in latents that the small picture lies beside.
        scheduler: a DDIMScheduler, or any other.
    """

    def __init__(self, vqvae, unet, scheduler):
        self.register_modules(vqvae=vqvae, unet=unet, scheduler=scheduler)

    @torch.no_grad()
    def __call__(
        self,
        image=None,
        batch_size=1,
        num_inference_steps=100,
        eta=0.0,
        generator=None,
        output_type="pil",
        return_dict=True,
        *,
        latents=None,
        callback_on_step_end=None,
        callback_on_step_end_tensor_inputs=("latents",),
    ):
        """Draw large pictures of small ones.

        Args:
            image: y, a PIL image, shrunk to multiples of what the networks halve; or a tensor of B of them,
                (B, 3, h, w) in [-1, 1].
            batch_size: how many large pictures of one small one; of a tensor's B pictures there is one each.
            num_inference_steps: how many of the T timesteps are visited.
            eta: 0 is deterministic, so that z_T alone decides the picture; 1 has DDPM's variance. In [0, 1]. Only
                DDIM knows it; other schedulers are run without.
            generator: for z_T and, where the scheduler draws, the noise of every step: None, one, or a list of B.
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
        self.check_call(1, None, output_type, OUTPUT_TYPES, channels=3)
        y = self.small_pictures(image, batch_size)  # (B, 3, h, w)
        self.check_call(len(y), generator, output_type, OUTPUT_TYPES, channels=3)
        check_eta(eta)
        watch = self.watch(callback_on_step_end, callback_on_step_end_tensor_inputs)
        options = self.step_options(eta=eta, generator=generator)
        self.scheduler.set_timesteps(num_inference_steps, device=self.device)

        # DDPM Alg. 2, line 1  z_T \sim \mathcal N(0, I)
        z_t = self.start_noise((len(y), unwrapped(self.unet).config.out_channels, *y.shape[2:]), generator, latents)

        for i, t in enumerate(self.progress_bar(self.scheduler.timesteps)):
            z_in = torch.cat([self.scheduler.scale_model_input(z_t, t), y], dim=1)  # what is noisy is scaled, y is not
            eps_theta = self.unet(z_in, t).sample
            step = self.scheduler.step(eps_theta, t, z_t, **options)
            z_t = watch(i, t, step, sample=z_t, model_output=eps_theta)
            if self.interrupt:
                break
        # These latents were trained on as they are, so nothing divides by a scale.
        images = (
            z_t if output_type == "latent" else self.postprocess(unwrapped(self.vqvae).decode(z_t).sample, output_type)
        )
        return ImagePipelineOutput(images).as_asked(return_dict)

    def small_pictures(self, image, batch_size):
        """y, (B, 3, h, w) in [-1, 1], from what was passed as `image`, on the network's device."""
        from PIL import Image

        check_whole("batch_size", batch_size)
        multiple = multiple_of_pixels(self.vqvae, self.unet)
        if isinstance(image, Image.Image):
            y = pictures(image, multiple)
        elif isinstance(image, torch.Tensor):
            check_tensor(image, 2 ** halvings(self.unet))
            y = image
        else:
            raise ValueError(f"image is {image!r}; allowed is a PIL image, or a tensor (B, 3, h, w)")
        if len(y) > 1 and batch_size not in (1, len(y)):
            raise ValueError(f"batch_size is {batch_size} for {len(y)} pictures; allowed is one for each")
        y = y if len(y) > 1 else y.expand(batch_size, -1, -1, -1)
        return y.to(self.device, self.dtype)
