r"""Predictor and corrector for the variance exploding SDE.

Score-Based Generative Modeling through Stochastic Differential Equations. Song, Sohl-Dickstein, Kingma, Kumar, Ermon &
Poole, ICLR 2021, arXiv:2011.13456, algorithms 2 and 4. A predictor takes a step of the reverse SDE, down to the next
noise level. A corrector stays at a level and moves along the score with a little noise (Langevin dynamics), so that the
sample looks again as samples of that level do.

Letters: i counts noise levels from 0, the least; a step goes from i to i - 1, the paper's from i + 1 to i. s_\theta is
the score that the network predicts, r the corrector's ratio of signal to noise, `snr`.
"""

from dataclasses import dataclass

import torch

from minidiff.config import check_whole, configured
from minidiff.noise import randn_like
from minidiff.outputs import Output
from minidiff.schedulers.base import Scheduler, table_dtype
from minidiff.schedulers.sde import (
    VESDE,
    SdeOutput,
    check_number,
    check_sampling_eps,
    langevin,
    place_of,
    times_of_each,
)


@dataclass(eq=False)
class CorrectorOutput(Output):
    """A corrector step's result, `prev_sample`: a sample of the same noise level."""

    prev_sample: torch.Tensor


class ScoreSdeVeScheduler(Scheduler):
    r"""Walks from noise of standard deviation sigma_max down to a picture in [0, 1].

    Args:
        num_train_timesteps: how many noise levels there are before `set_timesteps` is called.
        snr: r, above 0.
        sigma_min, sigma_max: the least and the largest noise level.
        sampling_eps: the time at which the walk ends that begins at 1; between 0 and 1.
        correct_steps: how many corrector steps the pipeline makes at each noise level, 0 or more.
    Attributes:
        sde: the VESDE.
        timesteps: (N,) times from 1 to sampling_eps.
        sigmas: (N,) the noise levels of these times, which the network is told.
        discrete_sigmas: (N,) the noise levels that the predictor steps between, from sigma_min to sigma_max.
    """

    @configured
    def __init__(
        self,
        num_train_timesteps=2000,
        snr=0.15,
        sigma_min=0.01,
        sigma_max=1348.0,
        sampling_eps=1e-5,
        correct_steps=1,
    ):
        check_whole("num_train_timesteps", num_train_timesteps, least=2)
        check_number("snr", snr, lambda r: r > 0, "numbers above 0")
        check_whole("correct_steps", correct_steps, least=0)
        self.sde = VESDE(sigma_min, sigma_max)
        self.set_timesteps(num_train_timesteps)

    @property
    def init_noise_sigma(self):
        """The standard deviation of the noise that a walk begins with."""
        return self.sde.prior_std

    def set_timesteps(self, num_inference_steps, sampling_eps=None, device=None):
        """Choose the noise levels to visit.

        Args:
            num_inference_steps: N, a whole number from 2 on.
            sampling_eps: as in the constructor, for this walk; None means as it said.
            device: where the tables shall lie.
        Raises:
            ValueError: an argument is out of range; nothing has changed then.
        """
        self.make_tables(self.sde, num_inference_steps, sampling_eps, device)

    def set_sigmas(self, num_inference_steps, sigma_min=None, sigma_max=None, sampling_eps=None):
        """As `set_timesteps`, between other noise levels from now on, also in the config; None keeps what is.

        Raises:
            ValueError: an argument is out of range; nothing has changed then.
        """
        low = self.sde.sigma_min if sigma_min is None else sigma_min
        high = self.sde.sigma_max if sigma_max is None else sigma_max
        self.make_tables(VESDE(low, high), num_inference_steps, sampling_eps, self.timesteps.device)
        self.register_to_config(sigma_min=low, sigma_max=high)

    def make_tables(self, sde, num_inference_steps, sampling_eps, device):
        N, eps = num_inference_steps, self.config.sampling_eps if sampling_eps is None else sampling_eps
        check_whole("num_inference_steps", N, least=2)
        check_sampling_eps(eps)
        like, sigma_min, sigma_max = dict(dtype=table_dtype(), device=device), sde.sigma_min, sde.sigma_max

        # SDEcode  t_k = 1 - \frac{k}{N - 1} (1 - \epsilon)
        t = torch.linspace(1, eps, N, **like)

        # SDE app. C, shifted  \sigma_k = \sigma_{min} \left(\frac{\sigma_{max}}{\sigma_{min}}\right)^{\frac{k}{N - 1}}
        sigma = sigma_min * (sigma_max / sigma_min) ** torch.linspace(0, 1, N, **like)
        self.sde, self.timesteps, self.sigmas, self.discrete_sigmas = sde, t, sde.sigma(t), sigma

    def step_pred(self, model_output, timestep, sample, generator=None, return_dict=True):
        r"""The predictor: a step of the reverse SDE to the next noise level.

        Args:
            model_output: s_\theta, shaped like `sample`.
            timestep: an entry of `timesteps`.
            sample: x_i, any shape (B, ...).
            generator: for the noise z: None, one, or one a sample.
        Returns:
            `SdeOutput`, or the tuple `(prev_sample, prev_sample_mean)`.
        Raises:
            ValueError: `timestep` is no entry of `timesteps`, or `model_output` is not shaped like `sample`.
        """
        self.check_step(sample, model_output=model_output)
        i = len(self.timesteps) - 1 - place_of(timestep, self.timesteps)
        x_i, sigma_i = sample, self.discrete_sigmas[i]
        s_theta = wide(model_output)  # half precision cannot hold the squares of noise levels
        sigma_prev = self.discrete_sigmas[i - 1] if i > 0 else torch.zeros_like(sigma_i)

        # EDM (3), rearranged  \hat x_0 = x_i + \sigma_i^2 s_\theta
        x_0_hat = x_i + sigma_i**2 * s_theta

        # SDE Alg. 2, line 3, shifted  x_{i-1}' = x_i + (\sigma_i^2 - \sigma_{i-1}^2) s_\theta(x_i, \sigma_i)
        x_prev_prime = x_i + (sigma_i**2 - sigma_prev**2) * s_theta

        # SDE Alg. 2, line 4  z \sim \mathcal N(0, I)
        z = randn_like(x_i, generator)

        # SDE Alg. 2, line 5, shifted  x_{i-1} = x_{i-1}' + \sqrt{\sigma_i^2 - \sigma_{i-1}^2}\, z
        x_prev = x_prev_prime + (sigma_i**2 - sigma_prev**2) ** 0.5 * z
        made = (x.to(sample.dtype) for x in (x_prev, x_prev_prime, x_0_hat))
        return SdeOutput(*made).as_asked(return_dict)

    def step_correct(self, model_output, sample, generator=None, return_dict=True):
        r"""The corrector: a step of `langevin` dynamics at a noise level.

        Args:
            model_output: s_\theta, shaped like `sample`.
            sample: x, any shape (B, ...).
            generator: for the noise z: None, one, or one a sample.
        Returns:
            `CorrectorOutput`, or the tuple `(prev_sample,)`.
        Raises:
            ValueError: `model_output` is not shaped like `sample`.
        """
        self.check_step(sample, model_output=model_output)
        s_theta = wide(model_output)  # half precision cannot hold its norm
        x = langevin(sample, s_theta, self.config.snr, generator=generator)
        x = x.to(sample.dtype)
        return CorrectorOutput(prev_sample=x).as_asked(return_dict)

    def add_noise(self, original_samples, noise, timesteps):
        r"""The forward process: x_0 at some of the noise levels.

        Args:
            original_samples: x_0, (B, ...), in [0, 1].
            noise: z, standard normal, shaped like x_0.
            timesteps: one, or (B,): whole numbers, places in `discrete_sigmas`; or times in [0, 1].
        Returns:
            x_t, shaped like x_0.
        Raises:
            ValueError: x_0 is not floating point, the noise has another shape, a place or a time is out of range, or
                there are neither one nor B.
        """
        x_0, z = original_samples, noise
        t = times_of_each(x_0, z, timesteps, places=len(self.discrete_sigmas))
        sigma = self.sde.sigma(t) if t.is_floating_point() else self.discrete_sigmas.cpu()[t.cpu()]
        mean, sigma = x_0, sigma.to(x_0.device)
        # SDE (29)  x_t = \mathrm{mean} + \sigma z
        x_t = mean + sigma * z
        return x_t.to(x_0.dtype)


def wide(x):
    """x, in the dtype of the tables where its own is narrower."""
    return x.to(torch.promote_types(x.dtype, table_dtype()))
