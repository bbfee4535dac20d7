r"""The SDEs: Song et al. 2021, arXiv:2011.13456.

Not entries:
* The authors drew celebahq-256 from sigma_max = 348; the config that was published with the weights says 380. This
  package follows the config.
* diffusers draws the first noise and the corrector's on the CPU, the authors on the network's device. Here a generator
  on the CPU gives the same noise on every device.
* The authors return the last step's mean where noise_removal is set, which it is; so do diffusers and this package.
* The authors' pictures are cut off to levels, those of diffusers and this package rounded.
* The first VP pipeline of diffusers, long gone, told the network t (N - 1), with N the number of steps asked for. The
  authors tell a network of continuous time 999 t, and one of T timesteps t (T - 1); so does this package.
* ScoreSdeVpScheduler has num_train_timesteps=2000, which diffusers never uses, and this package for a table alone.
"""

from minidiff.papers.ledger.mismatch import Mismatch

ENTRIES = (
    Mismatch(
        "VE order",
        paper="SDE algorithm 2: the predictor goes to the next noise level, then the corrector works there.",
        original=(
            "yang-song/score_sde_pytorch, get_pc_sampler: the corrector works at a level, then the predictor leaves it."
        ),
        diffusers="as the original.",
        effect=(
            "N(0, 0.5^2), 24 noise levels: std 0.548 with the corrector before the predictor, 0.546 with the corrector "
            "after it."
        ),
        default="original, by which the published networks were measured",
        switch="",
        test="tests/schedulers/test_score_sde_ve.py::test_corrector_before_or_after_the_predictor",
    ),
    Mismatch(
        "Langevin batch",
        paper=(
            r"SDE algorithms 4 and 5: the step $\varepsilon = 2 \alpha (r \lVert z \rVert / \lVert s \rVert)^2$ "
            "follows from a sample's own noise and score."
        ),
        original=(
            "yang-song/score_sde_pytorch, LangevinCorrector: both norms are means over the batch, so that its samples "
            "depend on each other."
        ),
        diffusers="as the original, in ScoreSdeVeScheduler.step_correct.",
        effect="Beside a sample whose score is ten times as large, a step moves a sample 0.15 times as far as alone.",
        default="original",
        switch="",
        test="tests/schedulers/test_score_sde_ve.py::test_a_sample_of_a_batch_depends_on_the_others",
    ),
    Mismatch(
        "VP table",
        paper=(
            "SDE (33): at time t the noise has the standard deviation of the kernel. A network of DDPM saw the levels "
            "of a table instead, the least of which is not 0."
        ),
        original=(
            "yang-song/score_sde_pytorch, get_score_fn: the kernel's for networks of continuous time, the table's for "
            "those of discrete time."
        ),
        diffusers="ScoreSdeVpScheduler.step_pred divides by the kernel's always.",
        effect="With google/ddpm-* networks the score is 1.41 times too large at t = 0.001, 1.10 times at t = 0.005.",
        default="original; ScoreSdeVpPipeline takes the table where it is given DDPM's or DDIM's scheduler",
        switch="ScoreSdeVpScheduler(trained_on='table')",
        test="tests/schedulers/test_score_sde_vp.py::test_the_table_has_more_noise_near_the_end",
    ),
    Mismatch(
        "VP betas",
        paper=(
            r"SDE appendix B: a table of T betas is the SDE with $\beta_{min} = T \beta_{start}$ and "
            r"$\beta_{max} = T \beta_{end}$."
        ),
        original="yang-song/score_sde_pytorch, VPSDE: one object holds both.",
        diffusers=(
            "ScoreSdeVpScheduler.from_config, given DDPM's config, ignores beta_start, beta_end and beta_schedule and "
            "takes 0.1 and 20, whatever the network was trained on."
        ),
        effect="Betas from 0.001 to 0.01 become 0.1 and 20 instead of 1 and 10.",
        default="paper; betas that are not linear in t, which no VPSDE has, are refused",
        switch="",
        test="tests/schedulers/test_score_sde_vp.py::test_other_betas_are_refused_and_in_diffusers_replaced",
    ),
)
