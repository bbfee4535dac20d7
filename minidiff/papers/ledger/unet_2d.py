"""The UNet of DDPM: Ho, Jain & Abbeel 2020, arXiv:2006.11239, appendix B."""

from minidiff.papers.ledger.mismatch import Mismatch

ENTRIES = (
    Mismatch(
        "UNet2DModel float timestep",
        paper="DDPM appendix B: sinusoids tell the network the time; they are smooth in t, and times between two timesteps have a meaning.",
        original="hojonathanho/diffusion turns t into a float and takes its sinusoids as they are.",
        diffusers=(
            "UNet2DModel cuts a Python float off to a whole number before the sinusoids; a tensor, or a float given to UNet2DConditionModel, is "
            "taken as it is."
        ),
        effect="EFFECT",
        default="paper",
        switch="",
        test="tests/models/test_unet_2d.py::test_a_float_is_a_time_of_its_own",
    ),
)
