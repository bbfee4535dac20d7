r"""The exercises of lesson 1: the best answer a denoiser can give, the arrow it makes, and another loss.

Letters: x_t = a x_0 + b \epsilon with a^2 + b^2 = 1; \hat x_0 is the denoiser's answer.
"""

import torch

from minidiff.course.exercises import noise

DATA = torch.tensor([-1.0, 0.2, 0.8])  # the three numbers that the world of exercises 1 and 2 is made of
LEVELS = ((0.95, 0.31), (0.6, 0.8), (0.2, 0.98))  # (a, b)
MANY = 200_000


def best_guess(answer):
    r"""The best answer for data that are a few numbers: where it is shown the same, it is wrong by 0 on average.

    Three numbers are drawn and noised many times. What is left of x_0 - \hat x_0 is sorted by x_t into 20 bins; in none
    of them may it have a mean. And an answer depends on its own x_t alone.
    Args:
        answer: a function (x_t, data, a, b) -> \hat x_0, where x_t is (n,) and data (K,); \hat x_0 is (n,).
    """
    which = torch.randint(len(DATA), (MANY,), generator=torch.Generator().manual_seed(1))
    for a, b in LEVELS:
        x_0 = DATA[which]
        x_t = a * x_0 + b * noise(2, MANY)
        said = answer(x_t, DATA, a, b)
        if said is None:
            return "not yet"
        if said.shape != x_t.shape:
            return f"no: it is shown {MANY} numbers and has {tuple(said.shape)} answers"
        if not torch.isfinite(said).all():
            return f"no: with a = {a} some answers are no numbers; softmax does not overflow as exp does"
        if not torch.allclose(answer(x_t[:100], DATA, a, b), said[:100], atol=1e-4):
            return "no: shown the same x_t in other company, it answers something else; sum over the data, not over x_t"
        if abs(off := (said - x_0).mean()) > 0.01:
            return f"no: with a = {a} it is wrong by {off:.2f} on average; do the weights sum to 1?"
        for some in x_t.argsort().chunk(20):
            off, where = (said - x_0)[some].mean(), x_t[some].mean()
            if abs(off) > 0.03:
                return (
                    f"no: with a = {a}, shown some {where:.2f}, it is wrong by {off:.2f} on average: "
                    f"the mean of the possible x_0 is {x_0[some].mean():.2f}"
                )
    return "yes: at each x_t it answers the mean of all possible x_0"


def arrow(answer):
    r"""The score from the denoiser's answer: it is the slope of the log of how dense the noised points lie.

    The density of noised data is known here, a sum of three bells; its slope is taken from differences.
    Args:
        answer: a function (x_t, x_0_hat, a, b) -> the score; all but a and b are (n,).
    """
    x_t = torch.linspace(-2, 2, 41).double()
    for a, b in LEVELS:

        def log_density(x, a=a, b=b):
            return (-((x[:, None] - a * DATA) ** 2) / (2 * b**2)).logsumexp(dim=1)

        weights = (-((x_t[:, None] - a * DATA) ** 2) / (2 * b**2)).softmax(dim=1)
        said = answer(x_t, weights @ DATA.double(), a, b)
        if said is None:
            return "not yet"
        slope = (log_density(x_t + 1e-4) - log_density(x_t - 1e-4)) / 2e-4
        if torch.allclose(said, -slope, atol=1e-3):
            return "no: it points away from the data: the other sign"
        if not torch.allclose(said, slope, atol=1e-3):
            ratio = ((said * slope).sum() / (slope * slope).sum()).item()
            right_way = torch.allclose(said, ratio * slope, atol=1e-3)
            hint = (
                f"the direction is right, but it is {ratio:.2f} times as long as the slope"
                if right_way
                else (f"at x_t = {x_t[30]:.1f} it is {said[30]:.2f}, the slope is {slope[30]:.2f}")
            )
            return f"no: with a = {a}, b = {b} {hint}"
    return "yes: your arrows are the slope of the log-density"


def absolute(answer):
    """The number with the least mean absolute error: every step away from it costs.

    Args:
        answer: a function (values) -> a number, where values is (n,), n odd.
    """
    for values in (torch.tensor([0.0, 0.0, 9.0]), torch.tensor([3.0, -1.0, 4.0, 2.5, 40.0]), noise(3, 101).exp()):
        said = answer(values)
        if said is None:
            return "not yet"
        costs = lambda c, values=values: (values - c).abs().mean().item()
        best = min(values.tolist(), key=costs)
        if costs(said) > costs(best) + 1e-6:
            shown = [round(v, 1) for v in values.tolist()] if len(values) < 10 else f"{len(values)} numbers"
            hint = (
                "that is the mean, which is best for squares"
                if abs(said - values.mean()) < 1e-6
                else (f"go {'down' if said > best else 'up'} and it gets less")
            )
            return f"no: for {shown} the answer {said:.2f} costs {costs(said):.2f} on average; {hint}"
    return "yes: no other number costs less"
