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

from minidiff.models.base import unwrapped
from minidiff.models.unet_1d import SHORTEST
from minidiff.outputs import Output
from minidiff.pipelines.base import DiffusionPipeline, refuse_broken, require_steps


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
        ValueError: the scheduler visits timesteps that are counted, or needs a network of another kind.
    """

    def __init__(self, unet, scheduler):
        others = ("alphas_cumprod", "step_correct")  # of whole timesteps, and of networks that predict the score
        require_steps(scheduler, "IPNDMScheduler, whose times are from 0 to 1", "step", without=others)
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
            audio_length_in_s: how many seconds, in whole samples; as long as the sounds that the network was trained on
                if None. The network takes certain lengths only, see `UNet1DModel.forward`: the next one is drawn, and
                what is too much cut off.
            latents: x_T itself, standard normal, (B, C, L), with L such a length.
            callback_on_step_end: called as f(pipe, i, t, tensors) after each step; a dict that it returns replaces
                tensors.
            callback_on_step_end_tensor_inputs: names out of "latents" (after the step), "sample" (x_t, before it),
                "model_output", "pred_original_sample".
        Returns:
            `AudioPipelineOutput`, or the tuple `(audios,)`.
        Raises:
            ValueError: an argument is out of range, or has the wrong length or shape; nothing was computed then. Or the
                sounds hold numbers that are infinite or none at all.
        """
        self.check_call(batch_size, generator, "np")
        watch = self.watch(callback_on_step_end, callback_on_step_end_tensor_inputs)
        samples, L = self.lengths(audio_length_in_s)
        self.scheduler.set_timesteps(num_inference_steps, device=self.device)

        # DDPM Alg. 2, line 1  x_T \sim \mathcal N(0, I)
        x_t = self.start_noise((batch_size, self.sample_shape[0], L), generator, latents)  # (B, C, L)

        for i, t in enumerate(self.progress_bar(self.scheduler.timesteps)):
            v = self.unet(self.scheduler.scale_model_input(x_t, t), t).sample
            step = self.scheduler.step(v, t, x_t)
            x_t = watch(i, t, step, sample=x_t, model_output=v)
            if self.interrupt:
                break
        refuse_broken(x_t)
        audios = x_t[:, :, :samples].clamp(-1, 1).float().cpu().numpy()
        return AudioPipelineOutput(audios).as_asked(return_dict)

    def lengths(self, seconds):
        """(how many samples are asked for, how many are drawn): the latter is a length that the network takes.

        Raises:
            ValueError: `seconds` is no number, too few for the network, or it does not know how long its samples are.
        """
        config = getattr(unwrapped(self.unet), "config", {})
        rate, multiple = config.get("sample_rate"), 2 ** len(config.get("block_out_channels", ()))
        what, shortest = f"audio_length_in_s is {seconds!r}", SHORTEST * multiple
        if seconds is None:
            samples = self.sample_shape[1]
            what += f", which stands for the {samples} samples that the unet was trained on"
        elif not isinstance(seconds, numbers.Real) or isinstance(seconds, bool) or not math.isfinite(seconds):
            raise ValueError(f"{what}; allowed is a number of seconds, or None")
        elif rate is None:
            raise ValueError(f"{what}; allowed is None, since the unet's config does not say its sample_rate")
        else:
            samples = round(float(seconds) * rate, 6)  # 4.02 s at 16 kHz are 64319.99999999999 else
        if samples < shortest:
            least = f"{shortest / rate:g} seconds" if rate else "so many"
            raise ValueError(f"{what}; allowed are {least} or more: the network takes {shortest} samples at least")
        return math.floor(samples), math.ceil(samples / multiple) * multiple
