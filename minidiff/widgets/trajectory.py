"""A sampler's whole walk, kept to be looked at."""

from dataclasses import dataclass, field

import torch


@dataclass
class Trajectory:
    r"""What a pipeline went through, one entry a step.

    Attributes:
        timesteps: floats or whole numbers, as the network was told them.
        x: the samples after each step, each (B, C, H, W).
        x_0_hat: \hat x_0, the clean picture that each step believed in.
        eps: what the network said at each step.
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
    walk = Trajectory()

    def keep(pipe, i, t, tensors):
        walk.timesteps.append(t.item() if isinstance(t, torch.Tensor) else t)
        for entries, name in ((walk.x, "latents"), (walk.x_0_hat, "pred_original_sample"), (walk.eps, "model_output")):
            entries.append(tensors[name].detach().float().cpu())

    names = ("latents", "pred_original_sample", "model_output")
    walk.result = pipe(**call, callback_on_step_end=keep, callback_on_step_end_tensor_inputs=names)
    return walk
