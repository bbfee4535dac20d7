r"""IPNDM, the sampler of Dance Diffusion: PNDM's linear multistep method on a cosine schedule, in continuous time.

Evans, Harmonai, 2022, https://github.com/Harmonai-org/sample-generator, with the sampler ("improved PLMS") of Crowson's
v-diffusion, 2021, https://github.com/crowsonkb/v-diffusion-pytorch; there is no paper. The network predicts the
velocity of Progressive Distillation (Salimans & Ho, ICLR 2022, arXiv:2202.00512), which says what the noise is and what
the sound at every time, pure noise too. The noises are combined as in Pseudo Numerical Methods for Diffusion Models on
Manifolds (Liu, Ren, Lin & Zhao, ICLR 2022, arXiv:2202.09778), but no first step is taken twice: the order grows from 1
to 4 as the history does.

Letters: \alpha and \sigma are those of Salimans & Ho, the shares of sound and noise in x_t = \alpha_t x_0 + \sigma_t
\epsilon, so that \alpha_t^2 is DDPM's \bar\alpha_t. t is from 0, sound, to 1, noise.
"""

import math

import torch

from minidiff.config import check_one_of, check_whole, configured
from minidiff.schedulers.base import Scheduler, brief, check_alike, check_floating, one_time, table_dtype
from minidiff.schedulers.pndm import PNDMScheduler, PNDMSchedulerOutput


class IPNDMScheduler(Scheduler):
    r"""Walks from noise at t = 1 to sound at t = 0, one call of the network a step.

    Args:
        num_train_timesteps: how many steps there are where nobody says; the network was trained on all times.
        first_step: which sound the first step believes in. From pure noise, t = 1, it is \hat x_0 = -v, "exact";
            "diffusers" divides 0 by 10^-8 there and believes in silence: see the ledger, "IPNDM first step".

    Attributes:
        timesteps: (N,) the times of the network's calls, falling from 1.
        alpha, sigma: (N + 1,) the levels there, and at the end.
    """

    left_out = {"trained_betas": None}
    takes_first_step_twice = False
    multistep = PNDMScheduler.multistep

    @configured
    def __init__(self, num_train_timesteps=1000, *, first_step="exact"):
        check_whole("num_train_timesteps", num_train_timesteps)
        check_one_of("first_step", first_step, ("exact", "diffusers"))
        self.set_timesteps(num_train_timesteps)

    @property
    def betas(self):
        """`sigma`, by its name in diffusers."""
        return self.sigma

    @property
    def alphas(self):
        """`alpha`, by its name in diffusers."""
        return self.alpha

    def set_timesteps(self, num_inference_steps, device=None):
        r"""Choose the times to visit and forget what was predicted before.

        They are those of `crash_schedule`, in N equal steps of u.

        Args:
            num_inference_steps: N, a whole number from 1 on.
            device: where `timesteps` shall lie.
        Raises:
            ValueError: N is none; nothing has changed then.
        """
        N = num_inference_steps
        check_whole("num_inference_steps", N)
        t, self.alpha, self.sigma = crash_schedule(torch.linspace(1, 0, N + 1, dtype=table_dtype()))
        self.timesteps = t[:-1].to(device)
        self.num_inference_steps = N
        self.eps = []  # predicted noises, newest first: eps_t, eps_next, ...
        self.following = None  # which call comes next; the first may be any

    def step(self, model_output, timestep, sample, return_dict=True):
        r"""One step x_t -> x_{t-\delta}, to the next of `timesteps`, the last one to sound.

        Args:
            model_output: v, the network's output for (sample, timestep), shaped like `sample`.
            timestep: the entry of `timesteps` whose turn it is; a walk may begin at any.
            sample: x_t, any shape (B, ...).
        Returns:
            `PNDMSchedulerOutput`, or the tuple `(prev_sample,)`.
        Raises:
            ValueError: it is another timestep's turn, all are used up, or `model_output` is not shaped like `sample`.
        """
        self.check_step(sample, model_output=model_output)
        i = self.place_of(timestep)
        x_t, v = sample, model_output
        alpha_t, sigma_t, alpha_prev, sigma_prev = self.alpha[i], self.sigma[i], self.alpha[i + 1], self.sigma[i + 1]

        # PD app. D  \epsilon_t = \sigma_t x_t + \alpha_t v
        eps_t = sigma_t * x_t + alpha_t * v

        eps_prime = self.multistep(eps_t, x_t)
        if len(self.eps) == 1 and self.config.first_step == "exact":  # below it would be the same, but for 0/0 at t = 1
            # PD §4  \hat x_0 = \alpha_t x_t - \sigma_t v
            x_0_hat = alpha_t * x_t - sigma_t * v
        else:
            # v-diffusion, guarded  \hat x_0 = \frac{x_t - \sigma_t \epsilon'}{\max(\alpha_t, 10^{-8})}
            x_0_hat = (x_t - sigma_t * eps_prime) / alpha_t.clamp(min=1e-8)

        # v-diffusion  x_{t-\delta} = \alpha_{t-\delta} \hat x_0 + \sigma_{t-\delta} \epsilon'
        x_prev = alpha_prev * x_0_hat + sigma_prev * eps_prime
        self.following = i + 1
        return PNDMSchedulerOutput(prev_sample=x_prev, pred_original_sample=x_0_hat).as_asked(return_dict)

    def place_of(self, timestep):
        """Which of `timesteps` it is."""
        t, times = one_time(timestep), self.timesteps
        if self.following == len(times):
            raise ValueError(f"all {len(times)} steps are taken: set_timesteps starts anew")
        if self.following is not None:
            if t != times[self.following].item():
                raise ValueError(
                    f"timestep is {t:g}; allowed is {times[self.following]:g}, entry {self.following} of timesteps, now"
                )
            return self.following
        if not (found := (times == t).nonzero().flatten().tolist()):
            raise ValueError(f"timestep is {t:g}; allowed are the entries of timesteps, {brief(times)}")
        return found[0]

    def add_noise(self, original_samples, noise, timesteps):
        r"""The forward process: x_0 as it sounds at time t.

        Args:
            original_samples: x_0, (B, ...).
            noise: \epsilon, standard normal, shaped like x_0.
            timesteps: t, (B,) times from 0 to 1, or one.
        Returns:
            x_t, shaped like x_0.
        Raises:
            ValueError: a time is out of range, there are neither one nor B, x_0 is not floating point, or the noise has
                another shape.
        """
        x_0, eps = original_samples, noise
        alpha_t, sigma_t = self.levels(x_0, eps, timesteps)

        # PD app. D  x_t = \alpha_t x_0 + \sigma_t \epsilon
        x_t = alpha_t * x_0 + sigma_t * eps
        return x_t.to(x_0.dtype)

    def get_velocity(self, sample, noise, timesteps):
        r"""What the network is trained to predict: dx_t by the angle \phi_t at which x_0 turns into noise.

        Args:
            sample: x_0, (B, ...).
            noise, timesteps: as for `add_noise`.
        Returns:
            v, shaped like x_0.
        """
        x_0, eps = sample, noise
        alpha_t, sigma_t = self.levels(x_0, eps, timesteps)

        # PD §4  v = \alpha_t \epsilon - \sigma_t x_0
        v = alpha_t * eps - sigma_t * x_0
        return v.to(x_0.dtype)

    def levels(self, x_0, eps, timesteps):
        r"""(\alpha_t, \sigma_t) of each sample, (B, 1, ...): IDDPM's cosine schedule, (17), with s = 0."""
        check_floating("the sample", x_0)
        check_alike("noise", eps, "the sample", x_0)
        t = torch.as_tensor(timesteps, device=x_0.device).to(self.sigma.dtype)
        if t.shape not in ((), (1,), (len(x_0),)):
            raise ValueError(f"timesteps has the shape {tuple(t.shape)}; allowed is one time, or {len(x_0)}")
        if not ((t >= 0) & (t <= 1)).all():
            raise ValueError(f"timesteps reach from {t.min():g} to {t.max():g}; allowed are times from 0 to 1")
        t = t.reshape(-1, *[1] * (x_0.ndim - 1))  # (B, 1, ...)

        # DanceDiffusion  \phi_t = \frac{\pi}{2} t
        phi_t = math.pi / 2 * t

        # PD app. D  \alpha_t = \cos(\phi_t) \quad \sigma_t = \sin(\phi_t)
        alpha_t, sigma_t = torch.cos(phi_t), torch.sin(phi_t)
        return alpha_t, sigma_t


def crash_schedule(u):
    r"""The times that Dance Diffusion is trained at and walks along: equal steps of u become small ones near sound.

    Args:
        u: from 0, sound, to 1, noise.
    Returns:
        (t, \alpha, \sigma), each shaped like u.
    """
    # DanceDiffusion  \sigma = \sin\left(\frac{\pi}{2} u\right)^2
    sigma = torch.sin(u * math.pi / 2) ** 2

    # DanceDiffusion  \alpha = \sqrt{1 - \sigma^2}
    alpha = (1 - sigma**2) ** 0.5

    # DanceDiffusion  t = \frac{2}{\pi} \mathrm{atan2}(\sigma, \alpha)
    t = torch.atan2(sigma, alpha) / math.pi * 2
    return t, alpha, sigma
