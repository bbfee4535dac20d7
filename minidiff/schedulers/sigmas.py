r"""What LMS, Euler, Heun and DPM-Solver++ share: noise levels \sigma, which need not be those of whole timesteps.

Denoising Diffusion Implicit Models. Song, Meng & Ermon, ICLR 2021, arXiv:2010.02502, section 4.3: x_t divided by
\sqrt{\bar\alpha_t} is the picture plus noise of standard deviation \sigma_t, and follows the differential equation
d\bar x = \epsilon_\theta d\sigma. These samplers are ways to solve it.

Letters: i counts the network's calls, from noise to picture, so \sigma_i falls; x_i is the paper's \bar x where nothing
else is said, x_0 + \sigma_i \epsilon.
"""

import numpy as np
import torch

from minidiff.schedulers.base import DiscreteScheduler, brief, check_alike, check_floating, one_time

RHO = 7  # EDM, table 1


class SigmaScheduler(DiscreteScheduler):
    r"""Base of the samplers that walk along noise levels.

    Attributes:
        timesteps: (N,) float32, what the network is told at each call.
        sigma: (N + 1,) the noise level of each call, and at the end 0; whole also where steps are skipped. `sigmas` is
            its other name.
    """

    left_out = {
        "rescale_betas_zero_snr": False,
        "use_beta_sigmas": (False, None),
        "use_exponential_sigmas": (False, None),
    }
    whole_timesteps = False  # DPM-Solver++ has them

    def make_tables(self):
        super().make_tables()
        self.walk_along(np.arange(len(self))[::-1], self.sigma_of_timestep.flip(0).double().numpy())

    @property
    def sigma_of_timestep(self):
        r"""(T,), on the CPU: the noise levels of `alpha_bar`, rising; `set_timesteps` chooses among them."""
        alpha_bar = self.alpha_bar.cpu()
        # DDIM §4.3  \sigma = \sqrt{\frac{1 - \bar\alpha}{\bar\alpha}}
        sigma = ((1 - alpha_bar) / alpha_bar) ** 0.5
        return sigma

    @property
    def sigmas(self):
        """`sigma`, by its name in diffusers."""
        return self.sigma

    @property
    def init_noise_sigma(self):
        r"""The standard deviation of the first sample: \sigma_0; where the walk leaves out the noisiest timesteps
        ("leading"), that of a picture of variance 1 and the noise together, as diffusers has it.
        """
        sigma_max = self.sigma[0]
        if self.config.timestep_spacing != "leading":
            return sigma_max
        # diffusers  s = \sqrt{\sigma_{max}^2 + 1}
        s = (sigma_max**2 + 1) ** 0.5
        return s

    def spaced_timesteps(self, num_inference_steps):
        """As `DiscreteScheduler.spaced_timesteps`, but "linspace" is not rounded."""
        t = super().spaced_timesteps(num_inference_steps)
        if self.config.timestep_spacing != "linspace":
            return t
        N, T = num_inference_steps, len(self)
        # k-diffusion  t_k = \frac{(N - 1 - k) (T - 1)}{N - 1}
        t = np.linspace(0, T - 1, N)[::-1]
        return t

    def set_timesteps(self, num_inference_steps=None, device=None, *, timesteps=None):
        """Choose the noise levels to visit, and forget what the network said before.

        Args:
            num_inference_steps: N, how many, a whole number from 1 to T.
            device: where `timesteps` shall lie.
            timesteps: the timesteps themselves instead, numbers that fall.
        Raises:
            ValueError: see `spaced_timesteps` and above; nothing has changed then.
        """
        if timesteps is None:
            t = self.spaced_timesteps(num_inference_steps)
        else:
            t = self.own_timesteps(timesteps, num_inference_steps)
        table = self.sigma_of_timestep.double().numpy()
        sigma = np.interp(t, np.arange(len(table)), table)
        if self.config.get("use_karras_sigmas"):
            sigma = self.karras_sigmas(len(t), sigma[-1], sigma[0])
            t = np.interp(np.log(sigma), np.log(table), np.arange(len(table)))
        self.walk_along(t, sigma, device)
        self.num_inference_steps = len(t)

    def own_timesteps(self, timesteps, num_inference_steps):
        """A list of one's own as an array. Raises ValueError where it is none, or something else chooses them too."""
        if num_inference_steps is not None or self.config.get("use_karras_sigmas"):
            raise ValueError(
                f"timesteps are given, num_inference_steps is {num_inference_steps!r} and use_karras_sigmas "
                f"{self.config.get('use_karras_sigmas')!r}; allowed is one way to choose them"
            )
        t = torch.as_tensor(timesteps, dtype=torch.float64).numpy()
        whole = not self.whole_timesteps or not (t % 1).any()
        falling = t.ndim == 1 and len(t) and (np.diff(t) < 0).all()  # NaN is not < anything
        if not whole or not falling or not 0 <= t[-1] <= t[0] <= len(self) - 1:
            kind = "whole numbers" if self.whole_timesteps else "numbers"
            raise ValueError(
                f"timesteps is {timesteps!r:.100}; allowed are falling {kind} from {len(self) - 1}, the last, to 0"
            )
        return t

    def karras_sigmas(self, N, sigma_min, sigma_max):
        """N levels from `sigma_max` to `sigma_min`, most of them near the picture."""
        i, rho = np.arange(N), RHO
        # EDM (5), guarded  \sigma_i = \left(\sigma_{max}^{\frac{1}{\rho}} + \frac{i}{\max(N - 1, 1)} \left(
        #          \sigma_{min}^{\frac{1}{\rho}} - \sigma_{max}^{\frac{1}{\rho}}\right)\right)^\rho
        sigma_i = (
            sigma_max ** (1 / rho) + i / max(N - 1, 1) * (sigma_min ** (1 / rho) - sigma_max ** (1 / rho))
        ) ** rho
        return sigma_i

    def walk_along(self, t, sigma, device=None):
        """Make `timesteps` and `sigma` of arrays (N,), one entry for each step; begin anew."""
        dtype = torch.int64 if self.whole_timesteps else torch.float32
        self.timesteps = torch.from_numpy(np.array(t)).to(device, dtype)
        self.sigma = torch.tensor([*sigma, 0.0], dtype=self.alpha_bar.dtype)
        self.place = self.skipped = 0  # the call whose turn it is; how many are left out at the beginning
        self.history = []  # what a later step needs of earlier calls, the newest first

    def skip_steps(self, steps):
        super().skip_steps(steps)
        self.place = self.skipped = steps * self.order

    def place_of(self, timestep):
        """Which call `timestep` is: that whose turn it is, or else the last of that time, where a step begins.

        Raises:
            ValueError: `timestep` is no entry of `timesteps`, or more than one number.
        """
        t = float(np.float32(one_time(timestep)))  # as they are kept, whatever was computed with
        found = [i for i, kept in enumerate(self.timesteps.tolist(), start=self.skipped) if kept == t]
        if not found:
            raise ValueError(f"timestep is {t:g}; allowed are the entries of timesteps, {brief(self.timesteps)}")
        return self.place if self.place in found else found[-1]

    def turn(self, timestep):
        """As `place_of`, for a step, which remembers its place.

        Raises:
            ValueError: it is another timestep's turn, and what the network said at earlier ones is remembered.
        """
        i = self.place_of(timestep)
        if self.history and i != self.place:
            due = self.timesteps[self.place - self.skipped :].tolist()
            if not due:
                raise ValueError(f"all {len(self.timesteps)} calls are made: set_timesteps starts anew")
            raise ValueError(
                f"timestep is {float(timestep):g}; allowed is now {due[0]:g}, since the network's last outputs are used"
            )
        self.place = i + 1
        return i

    def scale_model_input(self, sample, timestep):
        r"""What the network is shown at `timestep`: the sample with the standard deviation that it was trained on.

        Args:
            sample: x_i, (B, ...).
            timestep: an entry of `timesteps`.
        """
        x_i, sigma_i = sample, self.sigma[self.place_of(timestep)]
        # DDIM §4.3  x_t = \frac{x_i}{\sqrt{\sigma_i^2 + 1}}
        x_t = x_i / (sigma_i**2 + 1) ** 0.5
        return x_t

    def believe(self, model_output, x_i, sigma_i):
        r"""What the network's output says of x_i, whatever it was trained to predict.

        Returns:
            (\hat x_0, \epsilon_\theta): the picture and the noise that x_i is made of. The noise is the slope
            dx / d\sigma of the equation, which EDM and k-diffusion write as d_i = (x_i - \hat x_0) / \sigma_i.
        """
        if self.config.prediction_type == "epsilon":
            eps_theta = model_output
            # EDM Alg. 1, line 4, rearranged  \hat x_0 = x_i - \sigma_i \epsilon_\theta
            x_0_hat = x_i - sigma_i * eps_theta
        elif self.config.prediction_type == "sample":
            x_0_hat = model_output
            # EDM Alg. 1, line 4  \epsilon_\theta = \frac{x_i - \hat x_0}{\sigma_i}
            eps_theta = (x_i - x_0_hat) / sigma_i
        else:
            v = model_output
            # PD §4, rearranged  \hat x_0 = \frac{x_i}{\sigma_i^2 + 1} - \frac{\sigma_i}{\sqrt{\sigma_i^2 + 1}} v
            x_0_hat = x_i / (sigma_i**2 + 1) - sigma_i / (sigma_i**2 + 1) ** 0.5 * v
            # PD app. D, rearranged  \epsilon_\theta = \frac{\sigma_i}{\sigma_i^2 + 1} x_i
            #            + \frac{v}{\sqrt{\sigma_i^2 + 1}}
            eps_theta = sigma_i / (sigma_i**2 + 1) * x_i + v / (sigma_i**2 + 1) ** 0.5
        return x_0_hat, eps_theta

    def add_noise(self, original_samples, noise, timesteps):
        r"""A picture as it looks at the noise level of a timestep.

        Args:
            original_samples: x_0, (B, ...).
            noise: \epsilon, standard normal, shaped like x_0.
            timesteps: entries of `timesteps`, one or (B,).
        Returns:
            x_i, shaped like x_0.
        Raises:
            ValueError: x_0 is not floating point, or the noise has another shape; a timestep is no entry of
                `timesteps`, or there are neither one nor B.
        """
        x_0, eps, sigma_i = original_samples, noise, self.sigma_of_each(original_samples, noise, timesteps)
        # EDM §2  x_i = x_0 + \sigma_i \epsilon
        x_i = x_0 + sigma_i * eps
        return x_i.to(x_0.dtype)

    def sigma_of_each(self, x_0, eps, timesteps):
        """The noise level of each sample, (B, 1, ...), in the table's dtype. Raises ValueError: see `add_noise`."""
        check_floating("the sample", x_0)
        check_alike("noise", eps, "the sample", x_0)
        times = torch.as_tensor(timesteps)
        if times.shape not in ((), (1,), (len(x_0),)):
            raise ValueError(f"timesteps has the shape {tuple(times.shape)}; allowed are one or {len(x_0)}")
        sigma = self.sigma[[self.place_of(t) for t in times.flatten()]]
        return sigma.to(x_0.device).reshape(-1, *[1] * (x_0.ndim - 1))
