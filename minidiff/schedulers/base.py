r"""What DDPM, DDIM and PNDM share: the noise levels of the forward process, and which of them a sampler visits.

Denoising Diffusion Probabilistic Models. Ho, Jain & Abbeel, NeurIPS 2020, arXiv:2006.11239: a picture x_0 drowns in
noise over T timesteps. All three samplers walk back along the same levels \bar\alpha_t, with the same network.

Letters: timesteps count from 0 here, as in the published code; the papers' t = 1 is our t = 0. \bar\alpha is 1 for
a clean picture and falls towards 0.
"""

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

import minidiff
from minidiff.config import Configurable, check_one_of, check_whole
from minidiff.outputs import Output

SPACINGS = ("leading", "linspace", "trailing")
BETA_SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2")


@dataclass(eq=False)
class SchedulerOutput(Output):
    r"""One step's result.

    `prev_sample`: the sample at the step's target, shaped like the sample given.
    `pred_original_sample`: \hat x_0, the clean picture that the step believes in.
    """

    prev_sample: torch.Tensor
    pred_original_sample: torch.Tensor


class Scheduler(Configurable):
    """Base of all schedulers. They hold no randomness and no device: a generator is an argument of the step."""

    config_file = "scheduler_config.json"
    order = 1
    init_noise_sigma = 1.0  # the standard deviation of x_T

    def scale_model_input(self, sample, timestep=None):
        """What the network is shown at `timestep`: here the sample as it is."""
        return sample

    def skip_steps(self, steps):
        """Leave out the first steps of the walk that `set_timesteps` chose, as image-to-image does.

        Args:
            steps: how many; a step is made of `order` entries of `timesteps`.
        """
        self.timesteps = self.timesteps[steps * self.order :]

    def __len__(self):
        return self.config.num_train_timesteps

    @property
    def compatibles(self):
        """list of classes: the schedulers that can be made from this one's config and take its place."""
        return [type(self)]

    def check_step(self, sample, **alike):
        """Refuse what a step would otherwise broadcast, or round, without a word.

        Args:
            sample: x_t.
            alike: what must have its shape, by name.
        Raises:
            ValueError: the sample is not floating point, or one of `alike` has another shape.
        """
        check_floating("sample", sample)
        for name, tensor in alike.items():
            check_alike(name, tensor, "sample", sample)


class DiscreteScheduler(Scheduler):
    """Base of the schedulers that visit some of the T timesteps that the network was trained on.

    Attributes:
        beta, alpha_bar: (T,) tables, in the default dtype at construction, but at least in float32.
        timesteps: (N,) int64, in the order of the network's calls.
    """

    # What diffusers offers and nothing published for these samplers needs.
    left_out = {"thresholding": False, "rescale_betas_zero_snr": False, "clip_sample_range": 1.0}

    def make_tables(self):
        """Fill `beta` and `alpha_bar`. Raises ValueError where the config's betas are no noise levels."""
        config = self.config
        check_whole("num_train_timesteps", config.num_train_timesteps)
        check_whole("steps_offset", config.steps_offset, least=0)
        check_one_of("timestep_spacing", config.timestep_spacing, SPACINGS)
        if config.trained_betas is not None:
            check_numbers("trained_betas", config.trained_betas)
            beta = torch.tensor(config.trained_betas, dtype=table_dtype())
            if beta.shape != (config.num_train_timesteps,):
                raise ValueError(
                    f"trained_betas has {beta.numel()} entries; allowed are num_train_timesteps={len(self)}"
                )
        else:
            check_numbers("beta_start and beta_end", (config.beta_start, config.beta_end))
            beta = beta_table(config.beta_schedule, config.num_train_timesteps, config.beta_start, config.beta_end)
        if not ((beta > 0) & (beta < 1)).all():
            raise ValueError(
                f"the betas reach from {beta.min():g} to {beta.max():g}; allowed are values between 0 and 1"
            )
        self.beta = beta

        # DDPM §2  \alpha_t = 1 - \beta_t
        alpha = 1 - beta

        # DDPM §2, shifted  \bar\alpha_t = \prod_{s=0}^t \alpha_s
        self.alpha_bar = torch.cumprod(alpha, dim=0)

        self.num_inference_steps = None
        self.timesteps = torch.arange(len(self) - 1, -1, -1)

    @property
    def compatibles(self):
        """list of classes: the schedulers that can be made from this one's config and take its place."""
        public = [getattr(minidiff, name) for name in minidiff.__all__ if name.endswith("Scheduler")]
        return [cls for cls in public if issubclass(cls, DiscreteScheduler)]

    @property
    def final_alpha_cumprod(self):
        r"""\bar\alpha after the last step, by its name in diffusers."""
        to_one = self.config.get("set_alpha_to_one", True)
        return torch.ones_like(self.alpha_bar[0]) if to_one else self.alpha_bar[0]

    @property
    def betas(self):
        """`beta`, by its name in diffusers; assigning it moves or replaces the table, as for `alphas_cumprod`."""
        return self.beta

    @betas.setter
    def betas(self, table):
        self.beta = table

    @property
    def alphas(self):
        """The share of a signal that each timestep keeps, by its name in diffusers."""
        # DDPM §2  \alpha_t = 1 - \beta_t
        alpha = 1 - self.beta
        return alpha

    @property
    def alphas_cumprod(self):
        """`alpha_bar`, by its name in diffusers."""
        return self.alpha_bar

    @alphas_cumprod.setter
    def alphas_cumprod(self, table):
        self.alpha_bar = table

    def spaced_timesteps(self, num_inference_steps):
        """N of the T timesteps, from noise to picture: an int64 array.

        Lin et al. 2023, arXiv:2305.08891, table 2. "leading" ends at the offset and misses the noisiest timesteps,
        "trailing" starts at T - 1, "linspace" has both ends.
        Raises:
            ValueError: `num_inference_steps` is no whole number from 1 to T, or the offset leads past the table.
        """
        N, T, offset = num_inference_steps, len(self), self.config.steps_offset
        check_whole("num_inference_steps", N, most=T)
        if self.config.timestep_spacing == "linspace":
            # Spacing Table 2, shifted  t_k = \mathrm{round}\left(\frac{(N - 1 - k) (T - 1)}{N - 1}\right)
            t = np.linspace(0, T - 1, N).round()[::-1]
        elif self.config.timestep_spacing == "leading":
            # Spacing Table 2, shifted  t_k = (N - 1 - k)\, \mathrm{floor}(T / N) + \mathrm{offset}
            t = np.arange(N)[::-1] * (T // N) + offset
        else:
            # Spacing Table 2, shifted  t_k = \mathrm{round}\left(T - k \frac{T}{N}\right) - 1
            t = np.round(np.arange(T, 0, -T / N))[:N] - 1  # rounding errors can add an entry at the end
        if t[0] >= T:
            raise ValueError(
                f"steps_offset={offset} moves the first of num_inference_steps={N} timesteps to {int(t[0])}, "
                f"past {T - 1}, the last"
            )
        return t.astype(np.int64)

    def set_timesteps(self, num_inference_steps=None, device=None, *, timesteps=None):
        """Choose the timesteps to visit.

        Args:
            num_inference_steps: N, how many, a whole number from 1 to T.
            device: where `timesteps` shall lie.
            timesteps: the timesteps themselves instead, whole numbers that fall.
        Raises:
            ValueError: see `spaced_timesteps` and above; nothing has changed then.
        """
        if timesteps is None:
            t = torch.from_numpy(self.spaced_timesteps(num_inference_steps))
        else:
            t = self.own_timesteps(timesteps, num_inference_steps)
        self.timesteps, self.num_inference_steps = t.to(device), len(t)

    def own_timesteps(self, timesteps, num_inference_steps):
        """A list of one's own as a tensor. Raises ValueError where it is none, or stands beside a number of steps."""
        if num_inference_steps is not None or self.config.get("step_to") == "ratio":
            raise ValueError(
                f"num_inference_steps is {num_inference_steps!r} and timesteps are given; allowed is one of them, with "
                "step_to='ratio' the former"
            )
        t = torch.as_tensor(timesteps)
        if t.ndim != 1 or not len(t) or not is_whole(t):
            raise ValueError(f"timesteps is {timesteps!r:.100}; allowed is a list of whole numbers")
        t = t.long()
        if t.min() < 0 or t.max() >= len(self) or (t.diff() >= 0).any():
            raise ValueError(
                f"timesteps is {brief(t)}; allowed are falling numbers from {len(self) - 1}, the last, to 0"
            )
        return t

    def target_of(self, timestep):
        """Where a step from `timestep` goes to: a timestep, as a plain number; -1 is the end, the picture itself.

        Raises:
            ValueError: `timestep` is no entry of `timesteps`, or more than one number.
        """
        t = one_time(timestep)
        place = (self.timesteps == t).nonzero().flatten().tolist()
        if not place:
            raise ValueError(f"timestep is {t:g}; allowed are the entries of timesteps, {brief(self.timesteps)}")
        return self.timesteps[place[0] + 1].item() if place[0] + 1 < len(self.timesteps) else -1

    def predict(self, model_output, x_t, alpha_bar_t):
        r"""What the network's output says of x_t, whatever it was trained to predict.

        Args:
            model_output: the output, shaped like x_t.
            x_t: a sample of noise level alpha_bar_t.
        Returns:
            (\hat x_0, \epsilon_\theta): the picture and the noise that x_t is made of.
        """
        if self.config.prediction_type == "epsilon":
            eps_theta = model_output
            # DDPM (15)  \hat x_0 = \frac{x_t - \sqrt{1 - \bar\alpha_t}\, \epsilon_\theta}{\sqrt{\bar\alpha_t}}
            x_0_hat = (x_t - (1 - alpha_bar_t) ** 0.5 * eps_theta) / alpha_bar_t**0.5
        elif self.config.prediction_type == "sample":
            x_0_hat = model_output
            # DDIM (4), rearranged  \epsilon_\theta
            #                       = \frac{x_t - \sqrt{\bar\alpha_t}\, \hat x_0}{\sqrt{1 - \bar\alpha_t}}
            eps_theta = (x_t - alpha_bar_t**0.5 * x_0_hat) / (1 - alpha_bar_t) ** 0.5
        else:
            v = model_output
            # PD §4  \hat x_0 = \sqrt{\bar\alpha_t}\, x_t - \sqrt{1 - \bar\alpha_t}\, v
            x_0_hat = alpha_bar_t**0.5 * x_t - (1 - alpha_bar_t) ** 0.5 * v
            # PD app. D  \epsilon_\theta = \sqrt{\bar\alpha_t}\, v + \sqrt{1 - \bar\alpha_t}\, x_t
            eps_theta = alpha_bar_t**0.5 * v + (1 - alpha_bar_t) ** 0.5 * x_t
        return x_0_hat, eps_theta

    def add_noise(self, original_samples, noise, timesteps):
        r"""The forward process: x_0 as it looks at time t.

        Args:
            original_samples: x_0, (B, ...).
            noise: \epsilon, standard normal, shaped like x_0.
            timesteps: t, (B,) whole numbers from 0 to T - 1.
        Returns:
            x_t, shaped like x_0.
        Raises:
            ValueError: x_0 is not floating point, or the noise has another shape; a timestep is out of range or no
                whole number, or there are neither one nor B.
        """
        x_0, eps, alpha_bar_t = original_samples, noise, self.alpha_bar_of_each(original_samples, noise, timesteps)

        # DDIM (4)  x_t = \sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, \epsilon
        x_t = alpha_bar_t**0.5 * x_0 + (1 - alpha_bar_t) ** 0.5 * eps
        return x_t.to(x_0.dtype)

    def get_velocity(self, sample, noise, timesteps):
        """v, what a network with prediction_type "v_prediction" is trained to predict; arguments as for `add_noise`."""
        x_0, eps, alpha_bar_t = sample, noise, self.alpha_bar_of_each(sample, noise, timesteps)

        # PD §4  v = \sqrt{\bar\alpha_t}\, \epsilon - \sqrt{1 - \bar\alpha_t}\, x_0
        v = alpha_bar_t**0.5 * eps - (1 - alpha_bar_t) ** 0.5 * x_0
        return v.to(x_0.dtype)

    def alpha_bar_of_each(self, x_0, eps, timesteps):
        r"""\bar\alpha_t of each sample, (B, 1, ...), in the table's dtype: 1 - \bar\alpha_t drowns in half precision.

        Raises:
            ValueError: see `add_noise`.
        """
        check_floating("the sample", x_0)
        check_alike("noise", eps, "the sample", x_0)
        t = torch.as_tensor(timesteps).to(self.alpha_bar.device)
        if not is_whole(t) or t.shape not in ((), (1,), (len(x_0),)):
            raise ValueError(
                f"timesteps is {t.dtype} of shape {tuple(t.shape)}; allowed are whole numbers, one or {len(x_0)}"
            )
        t = t.long()
        if not ((t >= 0) & (t < len(self))).all():
            raise ValueError(f"timesteps reach from {t.min()} to {t.max()}; allowed are 0 to {len(self) - 1}")
        return self.alpha_bar[t].to(x_0.device).reshape(-1, *[1] * (x_0.ndim - 1))


def scheduler_behind(config, kind, usual, keys):
    """The scheduler of a kind that `config`, as `from_config` takes it, is or describes; None if it is of another kind.

    Args:
        kind: a class.
        usual: the class that is meant where a config has one of `keys` and names no class that is known here.
    """
    if isinstance(config, kind):
        return config
    given = getattr(config, "config", config)
    if not isinstance(given, Mapping):
        return None
    name = str(given.get("_class_name"))
    named = Configurable._subclasses.get(name) or getattr(minidiff, name, None) or (keys & given.keys() and usual)
    return named.from_config(given) if isinstance(named, type) and issubclass(named, kind) else None


def check_numbers(argument, values):
    if not isinstance(values, tuple) or not all(isinstance(value, numbers.Real) for value in values):
        raise ValueError(f"{argument}: {values!r}; allowed are numbers")


def check_floating(argument, x):
    if not isinstance(x, torch.Tensor) or not x.is_floating_point():
        what = x.dtype if isinstance(x, torch.Tensor) else repr(x)[:100]
        raise ValueError(
            f"{argument} is {what}; allowed is a floating-point tensor: pictures of bytes become x.float() / 127.5 - 1"
        )


def check_alike(argument, tensor, other, x):
    if not isinstance(tensor, torch.Tensor) or tensor.shape != x.shape:
        what = f"of shape {tuple(tensor.shape)}" if isinstance(tensor, torch.Tensor) else repr(tensor)[:100]
        raise ValueError(f"{argument} is {what}; allowed is the shape of {other}, {tuple(x.shape)}")


def one_time(timestep):
    """float: the time of a step. Raises ValueError where there are several: all samples step at one time."""
    if isinstance(timestep, torch.Tensor) and timestep.numel() != 1:
        raise ValueError(f"timestep has the shape {tuple(timestep.shape)}; allowed is one time, for all samples alike")
    return float(timestep)


def is_whole(t):
    """bool: whether a tensor holds whole numbers, of whatever dtype; truth values are none."""
    return not (t.is_floating_point() or t.is_complex() or t.dtype == torch.bool)


def brief(t):
    """str: a table of timesteps, in a line even where it has a thousand."""
    return str(t.tolist()) if len(t) <= 20 else f"{len(t)} from {t[0]:g} to {t[-1]:g}"


def table_dtype():
    """torch.dtype of noise levels: in half precision those of a nearly clean picture would all be 1."""
    return torch.promote_types(torch.get_default_dtype(), torch.float32)


def beta_table(beta_schedule, T, beta_start, beta_end):
    r"""(T,) variances \beta_i of the noise that each timestep adds.

    Args:
        beta_schedule: "linear", Ho et al.; "scaled_linear", linear in the root, Rombach et al.;
            "squaredcos_cap_v2", Nichol & Dhariwal, which has no start and end.
    """
    check_one_of("beta_schedule", beta_schedule, BETA_SCHEDULES)
    if beta_schedule == "linear":
        # DDPM §4  \beta_i = \beta_{start} + \frac{i}{T - 1} (\beta_{end} - \beta_{start})
        beta = torch.linspace(beta_start, beta_end, T, dtype=table_dtype())
    elif beta_schedule == "scaled_linear":
        # Spacing Table 1  \beta_i = \left(\sqrt{\beta_{start}} \left(1 - \frac{i}{T - 1}\right)
        #                  + \sqrt{\beta_{end}}\, \frac{i}{T - 1}\right)^2
        beta = torch.linspace(beta_start**0.5, beta_end**0.5, T, dtype=table_dtype()) ** 2
    else:
        i, s = torch.arange(T + 1, dtype=torch.float64), 0.008
        # IDDPM (17)  f_i = \cos\left(\frac{i / T + s}{1 + s} \cdot \frac{\pi}{2}\right)^2
        f = torch.cos((i / T + s) / (1 + s) * math.pi / 2) ** 2
        # IDDPM §3.2, shifted  \beta_t = \min\left(1 - \frac{f_{t+1}}{f_t}, 0.999\right)
        beta = (1 - f[1:] / f[:-1]).clamp(max=0.999)
    return beta.to(table_dtype())
