"""Pictures out of noise by ancestral sampling.

Denoising Diffusion Probabilistic Models. Ho, Jain & Abbeel, NeurIPS 2020, arXiv:2006.11239, algorithm 2.
"""

from inspect import signature

import torch

from minidiff.pipelines.base import DiffusionPipeline, ImagePipelineOutput, require_steps


class DDPMPipeline(DiffusionPipeline):
    """Draws pictures with a UNet2DModel and a DDPMScheduler.

    Args:
        unet: predicts the noise.
        scheduler: a DDPMScheduler; or another whose step takes a generator, as a DDIMScheduler's does: then the walk
            is that scheduler's, as in diffusers.
    Raises:
        ValueError: the scheduler has no such step.
    """

    def __init__(self, unet, scheduler):
        require_steps(scheduler, "DDPMScheduler", without=("step_correct",))  # which those of the SDEs have
        step = getattr(scheduler, "step", lambda: None)
        if scheduler is not None and "generator" not in signature(step).parameters:  # a call refuses an absent one
            raise ValueError(
                f"scheduler is a {type(scheduler).__name__}, which has no step that takes a generator; allowed is a "
                "DDPMScheduler, or another that has one"
            )
        self.register_modules(unet=unet, scheduler=scheduler)

    @torch.no_grad()
    def __call__(
        self,
        batch_size=1,
        generator=None,
        num_inference_steps=1000,
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
            generator: for x_T and the noise of every step: None, one, or a list of B.
            num_inference_steps: how many of the T timesteps are visited.
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
        watch = self.watch(callback_on_step_end, callback_on_step_end_tensor_inputs)
        self.scheduler.set_timesteps(num_inference_steps, device=self.device)

        # DDPM Alg. 2, line 1  x_T \sim \mathcal N(0, I)
        x_t = self.start_noise((batch_size, *self.sample_shape), generator, latents)  # (B, C, H, W)

        for i, t in enumerate(self.progress_bar(self.scheduler.timesteps)):
            eps_theta = self.unet(self.scheduler.scale_model_input(x_t, t), t).sample
            step = self.scheduler.step(eps_theta, t, x_t, generator=generator)
            x_t = watch(i, t, step, sample=x_t, model_output=eps_theta)
            if self.interrupt:
                break
        return ImagePipelineOutput(self.postprocess(x_t, output_type)).as_asked(return_dict)
