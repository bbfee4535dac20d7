"""The UNet of DDPM: Ho, Jain & Abbeel 2020, arXiv:2006.11239, appendix B."""

from minidiff.papers.ledger.mismatch import Mismatch

ENTRIES = (
    Mismatch(
        "UNet2DModel float timestep",
        paper=(
            "DDPM appendix B: sinusoids tell the network the time; they are smooth in t, and times between two "
            "timesteps have a meaning."
        ),
        original="hojonathanho/diffusion turns t into a float and takes its sinusoids as they are.",
        diffusers=(
            "UNet2DModel cuts a Python float off to a whole number before the sinusoids; a tensor, or a float "
            "given to UNet2DConditionModel, is taken as it is."
        ),
        effect="A small network with random weights, t = 3.5: the outputs differ by 2.0 % of the largest value.",
        default="paper: a number is a number",
        switch="",
        test="tests/models/test_unet_2d.py::test_a_float_is_a_time_of_its_own",
    ),
)
