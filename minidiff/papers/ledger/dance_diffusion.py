r"""Dance Diffusion: Evans, Harmonai, 2022, with Crowson's v-diffusion, 2021. There is no paper.

Not entries:
* The training code draws its own samples by DDIM's step with \eta = 0 or 1 and returns the last predicted sound; the
  notebook that people used walks as IPNDMScheduler does. So does the published scheduler.
* The original runs the network in float16 (autocast) on GPUs. Here and in diffusers it has the dtype of its weights.
* diffusers keeps every predicted noise of a walk and uses the last four; here four are kept.
"""

from minidiff.papers.ledger.mismatch import Mismatch

ENTRIES = (
    Mismatch(
        "UNet1DModel Fourier size",
        paper="Fourier Features: one cosine and one sine for each of the random frequencies.",
        original="Harmonai's network has 8 frequencies, so that 16 channels tell the time, and so have its weights.",
        diffusers=(
            "took 8, until in 0.36 the number became block_out_channels[0] where the config has no "
            "time_embedding_dim. No published config has it, so 128 frequencies are made for weights that hold 8."
        ),
        effect=(
            "None of the harmonai/* weights loads any more: time_proj.weight has 128 entries instead of 8, and the "
            "first convolution is given 258 channels instead of 18."
        ),
        default="original: extra_in_channels / 2 frequencies, 8 for the published configs",
        switch="",
        test="tests/models/test_unet_1d.py::test_the_fourier_size_follows_from_the_channels",
    ),
    Mismatch(
        "UNet1DModel float timestep",
        paper=r"Progressive Distillation section 2: the time is continuous, $t \in [0, 1]$.",
        original="Harmonai's network takes tensors of times as they are.",
        diffusers="UNet1DModel cuts a Python number off to a whole one before the cosines: every time below 1 is 0.",
        effect="A small network with random weights, t = 0.9: the outputs differ by 168 % of the largest value.",
        default="paper: a number is a number",
        switch="",
        test="tests/models/test_unet_1d.py::test_a_float_is_a_time_of_its_own",
    ),
    Mismatch(
        "IPNDM first step",
        paper=(
            r"Progressive Distillation section 4: $\hat x_0 = \alpha_t x_t - \sigma_t v$, which is $-v$ at t = 1, "
            r"where $\alpha_t = 0$."
        ),
        original=(
            r"v-diffusion-pytorch, iplms_sample, divides $x_t - \sigma_t \epsilon'$, all rounding errors, by "
            r"$\cos(\pi / 2)$ in float32, -4.4e-8."
        ),
        diffusers=(
            "divides it, exactly 0, by 1e-8: the first step believes in silence, and the first output of the "
            "network does nothing but enter the history."
        ),
        effect=(
            "A mixture of two Gaussians, 12 steps: the walk visits samples that differ by 6 % of the largest value, "
            "and ends 2 % away; a walk of one step ends in silence."
        ),
        default="paper: the exact limit",
        switch="IPNDMScheduler(first_step='diffusers')",
        test="tests/schedulers/test_goldens.py::test_the_first_step_from_pure_noise",
    ),
    Mismatch(
        "Dance Diffusion length",
        paper="none.",
        original="none: the original draws lengths in samples.",
        diffusers=(
            "DanceDiffusionPipeline multiplies seconds by the rate and cuts off what is behind the point, also where "
            "only a rounding error lies there."
        ),
        effect="4.02 s at 16 kHz are 64,320 samples, and 64,319 there; it is so for 9 of the hundredths up to 10 s.",
        default="what is less than a millionth of a sample short of the next one is that one",
        switch="",
        test="tests/pipelines/test_dance_diffusion.py::test_a_rounding_error_costs_no_sample",
    ),
)
