"""The UNet of DDPM: Ho, Jain & Abbeel 2020, arXiv:2006.11239, appendix B; and NCSN++: Song et al. 2021,
arXiv:2011.13456, appendix H.1.
"""

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
    Mismatch(
        "AttnSkip groups",
        paper="SDE appendix H.1 takes over DDPM's residual blocks and does not say how many groups they normalise.",
        original=(
            "yang-song/score_sde_pytorch has four channels a group in every GroupNorm, in at most 32 groups: "
            "min(C // 4, 32)."
        ),
        diffusers=(
            "AttnSkipDownBlock2D and AttnSkipUpBlock2D have 32 groups in their attention, whatever C is; and the "
            "residual blocks of the latter begin with min(C_in + C_skip // 4, 32) groups, where SkipUpBlock2D has the "
            "parentheses."
        ),
        effect=(
            "None for the published networks, which have 256 and 512 channels there. In a network with 64 channels "
            "there the outputs differ by 11.5 % of the largest value."
        ),
        default="original; saving such a narrow network warns, since diffusers would draw something else with it",
        switch="",
        test="tests/models/test_unet_2d_skip.py::test_group_counts_of_a_narrow_network",
    ),
)
