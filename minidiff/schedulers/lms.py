r"""LMS: the linear multistep sampler of Katherine Crowson's k-diffusion, 2022, which has no paper.

The differential equation dx = \epsilon_\theta d\sigma is solved by the classical method of Adams and Bashforth (Hairer,
Nørsett & Wanner, Solving Ordinary Differential Equations I, section III.1): a polynomial is laid through the last
slopes and integrated to the next noise level. Levels are not evenly spaced, so that the coefficients differ from step
to step.

Letters: d_i is the slope at level \sigma_i, the noise that the network predicts there.
"""

import math

from minidiff.config import check_one_of, check_whole, configured
from minidiff.schedulers.base import SchedulerOutput
from minidiff.schedulers.sigmas import SigmaScheduler


class LMSDiscreteScheduler(SigmaScheduler):
    r"""Linear multistep in \sigma.

    Args:
        num_train_timesteps: T.
        beta_start, beta_end, beta_schedule, trained_betas: as in DDPMScheduler.
        use_karras_sigmas: the levels of `SigmaScheduler.karras_sigmas`.
        prediction_type: what the network predicts: "epsilon", "sample" or "v_prediction".
        timestep_spacing, steps_offset: which timesteps are kept, see `spaced_timesteps`.
        order_from: "history", as many slopes as there are; "index", as many as the step's number in the whole walk
            allows, as in diffusers: see the ledger, "LMS order".
    """

    @configured
    def __init__(
        self,
        num_train_timesteps=1000,
        beta_start=0.0001,
        beta_end=0.02,
        beta_schedule="linear",
        trained_betas=None,
        use_karras_sigmas=False,
        *,
        prediction_type="epsilon",
        timestep_spacing="linspace",
        steps_offset=0,
        order_from="history",
    ):
        check_one_of("prediction_type", prediction_type, ("epsilon", "sample", "v_prediction"))
        check_one_of("order_from", order_from, ("history", "index"))
        self.make_tables()

    def step(self, model_output, timestep, sample, order=4, return_dict=True):
        r"""One step x_i -> x_{i+1}.

        Args:
            model_output: the network's output for (scale_model_input(x_i, t), t), shaped like `sample`.
            timestep: the entry of `timesteps` whose turn it is.
            sample: x_i, any shape (B, ...).
            order: how many slopes are used at most, 1 to 4.
        Returns:
            `SchedulerOutput`, or the tuple `(prev_sample, pred_original_sample)`.
        Raises:
            ValueError: `order` is out of range, it is another timestep's turn, or `model_output` is not shaped like
                `sample`.
        """
        self.check_step(sample, model_output=model_output)
        check_whole("order", order, most=4)
        x_i, i = sample, self.turn(timestep)
        x_0_hat, d_i = self.believe(model_output, x_i, self.sigma[i])
        self.history = d = [d_i, *self.history[: order - 1]]

        k = len(d) if self.config.order_from == "history" else min(i + 1, order)
        c = [self.coefficient(k, i, j) for j in range(len(d))]

        # LMS  x_{i+1} = x_i + \sum_{j=0}^{k-1} c_j d_j
        x_next = x_i + sum(c_j * d_j for c_j, d_j in zip(c, d))
        return SchedulerOutput(prev_sample=x_next, pred_original_sample=x_0_hat).as_asked(return_dict)

    def coefficient(self, k, i, j):
        """The weight that the slope of j steps ago has in the step from level i, of k slopes."""
        sigma = self.sigma.tolist()

        def ell_j(tau):
            # LMS  \ell_j(\tau) = \prod_{m=0, m \ne j}^{k-1} \frac{\tau - \sigma_{i-m}}{\sigma_{i-j} - \sigma_{i-m}}
            return math.prod((tau - sigma[i - m]) / (sigma[i - j] - sigma[i - m]) for m in range(k) if m != j)

        a, b = sigma[i], sigma[i + 1]
        # By Simpson's rule, which is exact for polynomials of degree 3; k-diffusion integrates numerically.
        # LMS  c_j = \int_{\sigma_i}^{\sigma_{i+1}} \ell_j(\tau)\, d\tau
        c_j = (b - a) / 6 * (ell_j(a) + 4 * ell_j((a + b) / 2) + ell_j(b))
        return c_j
