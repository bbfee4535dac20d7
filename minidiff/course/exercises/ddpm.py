r"""The exercises of the lesson on DDPM; its numbers in brackets are those of the paper, arXiv:2006.11239."""

from minidiff.course.exercises import noise


def tick(answer):
    r"""One tick of (2), x_t from x_{t-1}: the variance stays 1, and there is as much of the old numbers and of the
    noise in the new ones as there must be. Nothing else has all three properties.

    Args:
        answer: a function (x, beta, z) -> the next x, where z is standard normal.
    """
    x, z = noise(2, 200_000), noise(3, 200_000)
    for beta in (0.02, 0.5, 0.9):
        y = answer(x, beta, z)
        if y is None:
            return "not yet"
        if abs(y.var() - 1) > 0.02:
            return f"no: with beta = {beta} the variance becomes {y.var():.2f}. The variance of c z is c times c"
        shares = {"x": ((x * y).mean(), (1 - beta) ** 0.5), "z": ((z * y).mean(), beta**0.5)}
        for name, (share, due) in shares.items():
            if abs(share - due) > 0.02:
                return f"no: with beta = {beta} there is {share:.2f} times {name} in it, and there should be {due:.2f}"
        if abs(y.mean()) > 0.02:
            return f"no: the mean moves to {y.mean():.2f}; noise has the mean 0"
    return "yes: noise stays noise, and (2) holds for every beta"


def posterior(answer):
    r"""A step back that stays on the road: after it (4) holds at the new level, and what (2) adds from there to x_t has
    nothing to do with where it stands.

    Args:
        answer: a function (x_0, x_t, alpha_bar_t, alpha_bar_prev) -> (mean, variance) of x_{t-1}.
    """
    for a, b, x_0 in ((0.3, 0.31, 0.7), (0.2, 0.6, -0.4), (0.05, 0.99, 0.7)):
        x_t = a**0.5 * x_0 + (1 - a) ** 0.5 * noise(4, 300_000)
        said = answer(x_0, x_t, a, b)
        if said is None:
            return "not yet"
        if type(said) is not tuple or len(said) != 2:
            return "no: return two things, the mean and the variance"
        mean, variance = said
        if not 0 <= variance <= 1:
            return f"no: from level {a} to {b} the variance is {variance:.3f}; it must lie between 0 and 1"
        x_prev = mean + variance**0.5 * noise(5, 300_000)
        if abs(x_prev.mean() - b**0.5 * x_0) > 0.01:
            due = f"they should be at {b**0.5 * x_0:.3f}, says (4)"
            return f"no: from level {a} to {b}: the new numbers lie around {x_prev.mean():.3f}; {due}"
        if abs(x_prev.var() - (1 - b)) > 0.01:
            due = f"it should be {1 - b:.3f}, says (4)"
            return f"no: from level {a} to {b}: the new numbers have the variance {x_prev.var():.3f}; {due}"
        added = (x_t - (a / b) ** 0.5 * x_prev) / (1 - a / b) ** 0.5  # what the leap forwards added, by (2)
        place = (x_prev - b**0.5 * x_0) / (1 - b) ** 0.5
        if max(abs((added * place**power).mean()) for power in (1, 2, 3)) > 0.05:
            return "almost: on the road, but another process than (2) has led there. Lesson 3 uses such steps"
    return "yes: (4) holds before and after, and (2) leads back"


def best_eps(answer):
    r"""The best guess of the noise for data N(0, s^2): what it gets wrong has nothing to do with what it was shown, nor
    with what it said.

    Of a guess that is the best one plus d, the first leaves no d that grows with x_t, and the second none at all: the
    mean of d^2, by which its loss is too large, would be 0.

    Args:
        answer: a function (x_t, alpha_bar_t, s) -> the guess, shaped like x_t.
    """
    for a, s in ((0.9, 0.5), (0.5, 2.0), (0.1, 0.3)):
        eps = noise(6, 300_000)
        x_t = a**0.5 * s * noise(7, 300_000) + (1 - a) ** 0.5 * eps
        guess = answer(x_t, a, s)
        if guess is None:
            return "not yet"
        if getattr(guess, "shape", None) != x_t.shape:
            return "no: return one guess for each number of x_t"
        wrong = eps - guess
        if abs(wrong.mean()) > 0.01:
            return f"no: at alpha_bar = {a} it is wrong by {-wrong.mean():.2f} on average"
        related = (wrong * x_t).mean() / x_t.std()
        if abs(related) > 0.01:
            larger = "larger" if related > 0 else "smaller"
            return f"no: at alpha_bar = {a}, s = {s} a guess {larger} in proportion to x_t has less loss"
        surplus = -(wrong * guess).mean()
        if abs(surplus) > 0.01:
            return f"no: at alpha_bar = {a} its loss is {surplus:.2f} too large; part of it says nothing of the noise"
    return "yes: what is wrong has nothing to do with what can be known"
