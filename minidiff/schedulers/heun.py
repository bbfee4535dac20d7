r"""Heun: Elucidating the Design Space of Diffusion-Based Generative Models. Karras, Aittala, Aila & Laine, NeurIPS
2022, arXiv:2206.00364, algorithm 1.

Euler's step shows where the curve leads; there the network is asked again, and the step is made anew with the mean of
both slopes. Two calls a step, second order; the last step, to \sigma = 0, is Euler's.

Letters: the paper's t_i is \sigma_i here, since \sigma(t) = t; its slope d_i = (x_i - D(x_i; \sigma_i)) / \sigma_i is
the noise that the network predicts.
"""

import torch

from minidiff.config import check_one_of, configured
from minidiff.schedulers.base import SchedulerOutput
from minidiff.schedulers.sigmas import SigmaScheduler
from minidiff.signatures import leaving_out


class HeunDiscreteScheduler(SigmaScheduler):
    r"""Heun's method in \sigma. With N timesteps it calls the network 2 N - 1 times.

    Args:
        num_train_timesteps: T.
        beta_start, beta_end, beta_schedule, trained_betas: as in DDPMScheduler; the first two are Stable Diffusion's
            by default.
        prediction_type: what the network predicts: "epsilon", "sample" or "v_prediction".
        use_karras_sigmas: the levels of `SigmaScheduler.karras_sigmas`.
        timestep_spacing, steps_offset: which timesteps are kept, see `spaced_timesteps`.
    """

    order = 2  # calls a step
    left_out = SigmaScheduler.left_out | {"clip_sample": False, "clip_sample_range": 1.0}

    @configured
    def __init__(
        self,
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="linear",
        trained_betas=None,
        prediction_type="epsilon",
        use_karras_sigmas=False,
        *,
        timestep_spacing="linspace",
        steps_offset=0,
    ):
        check_one_of("prediction_type", prediction_type, ("epsilon", "sample", "v_prediction"))
        self.make_tables()

    set_timesteps = leaving_out(num_train_timesteps=None)(SigmaScheduler.set_timesteps)

    def walk_along(self, t, sigma, device=None):
        super().walk_along(t, sigma, device)
        # Each level but the first is called twice: at the end of a step, and at the beginning of the next.
        self.timesteps = twice(self.timesteps)
        self.sigma = torch.cat([twice(self.sigma[:-1]), self.sigma[-1:]])

    def step(self, model_output, timestep, sample, return_dict=True):
        r"""Use one call of the network: x_i -> x_{i+1} by Euler's step, or that step made better.

        Args:
            model_output: the network's output for (scale_model_input(x, t), t), shaped like `sample`.
            timestep: the entry of `timesteps` whose turn it is.
            sample: where the network was asked, any shape (B, ...).
        Returns:
            `SchedulerOutput`, or the tuple `(prev_sample, pred_original_sample)`.
        Raises:
            ValueError: it is another timestep's turn, or `model_output` is not shaped like `sample`.
        """
        self.check_step(sample, model_output=model_output)
        i = self.turn(timestep)
        x_0_hat, d = self.believe(model_output, sample, self.sigma[i])
        if not self.history:
            x_i, d_i, sigma_i, sigma_next = sample, d, self.sigma[i], self.sigma[i + 1]
            self.history = [] if sigma_next == 0 else [(x_i, d_i)]
            # EDM Alg. 1, line 5  x_{i+1} = x_i + (\sigma_{i+1} - \sigma_i) d_i
            x_next = x_i + (sigma_next - sigma_i) * d_i
        else:
            ((x_i, d_i),), d_i_prime, sigma_i, sigma_next = self.history, d, self.sigma[i - 1], self.sigma[i]
            self.history = []
            # EDM Alg. 1, line 8  x_{i+1} = x_i + (\sigma_{i+1} - \sigma_i) \left(\frac12 d_i + \frac12 d_i'\right)
            x_next = x_i + (sigma_next - sigma_i) * (d_i / 2 + d_i_prime / 2)
        return SchedulerOutput(prev_sample=x_next, pred_original_sample=x_0_hat).as_asked(return_dict)


def twice(values):
    """a, b, c -> a, b, b, c, c."""
    return torch.cat([values[:1], values[1:].repeat_interleave(2)])
