r"""Karras et al.'s stochastic sampler: Karras, Aittala, Aila & Laine 2022, arXiv:2206.00364.

Not entries:
* The authors walk in float64; diffusers and this package in the network's dtype.
* The defaults of KarrasVeScheduler are of no row of the paper's table 5: s_max = 50 and s_noise = 1.007 stand there for
  different networks. This package has the same defaults.
* All three take sigma = 0 as the last noise level, and do not correct the step that leads there.
"""

from minidiff.papers.ledger.mismatch import Mismatch

ENTRIES = (
    Mismatch(
        "KarrasVE sigma",
        paper=(
            r"EDM table 1, VE column: $t_i = \sigma_{max}^2 (\sigma_{min}^2 / \sigma_{max}^2)^{\frac{i}{N-1}}$ and "
            r"$\sigma(t) = \sqrt{t}$."
        ),
        original="NVlabs/edm, generate.py, ablation_sampler with discretization 've', takes the root.",
        diffusers=(
            "KarrasVeScheduler.schedule holds t_i, and the steps take it for sigma: the first noise level is 10,000, "
            "while the initial noise has the standard deviation 100."
        ),
        effect="N(0, 0.5^2), 18 steps: std 0.625 instead of 0.541.",
        default="paper",
        switch="KarrasVeScheduler(sigma_schedule='diffusers')",
        test="tests/schedulers/test_karras_ve.py::test_sigma_is_the_square_root_of_time",
    ),
)
