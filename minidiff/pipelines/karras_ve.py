r"""Pictures out of noise by Heun's method and a little churn, with networks of the variance exploding SDE.

Elucidating the Design Space of Diffusion-Based Generative Models. Karras, Aittala, Aila & Laine, NeurIPS 2022,
arXiv:2206.00364, algorithm 2. It draws pictures in [-1, 1] with networks that know those in [0, 1].
"""

import torch

from minidiff.pipelines.base import DiffusionPipeline, ImagePipelineOutput, require_steps, require_time
from minidiff.schedulers.karras_ve import KarrasVeScheduler
from minidiff.schedulers.score_sde_ve import ScoreSdeVeScheduler


class KarrasVePipeline(DiffusionPipeline):
    """Draws pictures with a UNet2DModel and a KarrasVeScheduler.

    Args:
        unet: predicts the score of pictures in [0, 1], and is told the noise level.
        scheduler: a KarrasVeScheduler; or a ScoreSdeVeScheduler, from whose noise levels one is made.
    Raises:
        ValueError: the network is told another kind of time; the scheduler is none of these.
    """

    def __init__(self, unet, scheduler):
        require_time(unet, "fourier")
        if isinstance(scheduler, ScoreSdeVeScheduler):
            scheduler = KarrasVeScheduler.from_config(scheduler)
        require_steps(scheduler, "KarrasVeScheduler or a ScoreSdeVeScheduler", "add_noise_to_input", "step_correct")
        self.register_modules(unet=unet, scheduler=scheduler)

    @torch.no_grad()
    def __call__(
        self,
        batch_size=1,
        num_inference_steps=50,
        generator=None,
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
            num_inference_steps: N, how many noise levels are visited; the network is called 2 N - 1 times.
            generator: for the first noise and that of every step: None, one, or a list of B.
            output_type: "pil", "np" (B, H, W, C) or "pt" (B, C, H, W), both in [0, 1].
            latents: the first noise itself, standard normal, (B, C, H, W).
            callback_on_step_end: called as f(pipe, i, t, tensors) after each step; a dict that it returns replaces
                tensors.
            callback_on_step_end_tensor_inputs: names out of "latents", "sample", "model_output",
                "pred_original_sample"; the last two are those of the step's last call.
        Returns:
            `ImagePipelineOutput`, or the tuple `(images,)`.
        Raises:
            ValueError: an argument is out of range, or has the wrong length or shape; nothing was computed then.
        """
        self.check_call(batch_size, generator, output_type)
        watch = self.watch(callback_on_step_end, callback_on_step_end_tensor_inputs)
        self.scheduler.set_timesteps(num_inference_steps, device=self.device)
        sigma = self.scheduler.init_noise_sigma

        # EDM Alg. 2, line 2  x \sim \mathcal N(0, \sigma^2 I)
        x = self.start_noise((batch_size, *self.sample_shape), generator, latents)  # (B, C, H, W)

        for i, t in enumerate(self.progress_bar(self.scheduler.timesteps)):
            sigma, sigma_prev = self.scheduler.schedule[t], self.scheduler.schedule[t - 1] if t > 0 else 0
            x_hat, sigma_hat = self.scheduler.add_noise_to_input(x, sigma, generator)
            F_theta = self.output(x_hat, sigma_hat)
            step = self.scheduler.step(F_theta, sigma_hat, sigma_prev, x_hat)
            if t > 0:
                x_prev, d = step.prev_sample, step.derivative
                F_theta = self.output(x_prev, sigma_prev)
                step = self.scheduler.step_correct(F_theta, sigma_hat, sigma_prev, x_hat, x_prev, d)
            x = watch(i, t, step, sample=x, model_output=F_theta)
            if self.interrupt:
                break
        return ImagePipelineOutput(self.postprocess(x, output_type)).as_asked(return_dict)

    def output(self, x, sigma):
        r"""F_\theta, in D = x + \sigma F_\theta, from a network that gives the score of y, a picture in [0, 1]."""
        # DDPM §3.3, rearranged  y = \frac{x + 1}{2}
        y = (x + 1) / 2
        s_theta = self.unet(y, sigma / 2).sample
        # EDM (3), scaled  F_\theta = \frac\sigma2 s_\theta
        F_theta = sigma / 2 * s_theta
        return F_theta.to(x.dtype)
