"""What all schedulers, networks and pipelines share, beside any paper: noise levels, shapes, calls, files.

The papers say nothing of these, and where diffusers differs it is not by decision. So few entries have a switch.
"""

from minidiff.papers.ledger.mismatch import Mismatch

ENTRIES = (
    Mismatch(
        "add_noise in half precision",
        paper=r"DDPM (4): the noise's scale is $\sqrt{1 - \bar\alpha_t}$, 0.0300 at timestep 5.",
        original="hojonathanho/diffusion holds its tables and adds the noise in float32.",
        diffusers=(
            r"add_noise casts $\bar\alpha_t$ to the sample's dtype before it takes $1 - \bar\alpha_t$: in bfloat16 "
            "what is nearly 1 becomes 1."
        ),
        effect="Timestep 5: the noise's scale is 0.0000 in bfloat16 and 0.0313 in float16.",
        default="paper: coefficients have the table's dtype, and the result is cast",
        switch="",
        test="tests/schedulers/test_base.py::test_add_noise_in_half_precision_has_the_right_scale",
    ),
    Mismatch(
        "pictures of bytes",
        paper=r"DDPM section 3.3: $x_0$ is scaled to $[-1, 1]$ before noise is added.",
        original="hojonathanho/diffusion scales its pictures when it reads them.",
        diffusers=(
            r"add_noise takes whole numbers for $x_0$, casts $\bar\alpha_t$ to their dtype, where it is 0, and returns "
            "the noise alone."
        ),
        effect="Pictures of dtype uint8: what comes out is the noise, 100 % of it, at every timestep.",
        default="an error that says how to convert them",
        switch="",
        test="tests/schedulers/test_base.py::test_pictures_of_bytes_are_refused",
    ),
    Mismatch(
        "shapes that broadcast",
        paper="Every formula of a step adds tensors of one shape.",
        original="The authors' code has shapes that agree by construction.",
        diffusers="step and add_noise broadcast: one predicted channel is taken for each of three.",
        effect="A network with 3 channels in and 1 out draws pictures to the end; no step of 1,000 says a word.",
        default="an error with both shapes",
        switch="",
        test="tests/schedulers/test_base.py::test_what_is_shaped_otherwise_is_refused",
    ),
    Mismatch(
        "two calls at once",
        paper="A walk has its own timesteps and its own history.",
        original="The authors' code keeps them in the function that samples.",
        diffusers="They lie in the pipeline's scheduler, so that a second call, in another thread, sets them anew.",
        effect=(
            "DDIM with 8 steps, into which a call with 5 steps falls: the picture changes by more than 0.01 of the "
            "range, or an error is raised."
        ),
        default="each call walks on a copy of the scheduler, whose state goes back at the end",
        switch="",
        test="tests/pipelines/test_at_once.py::test_diffusers_mixes_them_up",
    ),
    Mismatch(
        "scale of the first noise",
        paper=(
            "Score SDE and EDM walk in scales of their own: the first noise has the scheduler's largest sigma, and the "
            "network is shown the sample at the scale that it was trained at."
        ),
        original="k-diffusion multiplies the first noise by sigma and scales what the network sees.",
        diffusers="DDPMPipeline does neither, whatever scheduler it is given; Stable Diffusion's pipelines do both.",
        effect=(
            "EulerAncestralDiscreteScheduler, 20 steps, storybook-ddpm: 13 of 16 drawings are at night, instead of 4."
        ),
        default="every loop does both",
        switch="",
        test="tests/pipelines/test_at_once.py::test_an_ancestral_scheduler_paints_days_and_nights",
    ),
    Mismatch(
        "weights that stay a file",
        paper="No paper says how weights are read.",
        original="The authors' code reads checkpoints into memory.",
        diffusers="The weights of a network are views of the mapped safetensors file.",
        effect=(
            "A file of 46 kB that is overwritten in place changes the network that was loaded from it; one that is cut "
            "short ends the process."
        ),
        default="weights are copied on reading",
        switch="",
        test="tests/models/test_base.py::test_an_overwritten_file_changes_a_network_of_diffusers",
    ),
)
