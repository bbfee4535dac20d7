"""Pictures out of noise in fewer steps, without drawing anew at each.

Denoising Diffusion Implicit Models. Song, Meng & Ermon, ICLR 2021, arXiv:2010.02502, section 4: the network is DDPM's.
"""

import torch

from minidiff.pipelines.base import DiffusionPipeline, ImagePipelineOutput
from minidiff.schedulers.ddim import DDIMScheduler, check_eta


class DDIMPipeline(DiffusionPipeline):
    """Draws pictures with a UNet2DModel and a DDIMScheduler.

    Args:
        unet: predicts the noise.
        scheduler: any scheduler whose config can be read as a DDIMScheduler's, such as a DDPMScheduler; a
            DDIMScheduler is made from it.
    """

    def __init__(self, unet, scheduler):
        if scheduler is not None:  # a call refuses an absent one
            scheduler = DDIMScheduler.from_config(scheduler)
        self.register_modules(unet=unet, scheduler=scheduler)

    @torch.no_grad()
    def __call__(
        self,
        batch_size=1,
        generator=None,
        eta=0.0,
        num_inference_steps=50,
        use_clipped_model_output=False,
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
            generator: for x_T and, at eta > 0, the noise of every step: None, one, or a list of B.
            eta: 0 is deterministic, so that x_T alone decides the picture; 1 has DDPM's variance. In [0, 1].
            num_inference_steps: how many of the T timesteps are visited.
            use_clipped_model_output: see `DDIMScheduler.step`.
            output_type: "pil", "np" (B, H, W, C) or "pt" (B, C, H, W), both in [0, 1].
            latents: x_T itself, standard normal, (B, C, H, W).
            callback_on_step_end: called as f(pipe, i, t, tensors) after each step; a dict that it returns replaces
                tensors.
            callback_on_step_end_tensor_inputs: names out of "latents" (after the step), "sample" (x_t, before it),
                "model_output", "pred_original_sample".
        Returns:
            `ImagePipelineOutput`, or the tuple `(images,)`.
        Raises:
            ValueError: an argument is out of range, or has the wrong length or shape; nothing was computed then. Or the
                pictures hold numbers that are infinite or none at all.
        """
        self.check_call(batch_size, generator, output_type)
        check_eta(eta)
        watch = self.watch(callback_on_step_end, callback_on_step_end_tensor_inputs)
        self.scheduler.set_timesteps(num_inference_steps, device=self.device)
        options = dict(eta=eta, use_clipped_model_output=use_clipped_model_output, generator=generator)

        # DDPM Alg. 2, line 1  x_T \sim \mathcal N(0, I)
        x_t = self.start_noise((batch_size, *self.sample_shape), generator, latents)  # (B, C, H, W)

        for i, t in enumerate(self.progress_bar(self.scheduler.timesteps)):
            eps_theta = self.unet(self.scheduler.scale_model_input(x_t, t), t).sample
            step = self.scheduler.step(eps_theta, t, x_t, **options)
            x_t = watch(i, t, step, sample=x_t, model_output=eps_theta)
            if self.interrupt:
                break
        return ImagePipelineOutput(self.postprocess(x_t, output_type)).as_asked(return_dict)
