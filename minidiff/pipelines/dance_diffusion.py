"""Sound out of noise, a second or a few at a time.

Dance Diffusion. Evans, Harmonai, 2022, https://github.com/Harmonai-org/sample-generator; there is no paper. DDPM's idea
on waves instead of pictures, in continuous time: Progressive Distillation's velocity (Salimans & Ho, ICLR 2022,
arXiv:2202.00512), walked along by PNDM's multistep method.
"""

import math
import numbers
from dataclasses import dataclass

import numpy as np
import torch

from minidiff.outputs import Output
from minidiff.pipelines.base import DiffusionPipeline
from minidiff.schedulers.base import DiscreteScheduler


@dataclass(eq=False)
class AudioPipelineOutput(Output):
    """Sounds.

    Fields:
        audios: (B, C, L) float32 in [-1, 1], `unet.config.sample_rate` numbers a second. `minidiff.audio` writes and
            plays them.
    """

    audios: np.ndarray


class DanceDiffusionPipeline(DiffusionPipeline):
    """Draws sounds with a UNet1DModel and an IPNDMScheduler.

    Args:
        unet: predicts the velocity.
        scheduler: an IPNDMScheduler, or another one whose times are from 0 to 1.
    Raises:
        ValueError: the scheduler visits timesteps that are counted, which mean nothing to this network.
    """

    def __init__(self, unet, scheduler):
        if isinstance(scheduler, DiscreteScheduler):
            raise ValueError(
                f"scheduler is a {type(scheduler).__name__}, whose timesteps are whole numbers; allowed is an "
                "IPNDMScheduler, or another whose times are from 0 to 1"
            )
        self.register_modules(unet=unet, scheduler=scheduler)

    @torch.no_grad()
    def __call__(
        self,
        batch_size=1,
        num_inference_steps=100,
        generator=None,
        audio_length_in_s=None,
        return_dict=True,
        *,
        latents=None,
        callback_on_step_end=None,
        callback_on_step_end_tensor_inputs=("latents",),
    ):
        """Draw `batch_size` sounds.

        Args:
            batch_size: B, how many.
            num_inference_steps: how often the network is called.
            generator: for x_T, which alone decides the sound: None, one, or a list of B.
            audio_length_in_s: seconds, at least `unet.shortest_length` samples; as long as the sounds that the network
                was trained on if None. Drawn is the next length that the network takes, and the rest is cut off.
            latents: x_T itself, (B, C, L) with L a multiple of `unet.length_multiple`, the seconds rounded up.
            callback_on_step_end: called as f(pipe, i, t, tensors) after each step; a dict that it returns replaces
                tensors.
            callback_on_step_end_tensor_inputs: names out of "latents", "model_output", "pred_original_sample".
        Returns:
            `AudioPipelineOutput`, or the tuple `(audios,)`.
        Raises:
            ValueError: an argument is out of range, or has the wrong length or shape; nothing was computed then.
        """
        self.check_call(batch_size, generator, "np")
        L = self.length_of(audio_length_in_s)
        multiple = self.unet.length_multiple
        shape = (batch_size, self.unet.config.in_channels, -(-L // multiple) * multiple)
        watch = self.watch(callback_on_step_end, callback_on_step_end_tensor_inputs)
        self.scheduler.set_timesteps(num_inference_steps, device=self.device)

        # DDPM Alg. 2, line 1  x_T \sim \mathcal N(0, I)
        x_t = self.start_noise(shape, generator, latents)  # (B, C, L rounded up)

        for i, t in enumerate(self.progress_bar(self.scheduler.timesteps)):
            v = self.unet(x_t, t).sample
            step = self.scheduler.step(v, t, x_t)
            x_t = watch(i, t, latents=step.prev_sample, model_output=v, pred_original_sample=step.pred_original_sample)
            if self.interrupt:
                break
        audios = x_t[:, :, :L].clamp(-1, 1).float().cpu().numpy()
        return AudioPipelineOutput(audios).as_asked(return_dict)

    def length_of(self, seconds):
        """L, in samples, before it is rounded up.

        Raises:
            ValueError: `seconds` is no such number, the network does not know its rate, or L is too small for it.
        """
        config, shortest = self.unet.config, self.unet.shortest_length
        if seconds is None:
            L, argument = config.sample_size, f"audio_length_in_s is None, unet.config.sample_size {config.sample_size}"
        else:
            argument = f"audio_length_in_s is {seconds!r}"
            if config.sample_rate is None:
                raise ValueError(f"{argument} and unet.config.sample_rate None; allowed is None without a rate")
            if not isinstance(seconds, numbers.Real) or isinstance(seconds, bool) or not math.isfinite(seconds):
                raise ValueError(f"{argument}; allowed is a number of seconds, or None")
            L = round(seconds * config.sample_rate)
        if L < shortest:
            rate = config.sample_rate
            least = f"{shortest / rate:g} seconds" if rate else f"{shortest} samples"
            raise ValueError(f"{argument}; allowed are {least} or more, since the network halves the sound so often")
        return L
