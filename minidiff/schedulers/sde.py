r"""The stochastic differential equations that turn pictures into noise, and their way back.

Score-Based Generative Modeling through Stochastic Differential Equations. Song, Sohl-Dickstein, Kingma, Kumar, Ermon &
Poole, ICLR 2021, arXiv:2011.13456. Noise is added in continuous time t from 0 to 1 by dx = f(x, t) dt + g(t) dw. Who
knows the score, the gradient of \log p_t, can run it backwards: as another such equation, with fresh noise, or as an
ordinary one without, through the same distributions at every time.

Letters: the paper's \bar\beta_{min} and \bar\beta_{max} are \beta_{min} and \beta_{max} here, as in its authors' code.
"""


class VESDE:
    r"""Variance exploding: the picture stays, the noise on it grows from sigma_min to sigma_max, far beyond it.

    Args:
        sigma_min, sigma_max: standard deviations at t = 0 and t = 1; pictures in [0, 1].
    """

    def __init__(self, sigma_min=0.01, sigma_max=50.0):
        self.sigma_min, self.sigma_max = sigma_min, sigma_max

    def sigma(self, t):
        r"""\sigma(t), like t: in equal ratios, not in equal steps."""
        # SDE app. C  \sigma = \sigma_{min} \left(\frac{\sigma_{max}}{\sigma_{min}}\right)^t
        sigma = self.sigma_min * (self.sigma_max / self.sigma_min) ** t
        return sigma

    def marginal(self, x_0, t):
        """Mean, shaped like x_0, and standard deviation, shaped like t, of x_t given x_0."""
        return x_0, self.sigma(t)
