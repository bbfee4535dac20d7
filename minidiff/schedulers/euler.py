r"""Euler: Elucidating the Design Space of Diffusion-Based Generative Models. Karras, Aittala, Aila & Laine, NeurIPS
2022, arXiv:2206.00364, algorithm 1 without its second half; the same step as DDIM's at \eta = 0, its equation (13).

The ancestral form stands in no paper but in Katherine Crowson's k-diffusion: step a little too far down, then add the
noise that is missing. It is DDPM's step with \sigma_t^2 = \tilde\beta_t, written in noise levels.

Letters: x_i is the picture plus noise of standard deviation \sigma_i, EDM's t_i; \epsilon_\theta is EDM's slope d_i.
"""

from minidiff.config import check_one_of, configured
from minidiff.noise import randn_like
from minidiff.schedulers.base import SchedulerOutput
from minidiff.schedulers.sigmas import SigmaScheduler
from minidiff.signatures import leaving_out


class EulerDiscreteScheduler(SigmaScheduler):
    r"""Euler's method in \sigma: deterministic.

    Args:
        num_train_timesteps: T.
        beta_start, beta_end, beta_schedule, trained_betas: as in DDPMScheduler.
        prediction_type: what the network predicts: "epsilon", "sample" or "v_prediction".
        use_karras_sigmas: the levels of `SigmaScheduler.karras_sigmas`.
        timestep_spacing, steps_offset: which timesteps are kept, see `spaced_timesteps`.
    """

    left_out = SigmaScheduler.left_out | {
        "interpolation_type": "linear",
        "sigma_min": None,
        "sigma_max": None,
        "timestep_type": "discrete",
        "final_sigmas_type": "zero",
    }

    @configured
    def __init__(
        self,
        num_train_timesteps=1000,
        beta_start=0.0001,
        beta_end=0.02,
        beta_schedule="linear",
        trained_betas=None,
        prediction_type="epsilon",
        *,
        use_karras_sigmas=False,
        timestep_spacing="linspace",
        steps_offset=0,
    ):
        check_one_of("prediction_type", prediction_type, ("epsilon", "sample", "v_prediction"))
        self.make_tables()

    @leaving_out(sigmas=None)
    def set_timesteps(self, num_inference_steps=None, device=None, timesteps=None):
        """As `SigmaScheduler.set_timesteps`, whose `timesteps` may come third here, as in diffusers."""
        super().set_timesteps(num_inference_steps, device, timesteps=timesteps)

    @leaving_out(s_churn=0.0, s_tmin=0.0, s_tmax=float("inf"), s_noise=1.0)
    def step(self, model_output, timestep, sample, *, generator=None, return_dict=True):
        r"""One step x_i -> x_{i+1}.

        Args:
            model_output: the network's output for (scale_model_input(x_i, t), t), shaped like `sample`.
            timestep: an entry of `timesteps`.
            sample: x_i, any shape (B, ...).
            generator: not used: nothing is drawn.
        Returns:
            `SchedulerOutput`, or the tuple `(prev_sample, pred_original_sample)`.
        Raises:
            ValueError: `timestep` is no entry of `timesteps`, or `model_output` is not shaped like `sample`.
        """
        self.check_step(sample, model_output=model_output)
        x_i, i = sample, self.turn(timestep)
        sigma_i, sigma_next = self.sigma[i], self.sigma[i + 1]
        x_0_hat, eps_theta = self.believe(model_output, x_i, sigma_i)

        # DDIM (13)  x_{i+1} = x_i + (\sigma_{i+1} - \sigma_i) \epsilon_\theta
        x_next = x_i + (sigma_next - sigma_i) * eps_theta
        return SchedulerOutput(prev_sample=x_next, pred_original_sample=x_0_hat).as_asked(return_dict)


class EulerAncestralDiscreteScheduler(SigmaScheduler):
    """Euler's method with new noise at every step.

    Args:
        num_train_timesteps: T.
        beta_start, beta_end, beta_schedule, trained_betas: as in DDPMScheduler.
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
        prediction_type="epsilon",
        timestep_spacing="linspace",
        steps_offset=0,
    ):
        check_one_of("prediction_type", prediction_type, ("epsilon", "sample", "v_prediction"))
        self.make_tables()

    def step(self, model_output, timestep, sample, *, generator=None, return_dict=True):
        r"""One step x_i -> x_{i+1}.

        Args:
            model_output: the network's output for (scale_model_input(x_i, t), t), shaped like `sample`.
            timestep: an entry of `timesteps`.
            sample: x_i, any shape (B, ...).
            generator: for the noise z, drawn at every step, also the last, where it counts for nothing: None, one, or
                one a sample.
        Returns:
            `SchedulerOutput`, or the tuple `(prev_sample, pred_original_sample)`.
        Raises:
            ValueError: `timestep` is no entry of `timesteps`, or `model_output` is not shaped like `sample`.
        """
        self.check_step(sample, model_output=model_output)
        x_i, i = sample, self.turn(timestep)
        sigma_i, sigma_next = self.sigma[i], self.sigma[i + 1]
        x_0_hat, eps_theta = self.believe(model_output, x_i, sigma_i)

        # k-diffusion  \sigma_{up} = \sqrt{\frac{\sigma_{i+1}^2 (\sigma_i^2 - \sigma_{i+1}^2)}{\sigma_i^2}}
        sigma_up = (sigma_next**2 * (sigma_i**2 - sigma_next**2) / sigma_i**2) ** 0.5
        # k-diffusion  \sigma_{down} = \sqrt{\sigma_{i+1}^2 - \sigma_{up}^2}
        sigma_down = (sigma_next**2 - sigma_up**2) ** 0.5

        # k-diffusion  z \sim \mathcal N(0, I)
        z = randn_like(x_i, generator)

        # k-diffusion  x_{i+1} = x_i + (\sigma_{down} - \sigma_i) \epsilon_\theta + \sigma_{up} z
        x_next = x_i + (sigma_down - sigma_i) * eps_theta + sigma_up * z
        return SchedulerOutput(prev_sample=x_next, pred_original_sample=x_0_hat).as_asked(return_dict)
