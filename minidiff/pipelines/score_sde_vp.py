r"""Pictures out of noise by the reverse of the variance preserving SDE, which is DDPM in continuous time.

Score-Based Generative Modeling through Stochastic Differential Equations. Song, Sohl-Dickstein, Kingma, Kumar, Ermon &
Poole, ICLR 2021, arXiv:2011.13456, equation 6; with corrector steps algorithm 3, in the order of its code.
"""

import torch

from minidiff.pipelines.base import DiffusionPipeline, ImagePipelineOutput, require_steps, require_time
from minidiff.schedulers.base import DiscreteScheduler
from minidiff.schedulers.score_sde_vp import ScoreSdeVpScheduler


class ScoreSdeVpPipeline(DiffusionPipeline):
    """Draws pictures with a UNet2DModel and a ScoreSdeVpScheduler.

    Args:
        unet: predicts the noise in pictures of [-1, 1]; trained in continuous time, or on DDPM's timesteps.
        scheduler: a ScoreSdeVpScheduler; or DDPM's or DDIM's, from whose table of betas one is made, for a network that
            was trained on it.
    Raises:
        ValueError: the network is told another kind of time; the table is not linear in t, as the SDE is; the
            scheduler is none of these.
    """

    def __init__(self, unet, scheduler):
        require_time(unet, "positional")
        if isinstance(scheduler, DiscreteScheduler):
            scheduler = ScoreSdeVpScheduler.from_config(scheduler)
        require_steps(
            scheduler, "ScoreSdeVpScheduler, a DDPMScheduler or a DDIMScheduler", "step", "step_correct", "label"
        )
        self.register_modules(unet=unet, scheduler=scheduler)

    @torch.no_grad()
    def __call__(
        self,
        batch_size=1,
        num_inference_steps=1000,
        generator=None,
        output_type="pil",
        return_dict=True,
        *,
        latents=None,
        callback_on_step_end=None,
        callback_on_step_end_tensor_inputs=("latents",),
    ):
        """Draw `batch_size` pictures; with corrector steps they depend on each other, see `langevin`.

        Args:
            batch_size: B, how many.
            num_inference_steps: N, how many steps lead from t = 1 to 0.
            generator: for x_T and the noise of every step: None, one, or a list of B.
            output_type: "pil", "np" (B, H, W, C) or "pt" (B, C, H, W), both in [0, 1].
            latents: x_T itself, (B, C, H, W).
            callback_on_step_end: called as f(pipe, i, t, tensors) after each step; a dict that it returns replaces
                tensors.
            callback_on_step_end_tensor_inputs: names out of "latents", "sample", "model_output",
                "pred_original_sample".
        Returns:
            `ImagePipelineOutput`, or the tuple `(images,)`.
        Raises:
            ValueError: an argument is out of range, or has the wrong length or shape; nothing was computed then.
        """
        self.check_call(batch_size, generator, output_type)
        watch = self.watch(callback_on_step_end, callback_on_step_end_tensor_inputs)
        self.scheduler.set_timesteps(num_inference_steps, device=self.device)
        N, M = num_inference_steps, self.scheduler.config.correct_steps

        # SDE Alg. 3, line 1  x \sim \mathcal N(0, I)
        x = self.start_noise((batch_size, *self.sample_shape), generator, latents)  # (B, C, H, W)

        for i, t in enumerate(self.progress_bar(self.scheduler.timesteps)):
            label = self.scheduler.label(t)
            for _ in range(M):
                eps_theta = self.unet(x, label).sample
                x = self.scheduler.step_correct(eps_theta, x, t, generator)
            eps_theta = self.unet(x, label).sample
            step = self.scheduler.step(eps_theta, t, x, generator)
            if i + 1 == N:  # noise that nothing takes away again
                step.prev_sample = step.prev_sample_mean
            x = watch(i, t, step, sample=x, model_output=eps_theta)
            if self.interrupt:
                break
        return ImagePipelineOutput(self.postprocess(x, output_type)).as_asked(return_dict)
