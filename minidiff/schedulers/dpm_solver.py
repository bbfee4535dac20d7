r"""DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models. Lu, Zhou, Bao, Chen, Li & Zhu,
2022, arXiv:2211.01095, algorithm 2 (2M).

In \lambda, half the logarithm of the signal-to-noise ratio, the part of the equation that is linear in x is solved
exactly; what is left is the network's picture, which is laid along a line through its last two guesses. The noise
would be laid along a line in other solvers, but with strong guidance the picture changes less.

Letters: x_i is DDPM's x_t, \alpha_i its \sqrt{\bar\alpha_t}; the paper's \sigma_t, the noise in x_t, is s_i here, for
\sigma_i is s_i / \alpha_i as in the other samplers along noise levels.
"""

import torch

from minidiff.config import check_one_of, check_whole, configured
from minidiff.schedulers.base import SchedulerOutput
from minidiff.schedulers.sigmas import SigmaScheduler
from minidiff.signatures import leaving_out


class DPMSolverMultistepScheduler(SigmaScheduler):
    r"""The second order multistep solver for guided sampling; its first and last step are of first order.

    Args:
        num_train_timesteps: T.
        beta_start, beta_end, beta_schedule, trained_betas: as in DDPMScheduler.
        prediction_type: what the network predicts: "epsilon", "sample" or "v_prediction".
        use_karras_sigmas: the levels of `SigmaScheduler.karras_sigmas`, between the table's own first and last.
        timestep_spacing, steps_offset: which timesteps are kept, see `spaced_timesteps`.
    """

    left_out = SigmaScheduler.left_out | {
        "solver_order": 2,
        "thresholding": False,
        "dynamic_thresholding_ratio": 0.995,
        "sample_max_value": 1.0,
        "algorithm_type": "dpmsolver++",
        "solver_type": "midpoint",
        "lower_order_final": (True, False),  # the last step, to a clean picture, is of first order in any case
        "euler_at_final": (False, True),
        "use_lu_lambdas": (False, None),
        "use_flow_sigmas": (False, None),
        "flow_shift": 1.0,
        "final_sigmas_type": "zero",
        "lambda_min_clipped": (-float("inf"), "-inf"),
        # Of a DDPM; this solver acts only on a variance that the network predicts.
        "variance_type": (None, "fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log"),
        "use_dynamic_shifting": False,
        "time_shift_type": "exponential",
    }
    whole_timesteps = True
    init_noise_sigma = 1.0

    @configured
    def __init__(
        self,
        num_train_timesteps=1000,
        beta_start=0.0001,
        beta_end=0.02,
        beta_schedule="linear",
        trained_betas=None,
        *,
        prediction_type="epsilon",
        use_karras_sigmas=False,
        timestep_spacing="linspace",
        steps_offset=0,
    ):
        check_one_of("prediction_type", prediction_type, ("epsilon", "sample", "v_prediction"))
        self.make_tables()

    def spaced_timesteps(self, num_inference_steps):
        """N whole timesteps; "linspace" and "leading" divide the way to timestep 0 into N steps, so that N < T."""
        if self.config.timestep_spacing == "trailing":
            return super(SigmaScheduler, self).spaced_timesteps(num_inference_steps)
        check_whole("num_inference_steps", num_inference_steps, most=len(self) - 1)
        return super(SigmaScheduler, self).spaced_timesteps(num_inference_steps + 1)[:-1]

    set_timesteps = leaving_out(mu=None)(SigmaScheduler.set_timesteps)

    def karras_sigmas(self, N, sigma_min, sigma_max):
        return super().karras_sigmas(N, self.sigma_of_timestep[0].item(), self.sigma_of_timestep[-1].item())

    def walk_along(self, t, sigma, device=None):
        super().walk_along(t.round(), sigma, device)

    def scale_model_input(self, sample, timestep=None):
        """What the network is shown: the sample as it is."""
        return sample

    @leaving_out(variance_noise=None)
    def step(self, model_output, timestep, sample, generator=None, *, return_dict=True):
        r"""One step x_i -> x_{i+1}.

        Args:
            model_output: the network's output for (x_i, t), shaped like `sample`.
            timestep: the entry of `timesteps` whose turn it is.
            sample: x_i, any shape (B, ...).
            generator: not used: nothing is drawn.
        Returns:
            `SchedulerOutput`, or the tuple `(prev_sample, pred_original_sample)`.
        Raises:
            ValueError: it is another timestep's turn, or `model_output` is not shaped like `sample`.
        """
        self.check_step(sample, model_output=model_output)
        x_i, i = sample, self.turn(timestep)
        (alpha_i, s_i), (alpha_next, s_next) = self.level(i), self.level(i + 1)
        x_0_hat, _ = self.believe(model_output, x_i / alpha_i, self.sigma[i])
        D, before, self.history = x_0_hat, self.history, [x_0_hat]
        if s_next == 0:  # the end of the walk, where the formula below has infinite h and leaves the picture
            return SchedulerOutput(prev_sample=D, pred_original_sample=x_0_hat).as_asked(return_dict)

        lamda_i, lamda_next = self.lamda(i), self.lamda(i + 1)
        # DPM-Solver++ Alg. 2  h_i = \lambda_{i+1} - \lambda_i
        h_i = lamda_next - lamda_i

        for x_0_hat_prime in before:
            lamda_prev = self.lamda(i - 1)
            # DPM-Solver++ Alg. 2  h_{i-1} = \lambda_i - \lambda_{i-1}
            h_prev = lamda_i - lamda_prev
            # DPM-Solver++ Alg. 2  r_i = \frac{h_{i-1}}{h_i}
            r_i = h_prev / h_i
            # DPM-Solver++ Alg. 2  D = \left(1 + \frac{1}{2 r_i}\right) \hat x_0 - \frac{1}{2 r_i} \hat x_0'
            D = (1 + 1 / (2 * r_i)) * x_0_hat - 1 / (2 * r_i) * x_0_hat_prime

        # DPM-Solver++ Alg. 2  x_{i+1} = \frac{s_{i+1}}{s_i} x_i - \alpha_{i+1} (\exp(-h_i) - 1)\, D
        x_next = s_next / s_i * x_i - alpha_next * (torch.exp(-h_i) - 1) * D
        return SchedulerOutput(prev_sample=x_next, pred_original_sample=x_0_hat).as_asked(return_dict)

    def level(self, i):
        r"""(\alpha_i, s_i): how much of the picture, and of the noise, is in the sample at call i."""
        sigma_i = self.sigma[i]
        # DPM-Solver++ §2  \alpha_i = \frac{1}{\sqrt{1 + \sigma_i^2}}
        alpha_i = 1 / (1 + sigma_i**2) ** 0.5
        # DPM-Solver++ §2  s_i = \alpha_i \sigma_i
        s_i = alpha_i * sigma_i
        return alpha_i, s_i

    def lamda(self, i):
        r"""\lambda_i: half the logarithm of the signal-to-noise ratio at call i."""
        alpha_i, s_i = self.level(i)
        # DPM-Solver++ §2  \lambda_i = \log\left(\frac{\alpha_i}{s_i}\right)
        lamda_i = torch.log(alpha_i / s_i)
        return lamda_i

    def add_noise(self, original_samples, noise, timesteps):
        r"""A picture as it looks at the noise level of a timestep; see `SigmaScheduler.add_noise`."""
        sigma_i = self.sigma_of_each(original_samples, noise, timesteps)
        x_i = super().add_noise(original_samples, noise, timesteps)
        # DDIM §4.3  x_t = \frac{x_i}{\sqrt{\sigma_i^2 + 1}}
        x_t = x_i / (sigma_i**2 + 1) ** 0.5
        return x_t.to(original_samples.dtype)
