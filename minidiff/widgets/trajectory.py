"""A sampler's whole walk, kept to be looked at."""

from dataclasses import dataclass, field

import torch


@dataclass
class Trajectory:
    r"""What a pipeline went through in N steps.

    Attributes:
        timesteps: N floats or whole numbers, as the network was told them.
        x: N + 1 samples, each (B, C, H, W): x_T, what each later step began with, and x_0, where the last one ended.
        x_0_hat: N clean pictures \hat x_0, what each step believed in when it saw the entry of `x` in the same place.
        eps: N answers of the network to it.
        result: what the pipeline returned.
    """

    timesteps: list = field(default_factory=list)
    x: list = field(default_factory=list)
    x_0_hat: list = field(default_factory=list)
    eps: list = field(default_factory=list)
    result: object = None

    def __len__(self):
        return len(self.timesteps)

    @property
    def images(self):
        """The pictures at the end."""
        return self.result.images


def record(pipe, **call):
    """Run a pipeline and keep each step: `record(pipe, num_inference_steps=20, generator=...)` is a `Trajectory`.

    Args:
        pipe: a pipeline.
        call: the arguments of its call. `callback_on_step_end` is taken: it does the recording.
    """
    walk, end = Trajectory(), None

    def keep(pipe, i, t, tensors):
        nonlocal end
        walk.timesteps.append(t.item() if isinstance(t, torch.Tensor) else t)
        *entries, end = (tensors[name].detach().float().cpu() for name in names)
        for kept, entry in zip((walk.x, walk.x_0_hat, walk.eps), entries, strict=True):
            kept.append(entry)

    names = ("sample", "pred_original_sample", "model_output", "latents")
    walk.result = pipe(**call, callback_on_step_end=keep, callback_on_step_end_tensor_inputs=names)
    walk.x.append(end)
    return walk
