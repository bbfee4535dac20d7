r"""The samplers along noise levels: LMS, Euler, Heun and DPM-Solver++.

Not entries: k-diffusion and diffusers integrate LMS's coefficients numerically, to 1e-4, and here they are exact; what
comes out differs by 1e-6. In its first versions diffusers told the network rounded timesteps, and counted LMS's steps
by the loop.
"""

from minidiff.papers.ledger.mismatch import Mismatch

ENTRIES = (
    Mismatch(
        "LMS order",
        paper="none. Adams and Bashforth: a step of order k uses the slopes of the last k levels.",
        original="k-diffusion, sample_lms, always begins with an empty history and order 1.",
        diffusers=(
            "LMSDiscreteScheduler takes the order from the step's number in the whole walk. In image-to-image the "
            "walk begins inside, at order 4 with one slope, whose coefficients do not add up to the step."
        ),
        effect="A mixture of two Gaussians, the last 25 of 50 steps: relative error 2.8e-2 instead of 1.3e-3.",
        default="original: the order is the number of slopes, at most 4",
        switch="LMSDiscreteScheduler(order_from='index')",
        test="tests/schedulers/test_sigmas.py::test_the_order_of_lms_in_the_middle",
    ),
    Mismatch(
        "DPM-Solver noise before a walk",
        paper=r"DPM-Solver++ section 2: $x_t = \alpha_t x_0 + \sigma_t \epsilon$, with the levels of t.",
        original="LuChengTHU/dpm-solver, NoiseScheduleVP, gives the levels of t.",
        diffusers=(
            "DPMSolverMultistepScheduler holds rising levels beside falling timesteps until set_timesteps is called: "
            "add_noise, as training uses it, takes the level of T - 1 - t."
        ),
        effect="t = 900 of 1,000 with Stable Diffusion's betas: noise of std 0.366 instead of 0.990.",
        default="paper",
        switch="",
        test="tests/schedulers/test_sigmas.py::test_dpm_solvers_noise_before_timesteps_are_set",
    ),
)
