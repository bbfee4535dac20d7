r"""Predictors and corrector for the variance preserving SDE, which is DDPM in continuous time.

Score-Based Generative Modeling through Stochastic Differential Equations. Song, Sohl-Dickstein, Kingma, Kumar, Ermon &
Poole, ICLR 2021, arXiv:2011.13456: the reverse SDE, step by step; or algorithms 3 and 5, where a step undoes one of
DDPM's and a corrector (Langevin dynamics) may follow.

Letters: \epsilon_\theta is the noise that the network predicts, s_\theta the score that it says, m and \sigma what is
left of x_0 and how much noise there is; the paper's \beta_{i+1} is \beta_i, the step's own. r is `snr`.
"""

import torch

from minidiff.config import check_one_of, check_whole, configured
from minidiff.noise import randn_like
from minidiff.schedulers.base import DiscreteScheduler, Scheduler, scheduler_behind, table_dtype
from minidiff.schedulers.ddpm import DDPMScheduler
from minidiff.schedulers.sde import (
    VPSDE,
    SdeOutput,
    check_number,
    check_sampling_eps,
    langevin,
    place_of,
    times_of_each,
)


class ScoreSdeVpScheduler(Scheduler):
    r"""Walks from standard normal noise at t = 1 to a picture in [-1, 1].

    Args:
        num_train_timesteps: T, for trained_on="table"; a network of continuous time has none.
        beta_min, beta_max: of the SDE, see `VPSDE`.
        sampling_eps: the time at which the walk ends that begins at 1; between 0 and 1.
        trained_on: what the network saw in training. "continuous": all times; it is told 999 t. "table": DDPM's T
            timesteps; it is told (T - 1) t, and its noise is that of the table, which near t = 0 is larger than the
            SDE's: see the ledger, "VP table".
        trained_betas: the T betas of the table; if None, T values from beta_min / T to beta_max / T.
        predictor: "euler_maruyama", of the reverse SDE; or "reverse_diffusion", of algorithm 3.
        correct_steps: how many corrector steps the pipeline makes at each time, 0 or more.
        snr: r, above 0.
    Attributes:
        sde: the VPSDE.
        timesteps: (N,) times from 1 to sampling_eps; None before `set_timesteps`.
    """

    @configured
    def __init__(
        self,
        num_train_timesteps=2000,
        beta_min=0.1,
        beta_max=20,
        sampling_eps=1e-3,
        *,
        trained_on="continuous",
        trained_betas=None,
        predictor="euler_maruyama",
        correct_steps=0,
        snr=0.16,
    ):
        check_whole("num_train_timesteps", num_train_timesteps, least=2)
        check_sampling_eps(sampling_eps)
        check_one_of("trained_on", trained_on, ("continuous", "table"))
        check_one_of("predictor", predictor, ("euler_maruyama", "reverse_diffusion"))
        check_whole("correct_steps", correct_steps, least=0)
        check_number("snr", snr, lambda r: r > 0, "numbers above 0")
        self.sde, self.timesteps = VPSDE(beta_min, beta_max), None
        if trained_betas is not None and trained_on != "table":
            raise ValueError(f"trained_betas are given with trained_on={trained_on!r}; allowed is trained_on='table'")
        if trained_on == "table":
            T = num_train_timesteps
            self.alpha_bar = DDPMScheduler(T, beta_min / T, beta_max / T, trained_betas=trained_betas).alpha_bar

    @classmethod
    def from_config(cls, config, **changes):
        r"""As for all schedulers; and from DDPM's or DDIM's, whose table of betas the network was trained on.

        Raises:
            ValueError: their betas are not linear in t, so that no VPSDE has them; or their network predicts something
                else than the noise.
        """
        discrete = scheduler_behind(config, DiscreteScheduler, DDPMScheduler, {"beta_start", "beta_schedule"})
        if discrete is None:
            return super().from_config(config, **changes)
        check_one_of("prediction_type", discrete.config.prediction_type, ("epsilon",))
        beta, T = discrete.beta, len(discrete)
        if not torch.allclose(beta, torch.linspace(beta[0], beta[-1], T, dtype=beta.dtype), rtol=1e-4):
            schedule = discrete.config.beta_schedule
            raise ValueError(
                f"the config's betas (beta_schedule={schedule!r}) are not linear; allowed are linear ones, as the SDE's"
            )
        beta_start, beta_end = discrete.config.beta_start, discrete.config.beta_end
        table = {"num_train_timesteps": T, "trained_on": "table"}
        if discrete.config.trained_betas is not None:
            beta_start, beta_end, table["trained_betas"] = beta[0].item(), beta[-1].item(), beta
        # SDE app. B  \beta_{min} = T \beta_{start},\quad \beta_{max} = T \beta_{end}
        beta_min, beta_max = T * beta_start, T * beta_end
        return cls(**table | {"beta_min": beta_min, "beta_max": beta_max} | changes)

    def set_timesteps(self, num_inference_steps, device=None):
        """Choose the times to visit.

        Args:
            num_inference_steps: N, a whole number from 1 on; above beta_max for algorithm 3 and for the corrector,
                whose betas, about beta_max / N at first, have to be below 1.
            device: where `timesteps` shall lie.
        Raises:
            ValueError: N is out of range; nothing has changed then.
        """
        N, eps, beta_max = num_inference_steps, self.config.sampling_eps, self.sde.beta_max
        check_whole("num_inference_steps", N)
        if N <= beta_max and (self.config.predictor == "reverse_diffusion" or self.config.correct_steps):
            raise ValueError(
                f"num_inference_steps is {N}; allowed are more than beta_max={beta_max:g} with the predictor of "
                "algorithm 3 or with corrector steps"
            )
        # SDEcode, guarded  t_k = 1 - \frac{k}{\max(N - 1, 1)} (1 - \epsilon)
        t = torch.linspace(1, eps, N, dtype=table_dtype(), device=device)
        self.timesteps = t

    def label(self, timestep):
        """What the network is told at a time: a place in the table it was trained on, or between two, or 0 to 999."""
        t, T = timestep, self.config.num_train_timesteps if self.config.trained_on == "table" else 1000
        # SDEcode  \mathrm{label} = t (T - 1)
        label = t * (T - 1)
        return label

    def levels(self, timestep):
        r"""(m, \sigma) at a time, as the network knew them: how much of x_0 is left, and how much noise there is."""
        t = torch.as_tensor(timestep)
        if self.config.trained_on == "continuous":
            return self.sde.m(t), self.sde.sigma(t)
        alpha_bar_t = self.alpha_bar.to(t.device)[self.label(t).round().long()]
        # DDIM (4)  m = \sqrt{\bar\alpha_t},\quad \sigma = \sqrt{1 - \bar\alpha_t}
        m, sigma = alpha_bar_t**0.5, (1 - alpha_bar_t) ** 0.5
        return m, sigma

    def step(self, model_output, timestep, sample, generator=None, return_dict=True):
        r"""The predictor: a step from t_k to t_{k+1}.

        Args:
            model_output: \epsilon_\theta, shaped like `sample`.
            timestep: t, an entry of `timesteps`.
            sample: x, any shape (B, ...).
            generator: for the noise z: None, one, or one a sample.
        Returns:
            `SdeOutput`, or the tuple `(prev_sample, prev_sample_mean)`.
        Raises:
            ValueError: `timestep` is no entry of `timesteps`, or `model_output` is not shaped like `sample`.
        """
        x, eps_theta, (t, N) = sample, model_output, self.visited(timestep, sample, model_output)
        m, sigma = self.levels(t)

        # SDE (29), rearranged  \hat x_0 = \frac{x - \sigma \epsilon_\theta}{m}
        x_0_hat = (x - sigma * eps_theta) / m

        # SDE (29), rearranged  s_\theta = -\frac{\epsilon_\theta}{\sigma}
        s_theta = -eps_theta / sigma
        # SDE Alg. 3, line 4  z \sim \mathcal N(0, I)
        z = randn_like(x, generator)

        if self.config.predictor == "euler_maruyama":
            drift, g = self.sde.reverse(x, t, s_theta), self.sde.g(t)
            # SDEcode  x_{mean} = x - \frac{\mathrm{drift}}{N}
            x_mean = x - drift / N
            # SDEcode  x_{prev} = x_{mean} + g \sqrt{\frac{1}{N}}\, z
            x_prev = x_mean + g * (1 / N) ** 0.5 * z
        else:
            beta_i = self.beta_of(t, N)
            # SDE Alg. 3, line 3, shifted  x_{mean} = (2 - \sqrt{1 - \beta_i}) x + \beta_i s_\theta
            x_mean = (2 - (1 - beta_i) ** 0.5) * x + beta_i * s_theta
            # SDE Alg. 3, line 5, shifted  x_{prev} = x_{mean} + \sqrt{\beta_i}\, z
            x_prev = x_mean + beta_i**0.5 * z
        made = (made.to(sample.dtype) for made in (x_prev, x_mean, x_0_hat))
        return SdeOutput(*made).as_asked(return_dict)

    def step_pred(self, score, x, t, generator=None):
        """`step` with the arguments that diffusers gives it; `score` is the network's output as it is.

        Returns:
            `(x, x_mean)`: the sample at the next time, and the same without the noise that the step adds.
        """
        return self.step(score, t, x, generator, return_dict=False)

    def step_correct(self, model_output, x, t, generator=None):
        r"""The corrector: a step of `langevin` dynamics at time t. Arguments as for `step_pred`.

        Returns:
            x at the same time, shaped like x.
        """
        sample, (t, N) = x, self.visited(t, x, model_output)
        _, sigma = self.levels(t)
        eps_theta, beta_i = model_output.to(sigma.dtype), self.beta_of(t, N)

        # SDE (29), rearranged  s_\theta = -\frac{\epsilon_\theta}{\sigma}
        s_theta = -eps_theta / sigma
        # SDEcode  \alpha_i = 1 - \beta_i
        alpha_i = 1 - beta_i

        x = langevin(sample, s_theta, self.config.snr, alpha_i, generator)
        return x.to(sample.dtype)

    def visited(self, timestep, sample, model_output):
        """(t, N): the time as an entry of `timesteps`, and how many there are.

        Raises:
            ValueError: see `step`; or `set_timesteps` was not called.
        """
        self.check_step(sample, model_output=model_output)
        if self.timesteps is None:
            raise ValueError("set_timesteps(num_inference_steps) was not called: a step needs to know how far it goes")
        return self.timesteps[place_of(timestep, self.timesteps)], len(self.timesteps)

    def beta_of(self, t, N):
        r"""\beta_i, the variance that DDPM's step there has, if it has N."""
        beta = self.sde.beta(t)
        # SDE app. B, rearranged  \beta_i = \frac{\beta}{N}
        beta_i = beta / N
        return beta_i

    def add_noise(self, original_samples, noise, timesteps):
        r"""The forward process: x_0 as it looks at time t.

        Args:
            original_samples: x_0, (B, ...), in [-1, 1].
            noise: z, standard normal, shaped like x_0.
            timesteps: one, or (B,): times in [0, 1]; or whole numbers, places in the table it was trained on.
        Returns:
            x_t, shaped like x_0.
        Raises:
            ValueError: as for `ScoreSdeVeScheduler.add_noise`.
        """
        x_0, z = original_samples, noise
        T = self.config.num_train_timesteps if self.config.trained_on == "table" else 0
        t = times_of_each(x_0, z, timesteps, places=T)
        m, sigma = (level.to(x_0.device) for level in self.levels(t if t.is_floating_point() else t / (T - 1)))

        # SDE (29)  x_t = m x_0 + \sigma z
        x_t = m * x_0 + sigma * z
        return x_t.to(x_0.dtype)
