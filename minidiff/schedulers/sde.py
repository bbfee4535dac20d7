r"""The stochastic differential equations that turn pictures into noise, and their ways back.

Score-Based Generative Modeling through Stochastic Differential Equations. Song, Sohl-Dickstein, Kingma, Kumar, Ermon &
Poole, ICLR 2021, arXiv:2011.13456. Noise is added in continuous time, t from 0 to 1, by dx = f(x, t) dt + g(t) dw (5).
Who knows the score, the gradient of \log p_t, can run this backwards: as another such equation, with fresh noise (6),
or as an ordinary one without (13), through the same distributions at every time.

Letters: s is the score, \sigma the standard deviation of x_t given x_0, m the factor before x_0; the paper's
\bar\beta_{min} and \bar\beta_{max} are \beta_{min} and \beta_{max}, as in its authors' code. Times are numbers, or
tensors that broadcast against x, such as (B, 1, 1, 1).
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Real

import torch

from minidiff.noise import randn_like
from minidiff.outputs import Output
from minidiff.schedulers.base import brief, check_alike, check_floating, is_whole, one_time


class SDE(ABC):
    """dx = f(x, t) dt + g(t) dw.

    Attributes:
        prior_std: the standard deviation of x at t = 1, where pictures no longer show.
    """

    prior_std = 1.0

    @abstractmethod
    def f(self, x, t):
        """The drift, shaped like x."""

    @abstractmethod
    def g(self, t):
        """The diffusion, shaped like t."""

    @abstractmethod
    def marginal(self, x_0, t):
        r"""What x_t given x_0 is: its mean m x_0, shaped like x_0, and its standard deviation \sigma, shaped like t."""

    def reverse(self, x, t, s):
        r"""The drift of the way back. Its diffusion is g(t); time runs from 1 to 0, so that dt < 0.

        Args:
            x: (B, ...).
            s: the score of x at time t, shaped like x.
        """
        # SDE (6)  \mathrm{drift} = f(x, t) - g(t)^2 s
        drift = self.f(x, t) - self.g(t) ** 2 * s
        return drift

    def probability_flow(self, x, t, s):
        """dx / dt of the ordinary equation with the same distributions at every time. Arguments as for `reverse`."""
        # SDE (13)  \mathrm{slope} = f(x, t) - \frac12 g(t)^2 s
        slope = self.f(x, t) - self.g(t) ** 2 * s / 2
        return slope


class VESDE(SDE):
    r"""Variance exploding: the picture stays, and noise on it grows from sigma_min to sigma_max, far beyond it.

    Args:
        sigma_min, sigma_max: \sigma at t = 0 and t = 1, for pictures in [0, 1].
    Raises:
        ValueError: they are no numbers, or not 0 < sigma_min < sigma_max.
    """

    def __init__(self, sigma_min=0.01, sigma_max=50.0):
        check_range("sigma_min", sigma_min, "sigma_max", sigma_max)
        self.sigma_min, self.sigma_max = sigma_min, sigma_max
        self.prior_std = sigma_max

    def sigma(self, t):
        r"""\sigma, shaped like t: it grows in equal ratios, not in equal steps."""
        # SDE (31), squared  \sigma = \sigma_{min} \left(\frac{\sigma_{max}}{\sigma_{min}}\right)^t
        sigma = self.sigma_min * (self.sigma_max / self.sigma_min) ** t
        return sigma

    def f(self, x, t):
        return torch.zeros_like(x)

    def g(self, t):
        # SDE (30)  g = \sigma(t) \sqrt{2 \ln\left(\frac{\sigma_{max}}{\sigma_{min}}\right)}
        g = self.sigma(t) * (2 * math.log(self.sigma_max / self.sigma_min)) ** 0.5
        return g

    def marginal(self, x_0, t):
        return x_0, self.sigma(t)


class VPSDE(SDE):
    r"""Variance preserving: the picture fades as the noise grows. DDPM's timesteps are this equation in steps.

    Args:
        beta_min, beta_max: \beta at t = 0 and t = 1; with T timesteps, T times the first and the last of DDPM's betas.
            For pictures in [-1, 1].
    Raises:
        ValueError: they are no numbers, or not 0 < beta_min < beta_max.
    """

    def __init__(self, beta_min=0.1, beta_max=20.0):
        check_range("beta_min", beta_min, "beta_max", beta_max)
        self.beta_min, self.beta_max = beta_min, beta_max

    def beta(self, t):
        r"""\beta, shaped like t: how fast the picture fades."""
        # SDE (32)  \beta = \beta_{min} + t (\beta_{max} - \beta_{min})
        beta = self.beta_min + t * (self.beta_max - self.beta_min)
        return beta

    def f(self, x, t):
        # SDE (11)  f = -\frac12 \beta(t) x
        f = -self.beta(t) * x / 2
        return f

    def g(self, t):
        # SDE (11)  g = \sqrt{\beta(t)}
        g = self.beta(t) ** 0.5
        return g

    def m(self, t):
        """m, shaped like t: what is left of x_0."""
        t = torch.as_tensor(t)
        # SDE (33)  m = \exp(-\frac14 t^2 (\beta_{max} - \beta_{min}) - \frac12 t \beta_{min})
        m = torch.exp(-(t**2) * (self.beta_max - self.beta_min) / 4 - t * self.beta_min / 2)
        return m

    def sigma(self, t):
        r"""\sigma, shaped like t. The difference from 1 is taken before it can drown in rounding."""
        t = torch.as_tensor(t)
        # SDE (33), squared  \sigma = \sqrt{1 - \exp(-\frac12 t^2 (\beta_{max} - \beta_{min}) - t \beta_{min})}
        sigma = (-torch.expm1(-(t**2) * (self.beta_max - self.beta_min) / 2 - t * self.beta_min)) ** 0.5
        return sigma

    def marginal(self, x_0, t):
        # SDE (33)  \mathrm{mean} = m(t) x_0
        mean = self.m(t) * x_0
        return mean, self.sigma(t)


@dataclass(eq=False)
class SdeOutput(Output):
    r"""What a step of a reverse SDE gives; the tuple is `(prev_sample, prev_sample_mean)`, as people unpack it.

    `prev_sample`: the sample at the next time, shaped like the sample given.
    `prev_sample_mean`: the same without the noise that the step adds; the last one is the picture.
    `pred_original_sample`: \hat x_0, the picture that the score points to.
    """

    beside_tuple = ("pred_original_sample",)

    prev_sample: torch.Tensor
    prev_sample_mean: torch.Tensor
    pred_original_sample: torch.Tensor


def langevin(x, s, r, alpha=1, generator=None):
    r"""A corrector step: Langevin dynamics, after which x has the same noise level as before.

    How long the step is, is decided for all samples together: see the ledger, "Langevin batch".

    Args:
        x: (B, ...).
        s: the score of x, shaped like it, in a dtype that holds its norm.
        r: the ratio of signal to noise in the step.
        alpha: \alpha, 1 in algorithm 4 and below it in algorithm 5.
        generator: for the noise z: None, one, or one a sample.
    Returns:
        (B, ...), in the dtype of s.
    """
    # SDE Alg. 4, line 4  z \sim \mathcal N(0, I)
    z = randn_like(x, generator)

    # SDEcode  \varepsilon = 2 \alpha \left(r \frac{\overline{\lVert z \rVert}}{\overline{\lVert s \rVert}}\right)^2
    vareps = 2 * alpha * (r * z.flatten(1).norm(dim=1).mean() / s.flatten(1).norm(dim=1).mean()) ** 2

    # SDE Alg. 4, line 7  x \leftarrow x + \varepsilon s + \sqrt{2 \varepsilon}\, z
    x = x + vareps * s + (2 * vareps) ** 0.5 * z
    return x


def place_of(timestep, timesteps):
    """Where in the table `timesteps` a time stands. Raises ValueError where it is no entry, or more than one number."""
    t = one_time(timestep)
    place = (timesteps == t).nonzero().flatten().tolist()
    if not place:
        raise ValueError(f"timestep is {t:g}; allowed are the entries of timesteps, {brief(timesteps)}")
    return place[0]


def times_of_each(x_0, noise, timesteps, places, times=True):
    """The times that `add_noise` is asked for as a tensor (B, 1, ...), whole numbers as int64.

    Args:
        places: how many entries the table has that whole numbers mean; 0 for none.
        times: whether times between 0 and 1 are allowed.
    Raises:
        ValueError: see `ScoreSdeVeScheduler.add_noise`.
    """
    check_floating("original_samples", x_0)
    check_alike("noise", noise, "original_samples", x_0)
    t, ranges = torch.as_tensor(timesteps), [f"whole numbers from 0 to {places - 1}"] * (places > 0)
    ranges += ["times from 0.0 to 1.0"] * times
    if t.shape not in ((), (1,), (len(x_0),)):
        raise ValueError(f"timesteps has the shape {tuple(t.shape)}; allowed is one, or one for each of {len(x_0)}")
    whole = is_whole(t)
    if not (places if whole else times) or not ((t >= 0) & (t <= (places - 1 if whole else 1))).all():
        raise ValueError(
            f"timesteps reach from {t.min().item()} to {t.max().item()}; allowed are {', or '.join(ranges)}"
        )
    return (t.long() if whole else t).reshape(-1, *[1] * (x_0.ndim - 1))


def check_number(argument, value, test, allowed):
    """Raises ValueError unless `value` is a finite number that passes `test`; `allowed` says in words which do."""
    if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value) or not test(value):
        raise ValueError(f"{argument} is {value!r}; allowed are {allowed}")


def check_sampling_eps(eps):
    check_number("sampling_eps", eps, lambda eps: 0 < eps < 1, "numbers between 0 and 1, where the walk begins")


def check_range(low_name, low, high_name, high):
    """Raises ValueError unless both are numbers and 0 < low < high."""
    check_number(low_name, low, lambda low: low > 0, "numbers above 0")
    check_number(high_name, high, lambda high: high > low, f"numbers above {low_name}, {low!r}")
