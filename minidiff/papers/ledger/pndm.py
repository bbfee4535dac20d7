r"""PNDM: Liu, Ren, Lin & Zhao 2022, arXiv:2202.09778.

"DDIM target" holds for PNDMScheduler too. Not an entry: nobody clips \hat x_0; the authors' function that does is
never called.
"""

from minidiff.papers.ledger.mismatch import Mismatch

ENTRIES = (
    Mismatch(
        "PNDM last call",
        paper=r"PNDM algorithm 2 ends with a step to $x_0$, the picture.",
        original=(
            "luping-liu/PNDM ends at the level of its timestep 0 from that of timestep 1, see 'PNDM shifted index'."
        ),
        diffusers=(
            "ends at the level of timestep 0 if set_alpha_to_one is False, its default. With steps_offset=0, which "
            "the configs of DDPM leave it at, the last call is made at timestep 0, so that the last step goes from "
            "that level to itself."
        ),
        effect="The last of 59 (PLMS: 51) calls of the network changes nothing, exactly 0.0; its time is wasted.",
        default="diffusers, since the published weights are used so",
        switch="PNDMScheduler(set_alpha_to_one=True)",
        test="tests/schedulers/test_pndm.py::test_the_last_call_changes_nothing",
    ),
    Mismatch(
        "PNDM half step",
        paper=r"PNDM (13): the second and third of a Runge-Kutta step's four calls are made at $t - \delta / 2$.",
        original=(
            "luping-liu/PNDM computes the middle of both timesteps as a float and cuts it off to look up the level."
        ),
        diffusers=(
            "takes T // N // 2 off the start for the sample and adds it to the end for the network. Where T // N "
            "is odd the two differ: in 40 steps the sample is moved to timestep 963 and the network told 962. For "
            "N > T / 2 half a step is none at all."
        ),
        effect="A mixture of two Gaussians, 12 steps: the samples differ by 2.1e-4 of the largest value.",
        default="paper: sample and network agree on the middle, and the Runge-Kutta form refuses N > T / 2",
        switch="PNDMScheduler(step_to='ratio')",
        test="tests/schedulers/test_pndm.py::test_half_steps",
    ),
    Mismatch(
        "PNDM shifted index",
        paper=(
            r"PNDM (9) moves from $\bar\alpha_t$ to $\bar\alpha_{t-\delta}$, the levels that the network was "
            "trained on at those times."
        ),
        original=(
            "luping-liu/PNDM calls the network at t but moves with the levels of t + 1, of a table without a "
            r"leading 1: one training timestep noisier than the network is told, by 2 % of $\bar\alpha$ at t = 980 "
            "and 1 % at t = 500."
        ),
        diffusers="did so in its first versions; since 0.4 it moves with the levels of t.",
        effect=(
            "The original's run of 10 steps, repeated without the shift, ends at samples that differ by 6.7e-3 of "
            "the largest value."
        ),
        default="paper",
        switch="PNDMScheduler(alpha_index_shift=1)",
        test="tests/schedulers/test_goldens.py::test_the_authors_shifted_index",
    ),
    Mismatch(
        "PNDM v_prediction",
        paper=r"PNDM (12) combines predictions of the noise $\epsilon$ made at different times.",
        original="none: the authors' networks predict the noise.",
        diffusers=(
            "with prediction_type='v_prediction' combines the v of different times, although each is a mixture of "
            "noise and picture in its own time's proportions, and turns the sum into noise with the newest time's."
        ),
        effect=(
            "N(0, 0.5^2), 10 steps: std 0.409 instead of 0.491, which the same network gives when asked for the "
            "noise (exact: 0.5)."
        ),
        default="paper: every v is turned into noise at its own time",
        switch="",
        test="tests/schedulers/test_pndm.py::test_v_prediction",
    ),
    Mismatch(
        "PNDM partial walk",
        paper="PNDM knows no walk that begins at a noised picture; SDEdit, whose idea that is, leaves the solver open.",
        original="CompVis/stable-diffusion, img2img.py, decodes with DDIM alone.",
        diffusers=(
            "StableDiffusionImg2ImgPipeline leaves out the first entries of the list of calls, and with them the "
            "second call of the first step, but PNDMScheduler still takes the second call left for a repetition. "
            "From there on the sample is one step noisier than the network is told, and the last step is not made."
        ),
        effect=(
            "A mixture of two Gaussians, the last 25 of 50 steps: relative error 1.5e-2 instead of 1.1e-3; the last "
            "40 steps: 2.6e-3 instead of 1.0e-3."
        ),
        default="paper: the steps that are left are planned as a walk of their own",
        switch="PNDMScheduler(skip_prk_steps=True, partial_walk='sliced')",
        test="tests/schedulers/test_pndm.py::test_a_walk_from_the_middle",
    ),
)
