r"""Data whose perfect network is known: mixtures of Gaussians.

For x_0 ~ \sum_k w_k N(\mu_k, s_k^2 I) the noised data is a mixture again, x_t ~ \sum_k w_k N(a \mu_k, v_k I) with a =
\sqrt{\bar\alpha_t} and v_k = \bar\alpha_t s_k^2 + 1 - \bar\alpha_t, so the score and the noise that no network could
predict better are sums of K terms. A sampler that is given them makes no error but its own, which can then be
measured:

    mixture = Mixture(means=[[-1.0], [0.5]], stds=[0.2, 0.3])
    print(orders(DDIMScheduler, mixture, clip_sample=False))

All is computed in float64; what a network returns has the dtype of its sample.
"""

import inspect
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from minidiff.models.unet_2d import UNet2DOutput
from minidiff.noise import randn

CLEAN = 1 - 1e-10  # the level of a picture, but for what keeps the logarithm of its noise finite


class Mixture:
    r"""The data: \sum_k w_k N(\mu_k, s_k^2 I), over flattened samples of D entries.

    Args:
        means: \mu, (K, D).
        stds: s, (K,).
        weights: w, (K,), with sum 1; equal ones if None.
    """

    def __init__(self, means, stds, weights=None):
        self.means, self.stds = (torch.as_tensor(values, dtype=torch.float64) for values in (means, stds))
        weights = torch.full_like(self.stds, 1 / len(self.stds)) if weights is None else weights
        self.weights = torch.as_tensor(weights, dtype=torch.float64)
        if not self.means.shape[:1] == self.stds.shape == self.weights.shape:
            shapes = [tuple(values.shape) for values in (self.means, self.stds, self.weights)]
            raise ValueError(f"means, stds, weights have shapes {shapes}; allowed are (K, D), (K,), (K,)")

    def components(self, x, alpha_bar):
        r"""How each Gaussian sees x.

        Args:
            x: (B, ...), a sample of noise level `alpha_bar`, a number or (B,).
        Returns:
            (r, v, a \mu - x): to what part x comes from each, (B, K); their variances, (B, K); the ways to their
            means, (B, K, D).
        """
        x = x.double().flatten(1)  # (B, D)
        alpha_bar = torch.as_tensor(alpha_bar, dtype=torch.float64).expand(len(x))[:, None]  # (B, 1)
        v = alpha_bar * self.stds**2 + 1 - alpha_bar  # (B, K)
        way = alpha_bar[..., None] ** 0.5 * self.means - x[:, None]  # (B, K, D)
        log_r = self.weights.log() - x.shape[1] / 2 * v.log() - (way**2).sum(-1) / (2 * v)
        return log_r.softmax(dim=1), v, way

    def score(self, x, alpha_bar):
        r"""\nabla_x \log p(x) at noise level `alpha_bar`: shaped like x, float64."""
        r, v, way = self.components(x, alpha_bar)
        return ((r / v)[..., None] * way).sum(1).reshape(x.shape)

    def eps(self, x, alpha_bar):
        r"""E[\epsilon | x] = -\sqrt{1 - \bar\alpha} score, what a perfect network predicts. Shaped like x, float64."""
        sigma = (1 - torch.as_tensor(alpha_bar, dtype=torch.float64)) ** 0.5
        return -sigma.reshape(-1, *[1] * (x.ndim - 1)) * self.score(x, alpha_bar)

    def x_0(self, x, alpha_bar):
        r"""E[x_0 | x] = \sum_k r_k (\mu_k + a s_k^2 / v_k (x - a \mu_k)), a = \sqrt{\bar\alpha}. Like x, float64."""
        r, v, way = self.components(x, alpha_bar)
        a = torch.as_tensor(alpha_bar, dtype=torch.float64).reshape(-1, 1) ** 0.5
        return (r[..., None] * (self.means - (a * self.stds**2 / v)[..., None] * way)).sum(1).reshape(x.shape)

    def sample(self, n, alpha_bar=1.0, generator=None):
        """Draw n samples of noise level `alpha_bar`: (n, D), float64."""
        k = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        z = randn((n, self.means.shape[1]), generator, dtype=torch.float64)
        return alpha_bar**0.5 * self.means[k] + (alpha_bar * self.stds[k, None] ** 2 + 1 - alpha_bar) ** 0.5 * z

    def as_network(self, alpha_bar, sample_shape=None, prediction_type="epsilon"):
        """A `PerfectNetwork`, which can be called, and stand in a pipeline, where a UNet2DModel does."""
        return PerfectNetwork(self, alpha_bar, sample_shape, prediction_type)

    def flow(self, x, start, end, steps=2000):
        r"""Follow the differential equation that DDIM discretises, very finely: what samplers are held against.

        With \bar x = x / \sqrt{\bar\alpha} and \sigma = \sqrt{(1 - \bar\alpha) / \bar\alpha} it is d\bar x / d\sigma
        = E[\epsilon | x], here solved by the classical Runge-Kutta method in equal steps of \log\sigma.

        Args:
            x: (B, D), at noise level `start`.
            start, end: values of \bar\alpha, both below 1.
        Returns:
            x at noise level `end`, float64.
        """
        alpha_bars = torch.tensor([start, end], dtype=torch.float64)
        first, last = ((1 - alpha_bars) / alpha_bars).log() / 2  # log sigma
        h = (last - first) / steps

        def slope(x_bar, log_sigma):
            alpha_bar = 1 / (1 + (2 * log_sigma).exp())
            return log_sigma.exp() * self.eps(alpha_bar**0.5 * x_bar, alpha_bar)

        x_bar = x.double() / alpha_bars[0] ** 0.5
        for i in range(steps):
            log_sigma = first + i * h
            k_1 = slope(x_bar, log_sigma)
            k_2 = slope(x_bar + h / 2 * k_1, log_sigma + h / 2)
            k_3 = slope(x_bar + h / 2 * k_2, log_sigma + h / 2)
            k_4 = slope(x_bar + h * k_3, log_sigma + h)
            x_bar = x_bar + h / 6 * (k_1 + 2 * k_2 + 2 * k_3 + k_4)
        return x_bar * alpha_bars[1] ** 0.5


class PerfectNetwork(nn.Module):
    r"""What training on a mixture would end with, if it never ended.

    Args:
        mixture: the data.
        alpha_bar: (T,) the noise levels, such as `scheduler.alpha_bar`.
        sample_shape: (C, H, W), for pipelines; (D,) if None.
        prediction_type: what it predicts: "epsilon", "sample" or "v_prediction".
    """

    def __init__(self, mixture, alpha_bar, sample_shape=None, prediction_type="epsilon"):
        super().__init__()
        if prediction_type not in ("epsilon", "sample", "v_prediction"):
            raise ValueError(f"prediction_type is {prediction_type!r}; allowed are 'epsilon', 'sample', 'v_prediction'")
        self.mixture, self.prediction_type = mixture, prediction_type
        self.sample_shape = tuple(sample_shape or mixture.means.shape[1:])
        self.alpha_bar = nn.Parameter(
            torch.as_tensor(alpha_bar), requires_grad=False
        )  # pipelines ask for its device and dtype

    def forward(self, sample, timestep, return_dict=True):
        """As UNet2DModel's, for `sample` (B, ...) of any shape with D entries each; t is one number or (B,)."""
        x = sample.cpu()  # where the mixture is
        alpha_bar = self.level(torch.as_tensor(timestep).cpu())
        predicted = (
            self.mixture.x_0(x, alpha_bar) if self.prediction_type == "sample" else self.mixture.eps(x, alpha_bar)
        )
        if self.prediction_type == "v_prediction":
            a, s = (level.reshape(-1, *[1] * (x.ndim - 1)) for level in (alpha_bar**0.5, (1 - alpha_bar) ** 0.5))
            predicted = a * predicted - s * self.mixture.x_0(x, alpha_bar)
        return UNet2DOutput(sample=predicted.to(sample.device, sample.dtype)).as_asked(return_dict)

    def level(self, t):
        """alpha_bar at the times t; between two of the table, where sigma lies on the line between theirs."""
        alpha_bar = self.alpha_bar.cpu().double()
        low, high = alpha_bar[t.floor().long()], alpha_bar[t.ceil().long()]
        sigma = torch.lerp(((1 - low) / low) ** 0.5, ((1 - high) / high) ** 0.5, t.double() % 1)
        return torch.where(low == high, low, 1 / (1 + sigma**2))


def walk(scheduler, network, x_T, **options):
    """Sample as a pipeline does, after `scheduler.set_timesteps`; `options` are arguments of the scheduler's step."""
    x_t = x_T * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        model_output = network(scheduler.scale_model_input(x_t, t), t).sample
        x_t = scheduler.step(model_output, t, x_t, **options).prev_sample
    return x_t


@dataclass(frozen=True)
class Orders:
    """How the error of a sampler falls with the number of steps; printed, it is a table.

    Attributes:
        steps: how many.
        errors: the root of the mean squared distance to the exact end, for each.
    """

    steps: tuple
    errors: tuple

    @property
    def slopes(self):
        """tuple: between neighbours, how many powers of the number of steps the error falls by."""
        logs = torch.tensor([self.steps, self.errors], dtype=torch.float64).log()
        return tuple((-logs.diff()[1] / logs.diff()[0]).tolist())

    @property
    def order(self):
        """float: the same, fitted to the last three by least squares."""
        n, e = torch.tensor([self.steps[-3:], self.errors[-3:]], dtype=torch.float64).log()
        return (-((n - n.mean()) * (e - e.mean())).sum() / ((n - n.mean()) ** 2).sum()).item()

    def __str__(self):
        rows = zip(self.steps, self.errors, ("", *(f"{slope:.2f}" for slope in self.slopes)))
        lines = [f"{n:5d}  {error:9.2e}  {slope:>5}" for n, error, slope in rows]
        return "\n".join(["steps      error  order", *lines])


def orders(make_scheduler, mixture, steps=(10, 20, 40, 80, 160, 320), samples=64, seed=0, whole=False, **options):
    r"""Measure the order of a deterministic sampler, from an exact start at \bar\alpha = 0.026 to 0.66.

    Between them lies a fine table, T - 1 = 64 times the most steps, in float64. Near \bar\alpha = 1 equal steps of t
    are equal steps of nothing smooth, and near 0 nothing happens; without both ends the order is that of the method,
    not of the schedule. The whole walk has both.

    Args:
        make_scheduler: a class such as DDIMScheduler, called with the table and `options`.
        mixture: the data.
        steps: how many steps, a list of divisors of 64 times the last.
        whole: walk as a pipeline does, "trailing", through the scheduler's own T levels and to \bar\alpha = 1;
            `steps` are then any numbers up to T.
        options: further arguments of the scheduler, such as clip_sample=False.
    Returns:
        `Orders`.
    """
    T, known = 64 * steps[-1] + 1, inspect.signature(make_scheduler).parameters
    with double_precision():
        if whole:
            table = {"timestep_spacing": "trailing", "set_alpha_to_one": True}
        else:
            u = torch.linspace(0.2, 0.6, T)
            alpha_bar = torch.exp(-0.1 * u - 9.95 * u**2)  # the levels of DDPM's linear betas, in continuous time
            beta = 1 - torch.cat([alpha_bar[:1], alpha_bar[1:] / alpha_bar[:-1]])
            table = {"trained_betas": beta, "num_train_timesteps": T}
            table |= {"timestep_spacing": "linspace", "set_alpha_to_one": False}
        scheduler = make_scheduler(**{key: value for key, value in table.items() if key in known}, **options)
        network = mixture.as_network(scheduler.alpha_bar)
        first, last = scheduler.alpha_bar[-1].item(), CLEAN if whole else scheduler.alpha_bar[0].item()
        x_T = mixture.sample(samples, first, torch.Generator().manual_seed(seed))
        exact, errors = mixture.flow(x_T, first, last), []
        for n in steps:
            if whole:
                scheduler.set_timesteps(n)
                calls, scaled = scheduler.timesteps, lambda x: x
            else:
                if "timesteps" in inspect.signature(scheduler.set_timesteps).parameters:
                    scheduler.set_timesteps(timesteps=range(T - 1, -1, -(T - 1) // n))
                else:
                    scheduler.set_timesteps(n + 1)
                *calls, end = scheduler.timesteps  # the last step leads away from timestep 0
                scaled = lambda x, end=end: scheduler.scale_model_input(x, end)
            x = x_T / scheduler.scale_model_input(torch.ones_like(x_T), calls[0])  # so that the network is shown x_T
            for t in calls:
                x = scheduler.step(network(scheduler.scale_model_input(x, t), t).sample, t, x).prev_sample
            errors.append(((scaled(x) - exact) ** 2).mean().sqrt().item())
    return Orders(tuple(steps), tuple(errors))


def final_std(scheduler, std, num_inference_steps, **options):
    r"""The standard deviation of what a sampler makes of data N(0, std^2) with a perfect network, without a sample.

    For such data \epsilon is a multiple of x, each step a x + b z, and variances follow from a and b alone. The
    scheduler must not clip, and its step must take a generator and no account of earlier steps (DDPM and DDIM).

    Args:
        options: arguments of the scheduler's step, such as eta.
    """
    scheduler.set_timesteps(num_inference_steps)
    network = Mixture([[0.0] * 16], [std]).as_network(scheduler.alpha_bar)
    z = randn((1, 16), torch.Generator().manual_seed(0), dtype=torch.float64)
    variance = 1.0
    for t in scheduler.timesteps:
        x_t = torch.stack([torch.zeros(16), torch.ones(16)]).double()
        same = [torch.Generator().manual_seed(0), torch.Generator().manual_seed(0)]
        x_prev = scheduler.step(network(x_t, t).sample, t, x_t, generator=same, **options).prev_sample  # (b z, a + b z)
        a, b = (x_prev[1] - x_prev[0]).mean(), (x_prev[0] * z).sum() / (z * z).sum()
        variance = a**2 * variance + b**2
    return variance.item() ** 0.5


@contextmanager
def double_precision():
    """Tables made inside are float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
