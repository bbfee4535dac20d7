r"""DDPM: Denoising Diffusion Probabilistic Models. Ho, Jain & Abbeel, NeurIPS 2020, arXiv:2006.11239.

Noise is added to a picture in T small steps until nothing is left of it; each step is undone by a Gaussian whose
mean a network knows. If x_0 were known, that Gaussian would be q(x_{t-1} | x_t, x_0) of (6); the network's guess
takes the place of x_0.

Letters: t-1 stands for the next timestep kept, so that some may be skipped; \alpha_t and \beta_t are those of the
whole leap.
"""

from minidiff.config import check_one_of, configured
from minidiff.noise import randn_like
from minidiff.schedulers.base import DiscreteScheduler, SchedulerOutput


class DDPMScheduler(DiscreteScheduler):
    r"""Ancestral sampling, algorithm 2.

    Args:
        num_train_timesteps: T.
        beta_start, beta_end, beta_schedule: the noise that each timestep adds, see `beta_table`.
        trained_betas: the T betas themselves, instead.
        variance_type: "fixed_small", \sigma_t^2 = \tilde\beta_t, best if x_0 were a single picture; "fixed_large",
            \sigma_t^2 = \beta_t, best if it were noise (section 3.2).
        clip_sample: clip \hat x_0 to [-1, 1], the range of pictures, as the authors' code does, without a word of it
            in the paper.
        prediction_type: what the network predicts: "epsilon", "sample" or "v_prediction".
        timestep_spacing, steps_offset: which timesteps are kept, see `spaced_timesteps`.
    """

    @configured
    def __init__(
        self,
        num_train_timesteps=1000,
        beta_start=0.0001,
        beta_end=0.02,
        beta_schedule="linear",
        trained_betas=None,
        variance_type="fixed_small",
        clip_sample=True,
        prediction_type="epsilon",
        *,
        timestep_spacing="leading",
        steps_offset=0,
    ):
        check_one_of("variance_type", variance_type, ("fixed_small", "fixed_large"))
        check_one_of("prediction_type", prediction_type, ("epsilon", "sample", "v_prediction"))
        self.make_tables()

    def set_timesteps(self, num_inference_steps=None, device=None, timesteps=None):
        """As `DiscreteScheduler.set_timesteps`, whose `timesteps` may come third here, as in diffusers."""
        super().set_timesteps(num_inference_steps, device, timesteps=timesteps)

    def step(self, model_output, timestep, sample, generator=None, return_dict=True):
        r"""One step x_t -> x_{t-1}.

        Args:
            model_output: the network's output for (x_t, t), shaped like `sample`.
            timestep: an entry of `timesteps`.
            sample: x_t, any shape (B, ...).
            generator: for the noise z: None, one, or one a sample. The last step draws none, whatever its timestep:
                see the ledger, "DDPM last step".
        Returns:
            `SchedulerOutput`, or the tuple `(prev_sample, pred_original_sample)`.
        Raises:
            ValueError: `timestep` is no entry of `timesteps`, or `model_output` is not shaped like `sample`.
        """
        self.check_step(sample, model_output=model_output)
        x_t, t_prev, t = sample, self.target_of(timestep), int(timestep)
        alpha_bar_t = self.alpha_bar[t]
        alpha_bar_prev = self.alpha_bar[t_prev] if t_prev >= 0 else self.final_alpha_cumprod

        # DDPM §2, skipping  \alpha_t = \frac{\bar\alpha_t}{\bar\alpha_{t-1}}
        alpha_t = alpha_bar_t / alpha_bar_prev
        # DDPM §2, rearranged  \beta_t = 1 - \alpha_t
        beta_t = 1 - alpha_t

        x_0_hat, _ = self.predict(model_output, x_t, alpha_bar_t)
        if self.config.clip_sample:
            # DDPMcode  \hat x_0 \leftarrow \operatorname{clip}(\hat x_0, -1, 1)
            x_0_hat = x_0_hat.clamp(-1, 1)

        # DDPM (7)  \tilde\mu_t = \frac{\sqrt{\bar\alpha_{t-1}}\, \beta_t}{1 - \bar\alpha_t} \hat x_0
        #           + \frac{\sqrt{\alpha_t}\, (1 - \bar\alpha_{t-1})}{1 - \bar\alpha_t} x_t
        mu_tilde_t = (
            alpha_bar_prev**0.5 * beta_t / (1 - alpha_bar_t) * x_0_hat
            + alpha_t**0.5 * (1 - alpha_bar_prev) / (1 - alpha_bar_t) * x_t
        )

        if self.config.variance_type == "fixed_small":
            # DDPM (7)  \tilde\beta_t = \frac{1 - \bar\alpha_{t-1}}{1 - \bar\alpha_t} \beta_t
            beta_tilde_t = (1 - alpha_bar_prev) / (1 - alpha_bar_t) * beta_t
            # DDPM §3.2, squared  \sigma_t = \sqrt{\tilde\beta_t}
            sigma_t = beta_tilde_t**0.5
        else:
            # DDPM §3.2, squared  \sigma_t = \sqrt{\beta_t}
            sigma_t = beta_t**0.5

        # DDPM Alg. 2, line 3  z \sim \mathcal N(0, I)
        z = randn_like(x_t, generator) if t_prev >= 0 else 0

        # The paper prints the mean as (11), where the predicted x_0 can no longer be seen.
        # DDPM Alg. 2, line 4, rearranged  x_{t-1} = \tilde\mu_t + \sigma_t z
        x_prev = mu_tilde_t + sigma_t * z
        return SchedulerOutput(prev_sample=x_prev, pred_original_sample=x_0_hat).as_asked(return_dict)
