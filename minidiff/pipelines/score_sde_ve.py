r"""Pictures out of noise by predictor and corrector, with the variance exploding SDE.

Score-Based Generative Modeling through Stochastic Differential Equations. Song, Sohl-Dickstein, Kingma, Kumar, Ermon &
Poole, ICLR 2021, arXiv:2011.13456, algorithm 2. The paper corrects after the predictor; its code, which the published
networks were drawn with, before it: see the ledger, "VE order".
"""

import torch

from minidiff.pipelines.base import DiffusionPipeline, ImagePipelineOutput, require_steps, require_time


class ScoreSdeVePipeline(DiffusionPipeline):
    """Draws pictures with a UNet2DModel and a ScoreSdeVeScheduler.

    Args:
        unet: predicts the score of pictures in [0, 1], and is told the noise level.
        scheduler: a ScoreSdeVeScheduler, or another with its two steps.
    Raises:
        ValueError: the network is told another kind of time; the scheduler has no such steps.
    """

    def __init__(self, unet, scheduler):
        require_time(unet, "fourier")
        require_steps(scheduler, "ScoreSdeVeScheduler", "set_sigmas", "step_pred", "step_correct")
        self.register_modules(unet=unet, scheduler=scheduler)

    @torch.no_grad()
    def __call__(
        self,
        batch_size=1,
        num_inference_steps=2000,
        generator=None,
        output_type="pil",
        return_dict=True,
        *,
        latents=None,
        callback_on_step_end=None,
        callback_on_step_end_tensor_inputs=("latents",),
    ):
        """Draw `batch_size` pictures, which depend on each other: a corrector step is as long for all of them.

        Args:
            batch_size: B, how many.
            num_inference_steps: N, how many noise levels are visited; at each the network is called
                `correct_steps` + 1 times.
            generator: for the first noise and that of every step: None, one, or a list of B.
            output_type: "pil", "np" (B, H, W, C) or "pt" (B, C, H, W), both in [0, 1].
            latents: the first noise itself, standard normal, (B, C, H, W).
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
        self.scheduler.set_sigmas(num_inference_steps)  # which another package's has only then
        N, M, sigma = num_inference_steps, self.scheduler.config.correct_steps, self.scheduler.init_noise_sigma

        # SDE Alg. 2, line 1  x \sim \mathcal N(0, \sigma^2 I)
        x = self.start_noise((batch_size, *self.sample_shape), generator, latents)  # (B, C, H, W)

        for i, t in enumerate(self.progress_bar(self.scheduler.timesteps)):
            sigma = self.scheduler.sigmas[i]
            for _ in range(M):
                s_theta = self.unet(x, sigma).sample
                x = self.scheduler.step_correct(s_theta, x, generator).prev_sample
            s_theta = self.unet(x, sigma).sample
            step = self.scheduler.step_pred(s_theta, t, x, generator)
            if i + 1 == N:  # noise that nothing takes away again
                step.prev_sample = step.prev_sample_mean
            x = watch(i, t, step, sample=x, model_output=s_theta)
            if self.interrupt:
                break
        return ImagePipelineOutput(self.postprocess(x, output_type, centred=False)).as_asked(return_dict)
