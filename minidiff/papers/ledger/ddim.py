r"""DDIM: Song, Meng & Ermon 2021, arXiv:2010.02502.

Not entries:
* The authors' code draws noise at \eta = 0 too and multiplies it by 0. Here and in diffusers nothing is drawn; what
  comes out is the same, but a generator stands elsewhere afterwards.
* Where N does not divide T the authors visit range(0, T, T // N), more than N timesteps. Here and in diffusers there
  are N.
* The authors also offer timesteps that grow quadratically. Neither diffusers nor this package does.
"""

from minidiff.papers.ledger.mismatch import Mismatch

ENTRIES = (
    Mismatch(
        "DDIM clip",
        paper=r"DDIM (12) uses the predicted $\hat x_0$ as it is; so does DDPM, whose network it is.",
        original=(
            "ermongroup/ddim, generalized_steps, does not clip. hojonathanho/diffusion, diffusion_utils, clips to "
            "[-1, 1] when it samples by DDPM."
        ),
        diffusers="clips where the config says clip_sample, which is the default and stands in the published configs.",
        effect=(
            "The original's run of 10 steps at eta = 0.5, repeated with clipping, ends at samples that differ by "
            "47 % of the largest value."
        ),
        default="as the config says; True if it says nothing, as the published weights need it",
        switch="DDIMScheduler(clip_sample=False)",
        test="tests/schedulers/test_goldens.py::test_clipping_is_not_in_the_paper_of_ddim",
    ),
    Mismatch(
        "DDIM target",
        paper=r"DDIM section 4.2: a step goes from $\tau_i$ to $\tau_{i-1}$, the next timestep kept.",
        original="ermongroup/ddim and CompVis/stable-diffusion step to the next timestep kept.",
        diffusers=(
            "DDIMScheduler and PNDMScheduler step to t - T // N, whatever timestep comes next. With 'leading' "
            "spacing it is the same; with 'linspace', and with 'trailing' where N does not divide T, the sample is "
            "at another noise level than the network is told."
        ),
        effect=(
            "N(0, 0.5^2), linspace, 10 steps: std 0.419 for DDIM and 0.527 for PLMS, instead of 0.362 and 0.485 "
            "(exact: 0.5)."
        ),
        default="paper",
        switch="DDIMScheduler(step_to='ratio')",
        test="tests/schedulers/test_ddim.py::test_where_the_step_goes",
    ),
    Mismatch(
        "DDIM budget",
        paper=r"DDIM (12) takes the root of $1 - \bar\alpha_{t-1} - \sigma_t^2$, never negative for eta up to 1.",
        original="ermongroup/ddim takes the root as it is; its linear betas keep what is under it well above 0.",
        diffusers="takes the root as it is; in float32 it can be the root of a rounding error below 0, which is NaN.",
        effect="squaredcos_cap_v2, trailing, 5 steps, eta = 1: every number of the first step is NaN.",
        default="the paper: what is under the root is at least 0",
        switch="",
        test="tests/schedulers/test_ddim.py::test_the_budget_of_noise_is_negative_in_diffusers",
    ),
)
