r"""The exercises of the lesson on DDPM; its numbers in brackets are those of the paper, arXiv:2006.11239."""

from minidiff.course.exercises import noise


def tick(answer):
    r"""One tick of (2), x_t from x_{t-1}: the variance stays 1, and old and new numbers are as related as they must be.

    Args:
        answer: a function (x, beta, z) -> the next x, where z is standard normal.
    """
    x, z = noise(2, 200_000), noise(3, 200_000)
    for beta in (0.02, 0.5, 0.9):
        y = answer(x, beta, z)
        if y is None:
            return "not yet"
        if abs(y.var() - 1) > 0.02:
            return f"no: with beta = {beta} the variance becomes {y.var():.2f}"
        left, due = (x * y).mean(), (1 - beta) ** 0.5
        if abs(left - due) > 0.02:
            return f"no: with beta = {beta} too {'little' if left < due else 'much'} of x is left"
    return "yes"


def posterior(answer):
    r"""A step back that stays on the road: after it (4) holds at the new level, and what (2) adds from there to x_t has
    nothing to do with where it stands.

    Args:
        answer: a function (x_0, x_t, alpha_bar_t, alpha_bar_prev) -> (mean, variance) of x_{t-1}.
    """
    for a, b in ((0.3, 0.31), (0.2, 0.6), (0.05, 0.99)):
        x_t = a**0.5 * 0.7 + (1 - a) ** 0.5 * noise(4, 300_000)
        said = answer(0.7, x_t, a, b)
        if said is None:
            return "not yet"
        mean, variance = said
        if variance < 0:
            return f"no: from level {a} to {b} the variance is {variance:.3f}"
        x_prev = mean + variance**0.5 * noise(5, 300_000)
        if abs(x_prev.mean() - b**0.5 * 0.7) > 0.01 or abs(x_prev.var() - (1 - b)) > 0.01:
            there = f"mean {x_prev.mean():.3f} and variance {x_prev.var():.3f}"
            return f"no: from level {a} to {b}: {there}, they should be {b**0.5 * 0.7:.3f} and {1 - b:.3f}"
        added = x_t - (a / b) ** 0.5 * x_prev  # what the leap forwards added, by (2)
        if abs((added * (x_prev - b**0.5 * 0.7)).mean()) > 0.005:
            return "almost: on the road, but another process than (2) has led there"
    return "yes"


def best_eps(answer):
    r"""The best guess of the noise for data N(0, s^2): what it gets wrong has nothing to do with what it was shown.

    Args:
        answer: a function (x_t, alpha_bar_t, s) -> the guess, shaped like x_t.
    """
    for a, s in ((0.9, 0.5), (0.5, 2.0), (0.1, 0.3)):
        eps = noise(6, 300_000)
        x_t = a**0.5 * s * noise(7, 300_000) + (1 - a) ** 0.5 * eps
        guess = answer(x_t, a, s)
        if guess is None:
            return "not yet"
        related = ((eps - guess) * x_t).mean() / x_t.std()
        if abs(related) > 0.01:
            return f"no: at alpha_bar = {a} what is wrong is still related to x_t, by {related:.2f}"
        if abs((eps - guess).mean()) > 0.01:
            return f"no: at alpha_bar = {a} it is wrong by {(guess - eps).mean():.2f} on average"
    return "yes"
