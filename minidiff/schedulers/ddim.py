r"""DDIM: Denoising Diffusion Implicit Models. Song, Meng & Ermon, ICLR 2021, arXiv:2010.02502.

A DDPM is trained on the marginals q(x_t | x_0) alone, so every process with the same marginals can be run backwards
with the same network. DDIM picks one that may skip timesteps and, at \eta = 0, adds no noise: x_T alone decides the
picture.

Letters: the paper's \alpha_t is DDPM's \bar\alpha_t; this package writes \bar\alpha_t everywhere. t-1 stands for
the next timestep kept.
"""

from numbers import Real

from minidiff.config import check_one_of, configured
from minidiff.noise import randn_like
from minidiff.schedulers.base import DiscreteScheduler, SchedulerOutput


class DDIMScheduler(DiscreteScheduler):
    r"""Walks x_T back to x_0 along a subsequence of DDPM's timesteps.

    Args:
        num_train_timesteps: T.
        beta_start, beta_end, beta_schedule, trained_betas: as in DDPMScheduler.
        clip_sample: clip \hat x_0 to [-1, 1] before it is used. The code of Ho et al. clips, neither their paper nor
            Song et al. do: see the ledger, "DDIM clip".
        set_alpha_to_one: \bar\alpha after the last step is 1; otherwise that of timestep 0, as the CompVis
            checkpoints were sampled.
        steps_offset, timestep_spacing: which timesteps are kept, see `spaced_timesteps`.
        prediction_type: what the network predicts: "epsilon", "sample" or "v_prediction".
        step_to: "next", a step goes to the next timestep kept, as in the paper; "ratio", to t - T // N, as in
            diffusers, which is another one unless the spacing is "leading": see the ledger, "DDIM target".
    """

    @configured
    def __init__(
        self,
        num_train_timesteps=1000,
        beta_start=0.0001,
        beta_end=0.02,
        beta_schedule="linear",
        trained_betas=None,
        clip_sample=True,
        set_alpha_to_one=True,
        steps_offset=0,
        prediction_type="epsilon",
        *,
        timestep_spacing="leading",
        step_to="next",
    ):
        check_one_of("prediction_type", prediction_type, ("epsilon", "sample", "v_prediction"))
        check_one_of("step_to", step_to, ("next", "ratio"))
        self.make_tables()

    def alpha_bar_before(self, timestep):
        r"""\bar\alpha_{t-1}: the level that a step from `timestep` goes to.

        Raises:
            ValueError: `set_timesteps` was not called, or `timestep` is no entry of `timesteps`.
        """
        if self.num_inference_steps is None:
            raise ValueError(
                "set_timesteps(num_inference_steps) was not called: a DDIM step needs to know how far it goes"
            )
        t_prev = self.target_of(timestep)
        if self.config.step_to == "ratio":
            t_prev = int(timestep) - len(self) // self.num_inference_steps
        return self.alpha_bar[t_prev] if t_prev >= 0 else self.final_alpha_cumprod

    def step(
        self,
        model_output,
        timestep,
        sample,
        eta=0.0,
        use_clipped_model_output=False,
        generator=None,
        variance_noise=None,
        return_dict=True,
    ):
        r"""One step x_t -> x_{t-1}.

        Args:
            model_output: the network's output for (x_t, t), shaped like `sample`.
            timestep: an entry of `timesteps`.
            sample: x_t, any shape (B, ...).
            eta: 0 is deterministic, 1 has DDPM's variance. In [0, 1].
            use_clipped_model_output: where \hat x_0 was clipped, take the noise that belongs to it instead of the
                predicted one.
            generator: for the noise at eta > 0: None, one, or one a sample.
            variance_noise: that noise itself, shaped like `sample`, instead of a generator.
        Returns:
            `SchedulerOutput`, or the tuple `(prev_sample, pred_original_sample)`.
        Raises:
            ValueError: eta is outside [0, 1], both generator and variance_noise are given, `set_timesteps` was not
                called, `timestep` is no entry of `timesteps`, or a tensor is not shaped like `sample`.
        """
        self.check_step(sample, model_output=model_output)
        check_eta(eta)
        if generator is not None and variance_noise is not None:
            raise ValueError("generator and variance_noise are both given; allowed is one of them")
        if variance_noise is not None:
            self.check_step(sample, variance_noise=variance_noise)
        x_t = sample
        alpha_bar_prev, alpha_bar_t = self.alpha_bar_before(timestep), self.alpha_bar[int(timestep)]

        x_0_hat, eps_theta = self.predict(model_output, x_t, alpha_bar_t)
        if self.config.clip_sample:
            # DDPMcode  \hat x_0 \leftarrow \operatorname{clip}(\hat x_0, -1, 1)
            x_0_hat = x_0_hat.clamp(-1, 1)
        if use_clipped_model_output:
            # DDIM (4), rearranged  \epsilon_\theta
            #                       = \frac{x_t - \sqrt{\bar\alpha_t}\, \hat x_0}{\sqrt{1 - \bar\alpha_t}}
            eps_theta = (x_t - alpha_bar_t**0.5 * x_0_hat) / (1 - alpha_bar_t) ** 0.5

        # DDIM (16)  \sigma_t = \eta \sqrt{\frac{1 - \bar\alpha_{t-1}}{1 - \bar\alpha_t}}
        #            \sqrt{1 - \frac{\bar\alpha_t}{\bar\alpha_{t-1}}}
        sigma_t = eta * ((1 - alpha_bar_prev) / (1 - alpha_bar_t) * (1 - alpha_bar_t / alpha_bar_prev)) ** 0.5

        eps = 0
        if eta > 0:
            # DDIM (12)  \epsilon \sim \mathcal N(0, I)
            eps = randn_like(x_t, generator) if variance_noise is None else variance_noise

        # At eta = 1 rounding can push the difference under the second root below 0.
        # DDIM (12), guarded  x_{t-1} = \sqrt{\bar\alpha_{t-1}}\, \hat x_0
        #            + \sqrt{\max(1 - \bar\alpha_{t-1} - \sigma_t^2, 0)}\, \epsilon_\theta(x_t, t) + \sigma_t \epsilon
        x_prev = (
            alpha_bar_prev**0.5 * x_0_hat
            + (1 - alpha_bar_prev - sigma_t**2).clamp(min=0) ** 0.5 * eps_theta
            + sigma_t * eps
        )
        return SchedulerOutput(prev_sample=x_prev, pred_original_sample=x_0_hat).as_asked(return_dict)

    def inverse_step(self, model_output, timestep, sample, return_dict=True):
        r"""One step x_{t-1} -> x_t: the walk of \eta = 0 the other way, from a picture to its noise (section 4.3).

        The network is asked at (x_{t-1}, t), since x_t is what is looked for: small steps make the difference small.

        Args:
            model_output: the network's output for (x_{t-1}, t), shaped like `sample`.
            timestep: t, an entry of `timesteps`.
            sample: x_{t-1}, any shape (B, ...).
        Returns:
            `SchedulerOutput`, whose `prev_sample` is x_t; or the tuple `(prev_sample, pred_original_sample)`.
        Raises:
            ValueError: as `step`; also for the first step of a network that predicts pictures, if
                `set_alpha_to_one`: a clean picture says nothing of the noise.
        """
        self.check_step(sample, model_output=model_output)
        x_prev = sample
        alpha_bar_prev, alpha_bar_t = self.alpha_bar_before(timestep), self.alpha_bar[int(timestep)]
        if self.config.prediction_type == "sample" and alpha_bar_prev == 1:
            raise ValueError(
                "prediction_type 'sample' cannot be inverted from a clean picture: set set_alpha_to_one=False"
            )

        x_0_hat, eps_theta = self.predict(model_output, x_prev, alpha_bar_prev)
        if self.config.clip_sample:
            # DDPMcode  \hat x_0 \leftarrow \operatorname{clip}(\hat x_0, -1, 1)
            x_0_hat = x_0_hat.clamp(-1, 1)

        # DDIM (4)  x_t = \sqrt{\bar\alpha_t}\, \hat x_0 + \sqrt{1 - \bar\alpha_t}\, \epsilon_\theta
        x_t = alpha_bar_t**0.5 * x_0_hat + (1 - alpha_bar_t) ** 0.5 * eps_theta
        return SchedulerOutput(prev_sample=x_t, pred_original_sample=x_0_hat).as_asked(return_dict)


def check_eta(eta):
    if not isinstance(eta, Real) or not 0 <= eta <= 1:
        raise ValueError(f"eta is {eta!r}; allowed are numbers from 0 (deterministic) to 1 (DDPM's variance)")
