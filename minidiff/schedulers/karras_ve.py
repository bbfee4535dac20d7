r"""Karras et al.'s stochastic sampler, for networks of the variance exploding SDE.

Elucidating the Design Space of Diffusion-Based Generative Models. Karras, Aittala, Aila & Laine, NeurIPS 2022,
arXiv:2206.00364, algorithm 2. Each step first adds a little noise ("churn"), which makes the sample forget its errors,
then follows the probability flow ODE down to the next noise level by Heun's method, with two calls of the network.

Letters: the paper's time t is the noise level \sigma here, as in algorithm 2 itself. i counts levels from 0, the least,
so that a step goes from i to i - 1, the paper's from i to i + 1. D is the denoised picture, F_\theta the network's part
of it, (D - x) / \sigma.
"""

from dataclasses import dataclass

import torch

from minidiff.config import check_one_of, check_whole, configured
from minidiff.noise import randn_like
from minidiff.outputs import Output
from minidiff.schedulers.base import Scheduler, scheduler_behind, table_dtype
from minidiff.schedulers.score_sde_ve import ScoreSdeVeScheduler
from minidiff.schedulers.sde import check_number, check_range, times_of_each


@dataclass(eq=False)
class KarrasVeOutput(Output):
    """A step's result; the tuple stays `(prev_sample, derivative)`.

    `prev_sample`: the sample at the next noise level, shaped like the sample given.
    `derivative`: dx / d sigma at the step's start.
    `pred_original_sample`: D, the picture that the step believes in.
    """

    beside_tuple = ("pred_original_sample",)

    prev_sample: torch.Tensor
    derivative: torch.Tensor
    pred_original_sample: torch.Tensor


class KarrasVeScheduler(Scheduler):
    r"""Walks from noise of standard deviation sigma_max down to a picture in [-1, 1].

    Args:
        sigma_min, sigma_max: the least and the largest noise level; twice those of a network for pictures in [0, 1].
        s_noise: the standard deviation of the churn's noise, a little above 1 against loss of detail.
        s_churn: how much noise is added, over all steps; 0 for none.
        s_min, s_max: between which noise levels.
        sigma_schedule: "ve", noise levels in equal ratios, the VE column of table 1; "rho", those of equation (5);
            "diffusers", the squares of the first: see the ledger, "KarrasVE sigma".
        rho: of equation (5).
    Attributes:
        timesteps: (N,) int64, places in `schedule`, N - 1 to 0; None before `set_timesteps`.
        schedule: (N,) noise levels, the least first; None before `set_timesteps`.
    """

    order = 2

    @configured
    def __init__(
        self,
        sigma_min=0.02,
        sigma_max=100,
        s_noise=1.007,
        s_churn=80,
        s_min=0.05,
        s_max=50,
        *,
        sigma_schedule="ve",
        rho=7,
    ):
        check_range("sigma_min", sigma_min, "sigma_max", sigma_max)
        check_number("s_noise", s_noise, lambda s: s > 0, "numbers above 0")
        check_number("s_churn", s_churn, lambda s: s >= 0, "numbers from 0 on")
        check_number("s_min", s_min, lambda s: s >= 0, "numbers from 0 on")
        check_number("s_max", s_max, lambda s: s >= s_min, f"numbers from s_min, {s_min!r}, on")
        check_one_of("sigma_schedule", sigma_schedule, ("ve", "rho", "diffusers"))
        check_number("rho", rho, lambda rho: rho > 0, "numbers above 0")
        self.num_inference_steps = self.timesteps = self.schedule = None

    @classmethod
    def from_config(cls, config, **changes):
        """As for all schedulers; and from a ScoreSdeVeScheduler's, for its network: the same noise is twice as large
        in [-1, 1] as in [0, 1].
        """
        ve = scheduler_behind(config, ScoreSdeVeScheduler, ScoreSdeVeScheduler, {"snr", "correct_steps"})
        if ve is None:
            return super().from_config(config, **changes)
        return cls(**{"sigma_min": 2 * ve.config.sigma_min, "sigma_max": 2 * ve.config.sigma_max} | changes)

    @property
    def init_noise_sigma(self):
        """The standard deviation of the noise that a walk begins with."""
        return self.config.sigma_max

    def __len__(self):
        raise TypeError("KarrasVeScheduler has no len(): its network was trained on all noise levels, not on some")

    def __bool__(self):
        return True  # Python would ask for len()

    def set_timesteps(self, num_inference_steps, device=None):
        """Choose the noise levels to visit.

        Args:
            num_inference_steps: N, a whole number from 2 on.
            device: where the tables shall lie.
        Raises:
            ValueError: N is out of range; nothing has changed then.
        """
        N, rho = num_inference_steps, self.config.rho
        sigma_min, sigma_max = self.config.sigma_min, self.config.sigma_max
        check_whole("num_inference_steps", N, least=2)
        i = torch.arange(N, dtype=table_dtype(), device=device)
        if self.config.sigma_schedule == "rho":
            # EDM (5)  \sigma_i = \left(\sigma_{max}^{1/\rho}
            #          + \frac{i}{N - 1} (\sigma_{min}^{1/\rho} - \sigma_{max}^{1/\rho})\right)^\rho
            sigma = (sigma_max ** (1 / rho) + i / (N - 1) * (sigma_min ** (1 / rho) - sigma_max ** (1 / rho))) ** rho
        else:
            # EDM Table 1  t_i = \sigma_{max}^2 \left(\frac{\sigma_{min}^2}{\sigma_{max}^2}\right)^{\frac{i}{N - 1}}
            t = sigma_max**2 * (sigma_min**2 / sigma_max**2) ** (i / (N - 1))
            # EDM Table 1  \sigma_i = \sqrt{t_i}
            sigma = t**0.5
            sigma = t if self.config.sigma_schedule == "diffusers" else sigma
        self.schedule, self.timesteps = sigma.flip(0), torch.arange(N - 1, -1, -1, device=device)
        self.num_inference_steps = N

    def add_noise_to_input(self, sample, sigma, generator=None):
        r"""Churn: as much noise as makes the noise level (1 + \gamma) sigma. One draw, even where \gamma = 0.

        Args:
            sample: x, any shape (B, ...).
            sigma: its noise level.
            generator: for the noise: None, one, or one a sample.
        Returns:
            `(sample_hat, sigma_hat)`.
        Raises:
            ValueError: `set_timesteps` was not called.
        """
        if self.num_inference_steps is None:
            raise ValueError("set_timesteps(num_inference_steps) was not called: churn is shared out among the steps")
        self.check_step(sample)
        x, N, S_churn, S_noise = sample, self.num_inference_steps, self.config.s_churn, self.config.s_noise
        gamma = 0
        if self.config.s_min <= sigma <= self.config.s_max:
            # EDM Alg. 2  \gamma = \min(S_{churn} / N, \sqrt 2 - 1)
            gamma = min(S_churn / N, 2**0.5 - 1)

        # EDM Alg. 2, line 4  \epsilon \sim \mathcal N(0, S_{noise}^2 I)
        eps = S_noise * randn_like(x, generator)

        # EDM Alg. 2, line 5  \hat\sigma = \sigma + \gamma \sigma
        sigma_hat = sigma + gamma * sigma

        # EDM Alg. 2, line 6  \hat x = x + \sqrt{\hat\sigma^2 - \sigma^2}\, \epsilon
        x_hat = x + (sigma_hat**2 - sigma**2) ** 0.5 * eps
        return x_hat.to(sample.dtype), sigma_hat

    def step(self, model_output, sigma_hat, sigma_prev, sample_hat, return_dict=True):
        r"""Euler's step along the probability flow ODE.

        Args:
            model_output: F_\theta, what the network says of `sample_hat` at sigma_hat, and shaped like it.
            sigma_hat, sigma_prev: the noise levels where the step begins and ends.
            sample_hat: \hat x, any shape (B, ...).
        Returns:
            `KarrasVeOutput`, or the tuple `(prev_sample, derivative)`.
        Raises:
            ValueError: `model_output` is not shaped like `sample_hat`.
        """
        self.check_step(sample_hat, model_output=model_output)
        x_hat, F_theta = sample_hat, model_output

        # EDM (7)  D = \hat x + \hat\sigma F_\theta
        D = x_hat + sigma_hat * F_theta

        # EDM Alg. 2, line 7  d = \frac{\hat x - D}{\hat\sigma}
        d = (x_hat - D) / sigma_hat

        # EDM Alg. 2, line 8, shifted  x_{i-1} = \hat x + (\sigma_{i-1} - \hat\sigma) d
        x_prev = x_hat + (sigma_prev - sigma_hat) * d
        made = (made.to(sample_hat.dtype) for made in (x_prev, d, D))
        return KarrasVeOutput(*made).as_asked(return_dict)

    def step_correct(self, model_output, sigma_hat, sigma_prev, sample_hat, sample_prev, derivative, return_dict=True):
        r"""Heun's correction: the step once more, along the mean of the slopes at both ends.

        Args:
            model_output: F_\theta, what the network says of `sample_prev` at sigma_prev, and shaped like it.
            sigma_hat, sigma_prev, sample_hat: as for `step`.
            sample_prev, derivative: what `step` gave.
        Returns:
            `KarrasVeOutput`, whose `derivative` is the one given; or the tuple `(prev_sample, derivative)`.
        Raises:
            ValueError: a tensor is not shaped like `sample_hat`, or sigma_prev is 0, where there is no slope.
        """
        self.check_step(sample_hat, model_output=model_output, sample_prev=sample_prev, derivative=derivative)
        check_number("sigma_prev", float(sigma_prev), lambda sigma: sigma > 0, "numbers above 0")
        x_hat, x_prev, d, F_theta = sample_hat, sample_prev, derivative, model_output

        # EDM (7)  D = x_{i-1} + \sigma_{i-1} F_\theta
        D = x_prev + sigma_prev * F_theta

        # EDM Alg. 2, line 10, shifted  d' = \frac{x_{i-1} - D}{\sigma_{i-1}}
        d_prime = (x_prev - D) / sigma_prev

        # EDM Alg. 2, line 11, shifted  x_{i-1} = \hat x + (\sigma_{i-1} - \hat\sigma) (\frac12 d + \frac12 d')
        x_prev = x_hat + (sigma_prev - sigma_hat) * (d / 2 + d_prime / 2)
        made = (made.to(sample_hat.dtype) for made in (x_prev, d, D))
        return KarrasVeOutput(*made).as_asked(return_dict)

    def add_noise(self, original_samples, noise, timesteps):
        r"""The forward process: x_0 at some of the noise levels.

        Args:
            original_samples: x_0, (B, ...), in [-1, 1].
            noise: standard normal, shaped like x_0.
            timesteps: places in `schedule`, one or (B,).
        Returns:
            x, shaped like x_0.
        Raises:
            ValueError: as for `ScoreSdeVeScheduler.add_noise`; or `set_timesteps` was not called.
        """
        if self.schedule is None:
            raise ValueError("set_timesteps(num_inference_steps) was not called: there are no noise levels yet")
        x_0, eps = original_samples, noise
        i = times_of_each(x_0, eps, timesteps, places=len(self.schedule), times=False)
        sigma = self.schedule.cpu()[i.cpu()].to(x_0.device)

        # SDE (29)  x = x_0 + \sigma \epsilon
        x = x_0 + sigma * eps
        return x.to(x_0.dtype)
