r"""The exercises of the lesson on PNDM; its numbers in brackets are those of the paper, arXiv:2202.09778."""

import torch

from minidiff.course.exercises import noise
from minidiff.course.mixture import Mixture


def weights(answer):
    """Weights that give the mean of every cubic over the step ahead, from its values at four places.

    Args:
        answer: a function (d) -> four weights, where d are four places on a line on which the step goes from 0 to 1.
    """
    equal = torch.tensor([0.0, -1, -2, -3])
    for d in (equal, torch.tensor([0.0, -1.5, -4, -9])):
        w = answer(d.double())
        if w is None:
            return "not yet"
        for power in range(4):
            mean, got = 1 / (power + 1), (w * d.double() ** power).sum().item()
            if abs(got - mean) > 1e-9:
                if power == 0:
                    hint = "the mean of a constant is that constant, so the weights sum to 1"
                elif d is equal:
                    hint = "equation k holds the powers d^k, and on its right 1 / (k + 1), the mean of x^k from 0 to 1"
                else:
                    hint = "right for equal distances; the weights have to be found anew for each d"
                return f"no: at places {d.tolist()} the mean of x^{power} is {mean:.4f}, yours is {got:.4f}; {hint}"
    whole = [round(w) for w in (24 * answer(equal.double())).tolist()]
    return f"yes: all cubics; at equal distances 24 times your weights are {whole}"


def order(places, weights):
    r"""The order of a multistep method on two heaps of numbers, whose perfect network is known, from an exact start.

    Args:
        places: a function (sigmas, sigma_next) -> four places, 0 for the newest prediction and 1 for the end of the
            step; sigmas are the four last levels, newest first.
        weights: the answer to the exercise before.
    """
    start = places(torch.tensor([4.0, 5, 6, 7]).double(), torch.tensor(3.0).double())
    if weights(torch.tensor([0.0, -1, -2, -3]).double()) is None:
        return "not yet: exercise 1 comes first, my_weights gives None"
    if start is None:
        return "not yet"
    if abs(start[0]) > 1e-9 or not (start.diff() < 0).all():
        d = [round(place, 2) for place in start.tolist()]
        return f"no: for sigmas 4, 5, 6, 7 and 3 ahead your places are {d}; allowed are 0, and then ever smaller ones"
    u = torch.linspace(1, 0.1, 161).double()
    levels = torch.exp(-0.1 * u - 9.95 * u**2)  # DDPM's, down to where 10 % of the noise is left
    mixture, errors = Mixture(means=[[-1.0], [0.5]], stds=[0.2, 0.3]), []
    x_T = mixture.sample(64, levels[0].item(), torch.Generator().manual_seed(0))
    end = mixture.flow(x_T, levels[0].item(), levels[-1].item())
    for N in (80, 160):
        alpha_bar, x, slopes = levels[:: 160 // N], x_T, []
        sigma = ((1 - alpha_bar) / alpha_bar) ** 0.5
        for i in range(N):
            slopes = [mixture.eps(x, alpha_bar[i]), *slopes[:3]]
            if i < 3:  # the exact start
                x = mixture.flow(x, alpha_bar[i].item(), alpha_bar[i + 1].item(), steps=20)
                continue
            w = weights(places(sigma[i - 3 : i + 1].flip(0), sigma[i + 1]))
            eps_prime = sum(w_j * eps_j for w_j, eps_j in zip(w, slopes, strict=True))
            x = alpha_bar[i + 1] ** 0.5 * (x / alpha_bar[i] ** 0.5 + (sigma[i + 1] - sigma[i]) * eps_prime)
        errors.append((x - end).square().mean().sqrt())
    order = (errors[0] / errors[1]).log2().item()
    if order > 3.5:
        return f"yes: the error falls with order {order:.1f}"
    hint = "are the weights those of exercise 1" if order < 1.5 else "is d measured along sigma, and 1 at sigma_next"
    return f"no: the error falls with order {order:.1f}; {hint}?"


def phi(answer):
    r"""(9) in other coordinates: two steps along the same noise are one long step, and a world with a single drawing is
    walked without error.

    Args:
        answer: a function (x_t, eps, alpha_bar_t, alpha_bar_prev) -> x at alpha_bar_prev.
    """
    a, b, c = torch.tensor([0.01, 0.3, 0.99]).double()
    x_t, eps = noise(1, 1, 3, 32, 32).double(), noise(2, 1, 3, 32, 32).double()
    if answer(x_t, eps, a, b) is None:
        return "not yet"
    off = (answer(answer(x_t, eps, a, b), eps, b, c) - answer(x_t, eps, a, c)).abs().max()
    if off > 1e-9:
        return f"no: two steps and one long step differ by {off:.4f}; is x_bar turned into x again at the end?"
    for x_0 in (-1.0, 0.5):
        on_curve = [level**0.5 * x_0 + (1 - level) ** 0.5 * eps for level in (a, b)]
        off = (answer(on_curve[0], eps, a, b) - on_curve[1]).abs().max()
        if off > 1e-9:
            return f"no: for data that are all {x_0} it leaves the curve by {off:.4f}; look at the factor of eps"
    return "yes: steps add up, and a world of one drawing is walked without error"
