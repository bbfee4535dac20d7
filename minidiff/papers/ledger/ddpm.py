r"""DDPM: Ho, Jain & Abbeel 2020, arXiv:2006.11239, and what all samplers of discrete time share.

Not entries:
* The authors' code keeps its tables in float64, diffusers and this package in float32: \bar\alpha differs by at most
  3.6e-7 of its value, a whole walk of 40 steps by 2e-6 of its largest value.
* The authors draw CIFAR-10 with \sigma_t^2 = \beta_t ("fixed_large") and pictures of 256x256 with \tilde\beta_t
  ("fixed_small"); so do the published configs. DDIM's code takes \beta_t for both where it plays DDPM. This package
  follows the config.
* Early versions of diffusers stepped from t to t - 1 even where timesteps were skipped. Today's go to the next one
  kept, as here.
* Where the last step has nothing to be uncertain about, diffusers adds noise of variance 1e-20 and this package none.
"""

from minidiff.papers.ledger.mismatch import Mismatch

ENTRIES = (
    Mismatch(
        "DDPM fixed_large_log",
        paper=r"DDPM section 3.2: $\sigma_t^2 = \beta_t$ is one of two choices; a logarithm is only a way to store it.",
        original="hojonathanho/diffusion stores the logarithm and multiplies the noise by exp(log_variance / 2).",
        diffusers=(
            "variance_type='fixed_large_log' multiplies the noise by the square root of the logarithm, a negative "
            "number."
        ),
        effect="Every step that adds noise returns NaN, 9 of 10 steps.",
        default="paper; the value is refused, since 'fixed_large' says the same",
        switch="DDPMScheduler(variance_type='fixed_large')",
        test="tests/schedulers/test_ddpm.py::test_fixed_large_log_is_not_a_number_in_diffusers",
    ),
    Mismatch(
        "DDPM last step",
        paper="DDPM algorithm 2, line 3: z = 0 in the last step, whichever timestep it leaves.",
        original="hojonathanho/diffusion visits all timesteps, so that the last one is 0, and multiplies z by 0 there.",
        diffusers=(
            "leaves out z at timestep 0 alone. With timestep_spacing='trailing', or steps_offset=1, the last step "
            "leaves a later timestep, and variance_type='fixed_large', which google/ddpm-cifar10-32 has, then puts "
            "noise on the finished picture."
        ),
        effect="10 steps, trailing: noise of standard deviation 0.32 on pictures that reach from -1 to 1.",
        default="paper",
        switch="",
        test="tests/schedulers/test_ddpm.py::test_the_last_step_adds_noise_in_diffusers",
    ),
    Mismatch(
        "trailing extra timestep",
        paper=(
            r"Common Diffusion Noise Schedules, table 2: N timesteps $\mathrm{round}(T - k T / N) - 1$, the last of "
            "them for k = N - 1."
        ),
        original="none was published; the table itself says round(arange(T, 0, -T / N)), with exact numbers in mind.",
        diffusers=(
            "timestep_spacing='trailing' computes that in floating point. For 62 counts, such as 61, 103 and 121, "
            "rounding gives it N + 1 entries, the last of which is timestep -1: the network is asked once more, "
            "about a finished sample, at a time it was not trained on, and the step reads the last entry of the "
            "table, that of pure noise."
        ),
        effect=(
            "N(0, 0.5^2), 61 steps: std 0.0008 instead of 0.476 for DDIM, 91.5 instead of 0.500 for PLMS (exact: 0.5)."
        ),
        default="paper",
        switch="",
        test="tests/schedulers/test_base.py::test_trailing_has_no_extra_timestep",
    ),
)
