r"""PNDM: Pseudo Numerical Methods for Diffusion Models on Manifolds. Liu, Ren, Lin & Zhao, ICLR 2022, arXiv:2202.09778.

At \eta = 0 DDIM follows an ordinary differential equation by Euler's method. PNDM follows it by methods of higher
order, but combines predicted noises instead of slopes and moves with DDIM's own step \phi, so that x stays where
the network has seen noise of that level.

Letters: \delta is the distance from t to the next timestep kept; \epsilon_{t+\delta} is the noise predicted one
timestep ago.
"""

from collections import namedtuple
from dataclasses import dataclass

import torch

from minidiff.config import check_one_of, configured
from minidiff.schedulers.base import DiscreteScheduler, SchedulerOutput, one_time
from minidiff.signatures import Off, leaving_out


@dataclass(eq=False)
class PNDMSchedulerOutput(SchedulerOutput):
    """As `SchedulerOutput`; the tuple stays `(prev_sample,)`, which is what people unpack."""

    beside_tuple = ("pred_original_sample",)


# A call of the network belongs to a step from timestep `start` to timestep `end`; -1 or less is the end of the walk.
Call = namedtuple("Call", "timestep start end")


class PNDMScheduler(DiscreteScheduler):
    r"""F-PNDM, algorithm 2: three pseudo Runge-Kutta steps, then linear multistep; or linear multistep alone.

    With N timesteps it calls the network N + 9 times, or N + 1 times without the Runge-Kutta steps (once for N = 1).

    Args:
        num_train_timesteps: T.
        beta_start, beta_end, beta_schedule, trained_betas: as in DDPMScheduler.
        skip_prk_steps: no Runge-Kutta steps; an improved Euler step and lower orders come first instead (PLMS, as
            Stable Diffusion has it).
        set_alpha_to_one: \bar\alpha after the last step is 1; otherwise that of timestep 0, as published: see the
            ledger, "PNDM last call". With alpha_index_shift=1 and step_to="next" a walk ends at timestep 0's anyway.
        prediction_type: what the network predicts: "epsilon" or "v_prediction".
        timestep_spacing, steps_offset: which timesteps are kept, see `spaced_timesteps`.
        step_to: "next", a step goes to the next timestep kept, as in the paper; "ratio", by T // N timesteps, as in
            diffusers: see the ledger, "DDIM target" and "PNDM half step".
        alpha_index_shift: 1 moves with the levels of t + 1, as the authors' code does: see the ledger, "PNDM
            shifted index".
        partial_walk: where the first steps are skipped (image-to-image): "planned", the rest is a walk of its own,
            whose first step is made twice; "sliced", the rest of the whole walk's calls, as in diffusers: see the
            ledger, "PNDM partial walk".
    """

    @configured
    def __init__(
        self,
        num_train_timesteps=1000,
        beta_start=0.0001,
        beta_end=0.02,
        beta_schedule="linear",
        trained_betas=None,
        skip_prk_steps=False,
        set_alpha_to_one=False,
        prediction_type="epsilon",
        timestep_spacing="leading",
        steps_offset=0,
        *,
        step_to="next",
        alpha_index_shift=0,
        partial_walk="planned",
    ):
        check_one_of("prediction_type", prediction_type, ("epsilon", "v_prediction"))
        check_one_of("step_to", step_to, ("next", "ratio"))
        check_one_of("alpha_index_shift", alpha_index_shift, (0, 1))
        check_one_of("partial_walk", partial_walk, ("planned", "sliced") if skip_prk_steps else ("planned",))
        self.make_tables()
        self.timesteps = None

    @leaving_out(timesteps=Off((None,), "the combinations of several predictions want even steps"))
    def set_timesteps(self, num_inference_steps, device=None):
        """Choose the timesteps to visit and forget what was predicted before.

        Args:
            num_inference_steps: N, a whole number from 1 to T; with the Runge-Kutta steps, which need three steps
                to follow and a timestep half way, from 4 to T / 2.
            device: where `timesteps` shall lie. They hold an entry for every call of the network.
        Raises:
            ValueError: see above and `spaced_timesteps`; nothing has changed then.
        """
        N, T = num_inference_steps, len(self)
        t = self.spaced_timesteps(N).tolist()
        if t[0] + self.config.alpha_index_shift >= T:
            raise ValueError(
                f"alpha_index_shift=1 moves timestep {t[0]}, the first of num_inference_steps={N} with "
                f"timestep_spacing={self.config.timestep_spacing!r}, past {T - 1}, the last; allowed are walks "
                f"that begin before it, such as those of 'leading' with steps_offset=0 and fewer than {T} steps"
            )
        if not self.config.skip_prk_steps and not 4 <= N <= T // 2:
            raise ValueError(
                f"num_inference_steps is {N}; allowed is 4 to {T // 2} with Runge-Kutta steps "
                "(skip_prk_steps=True does without them)"
            )

        self.num_inference_steps = N
        self.plan(t, device)

    def plan(self, t, device=None):
        """Choose the calls for a walk along the timesteps t, a list, and forget what was predicted before."""
        multistep = self.config.skip_prk_steps or len(t) < 4
        self.calls = self.plan_multistep(t) if multistep else self.plan_runge_kutta(t)
        self.takes_first_step_twice = multistep
        self.runge_kutta_calls = 0 if multistep else 12  # three steps of four calls come first
        self.begin(device)

    def begin(self, device):
        self.timesteps = torch.tensor([call.timestep for call in self.calls], device=device)
        self.eps = []  # predicted noises, newest first: eps_t, eps_next, ...
        self.slopes = []  # the predicted noises of the Runge-Kutta step that is under way
        self.counter = 0  # calls made

    def skip_steps(self, steps):
        """See `Scheduler.skip_steps`; the first of the steps that are left has nothing to remember."""
        if steps == 0:
            return
        if self.config.partial_walk == "planned":
            t = self.spaced_timesteps(self.num_inference_steps).tolist()
            return self.plan(t[steps:], self.timesteps.device)
        # The first two calls left are taken for the two of the whole walk's first step.
        ratio = len(self) // self.num_inference_steps
        self.calls = [Call(t, t, t - ratio) for t in self.timesteps[steps:].tolist()]
        for t in self.timesteps[steps + 1 : steps + 2].tolist():
            self.calls[1] = Call(t, t + ratio, t)
        self.begin(self.timesteps.device)

    def plan_multistep(self, t):
        """PLMS: the first step is made twice, the second time with what the network said at its end."""
        ratio = len(self) // self.num_inference_steps
        ends = [*t[1:], -1] if self.config.step_to == "next" else [u - ratio for u in t]
        calls = [Call(u, u, end) for u, end in zip(t, ends)]
        if len(t) > 1:
            start = t[0] if self.config.step_to == "next" else t[1] + ratio
            calls.insert(1, Call(t[1], start, t[1]))
        return calls

    def plan_runge_kutta(self, t):
        """F-PNDM: three steps of four calls each, at t, twice half way and at the end; then one call a step."""
        calls, ratio = [], len(self) // self.num_inference_steps
        for start, end in zip(t[:3], t[1:4]):
            if self.config.step_to == "next":
                mid = start - (start - end) // 2
                calls += [Call(start, start, mid), Call(mid, start, mid), Call(mid, start, end), Call(end, start, end)]
            else:  # as diffusers has it: half of T // N is taken once from the start and once from the end
                mid = end + ratio // 2
                halves = [
                    Call(start, start, start - ratio // 2),
                    Call(mid, start, mid),
                    Call(mid, start, mid - ratio // 2),
                ]
                calls += [*halves, Call(end, start, end)]
        ends = [*t[4:], -1] if self.config.step_to == "next" else [u - ratio for u in t[3:]]
        return calls + [Call(u, u, end) for u, end in zip(t[3:], ends)]

    def step(self, model_output, timestep, sample, return_dict=True):
        r"""Use one call of the network: x_t -> x_{t-\delta}, or a part of a Runge-Kutta step.

        Args:
            model_output: the network's output for (sample, timestep), shaped like `sample`.
            timestep: the entry of `timesteps` whose turn it is.
            sample: where the network was asked, any shape (B, ...).
        Returns:
            `PNDMSchedulerOutput`, whose `prev_sample` is where the next call shall be made; or the tuple
            `(prev_sample,)`.
        Raises:
            ValueError: `set_timesteps` was not called, all timesteps are used up, it is another timestep's turn, or
                `model_output` is not shaped like `sample`.
        """
        self.check_step(sample, model_output=model_output)
        call = self.next_call(timestep)
        alpha_bar_t = self.alpha_bar[call.timestep]
        eps_t = self.predict(model_output, sample, alpha_bar_t)[1]

        combine = self.runge_kutta if self.counter < self.runge_kutta_calls else self.multistep
        eps_prime = combine(eps_t, sample)
        self.counter += 1

        x_prev = self.phi(self.x_t, eps_prime, call.start, call.end)
        x_0_hat = self.predict_x_0(self.x_t, eps_prime, call.start)
        return PNDMSchedulerOutput(prev_sample=x_prev, pred_original_sample=x_0_hat).as_asked(return_dict)

    def runge_kutta(self, eps_t, sample):
        """The noise to move along from the step's start: the newest one, at the step's last call all four together."""
        if not self.slopes:
            self.x_t = sample
            self.eps = [eps_t, *self.eps]
        self.slopes = [*self.slopes, eps_t]  # a new list, since a copy of the scheduler shares the old one
        if len(self.slopes) < 4:
            return eps_t
        (eps_1, eps_2, eps_3, eps_4), self.slopes = self.slopes, []

        # PNDM (13)  \epsilon' = \frac{1}{6} (\epsilon_1 + 2 \epsilon_2 + 2 \epsilon_3 + \epsilon_4)
        eps_prime = (eps_1 + 2 * eps_2 + 2 * eps_3 + eps_4) / 6
        return eps_prime

    def multistep(self, eps_t, sample):
        """The noise to move along: Adams-Bashforth of as high an order as there are predictions, up to four."""
        if self.takes_first_step_twice and self.counter == 1:
            eps_next = self.eps[0]
            # AB §III.1  \epsilon' = \frac{1}{2} (\epsilon_{t+\delta} + \epsilon_t)
            eps_prime = (eps_next + eps_t) / 2
            return eps_prime  # the first step once more, from the sample that it started at

        self.x_t = sample
        self.eps = [eps_t, *self.eps[:3]]
        if len(self.eps) == 1:
            eps_prime = eps_t
        elif len(self.eps) == 2:
            eps_t, eps_next = self.eps
            # AB §III.1  \epsilon' = \frac{1}{2} (3 \epsilon_t - \epsilon_{t+\delta})
            eps_prime = (3 * eps_t - eps_next) / 2
        elif len(self.eps) == 3:
            eps_t, eps_next, eps_next2 = self.eps
            # AB §III.1  \epsilon' = \frac{1}{12} (23 \epsilon_t - 16 \epsilon_{t+\delta} + 5 \epsilon_{t+2\delta})
            eps_prime = (23 * eps_t - 16 * eps_next + 5 * eps_next2) / 12
        else:
            eps_t, eps_next, eps_next2, eps_next3 = self.eps
            # PNDM (12)  \epsilon' = \frac{1}{24} (55 \epsilon_t - 59 \epsilon_{t+\delta} + 37 \epsilon_{t+2\delta}
            #            - 9 \epsilon_{t+3\delta})
            eps_prime = (55 * eps_t - 59 * eps_next + 37 * eps_next2 - 9 * eps_next3) / 24
        return eps_prime

    def phi(self, x_t, eps, start, end):
        r"""Move x from timestep `start` to `end` along the noise `eps`: DDIM's step at \eta = 0, as a difference."""
        alpha_bar_t, alpha_bar_prev = self.level(start), self.level(end)

        # PNDM (9), rearranged  x_{t-\delta} = \frac{\sqrt{\bar\alpha_{t-\delta}}}{\sqrt{\bar\alpha_t}} x_t
        #     - \frac{\bar\alpha_{t-\delta} - \bar\alpha_t}{\sqrt{\bar\alpha_t} \left(
        #     \sqrt{(1 - \bar\alpha_{t-\delta}) \bar\alpha_t} + \sqrt{(1 - \bar\alpha_t) \bar\alpha_{t-\delta}}
        #     \right)} \epsilon
        x_prev = (alpha_bar_prev / alpha_bar_t) ** 0.5 * x_t - (alpha_bar_prev - alpha_bar_t) * eps / (
            alpha_bar_t**0.5
            * (((1 - alpha_bar_prev) * alpha_bar_t) ** 0.5 + ((1 - alpha_bar_t) * alpha_bar_prev) ** 0.5)
        )
        return x_prev

    def predict_x_0(self, x_t, eps, start):
        alpha_bar_t = self.level(start)
        # DDPM (15)  \hat x_0 = \frac{x_t - \sqrt{1 - \bar\alpha_t}\, \epsilon}{\sqrt{\bar\alpha_t}}
        x_0_hat = (x_t - (1 - alpha_bar_t) ** 0.5 * eps) / alpha_bar_t**0.5
        return x_0_hat

    def level(self, t):
        r"""\bar\alpha at timestep t; beyond the last timestep that of the end."""
        t = t + self.config.alpha_index_shift
        return self.alpha_bar[t] if t >= 0 else self.final_alpha_cumprod

    def next_call(self, timestep):
        if self.num_inference_steps is None:
            raise ValueError("set_timesteps(num_inference_steps) was not called: PNDM needs to know which calls come")
        if self.counter == len(self.calls):
            raise ValueError(f"all {self.counter} calls are made: set_timesteps starts anew")
        call = self.calls[self.counter]
        if one_time(timestep) != call.timestep:
            raise ValueError(
                f"timestep is {float(timestep):g}; allowed is {call.timestep}, entry {self.counter} of timesteps, now"
            )
        return call
