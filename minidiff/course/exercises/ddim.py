r"""The exercises of the lesson on DDIM; its numbers in brackets are those of the paper, arXiv:2010.02502."""

import torch

from minidiff.course.claims.sampling import drawings
from minidiff.schedulers.ddim import DDIMScheduler


def step(answer):
    r"""The step (12): fed with what (4) makes of a known x_0, it ends where (4) holds at t-1, for every \sigma_t.

    Args:
        answer: a function (x_t, eps_theta, alpha_bar_t, alpha_bar_prev, sigma_t, z) -> x_{t-1}.
    """
    a, b = torch.tensor(0.3).double(), torch.tensor(0.7).double()
    for sigma_t in (0.0, 0.2, 0.5):

        def at(x_0, eps, z, sigma_t=sigma_t):
            return answer(a**0.5 * x_0 + (1 - a) ** 0.5 * eps, eps, a, b, sigma_t, z)

        if at(1.0, 0.0, 0.0) is None:
            return "not yet"
        of_drawing, of_old, of_new = at(1.0, 0.0, 0.0), at(0.0, 1.0, 0.0), at(0.0, 0.0, 1.0)
        if abs(of_drawing - b**0.5) > 1e-6:
            return (
                f"no: {of_drawing:.3f} of x_0 is in your x_prev, {b**0.5:.3f} should be. Guess x_0 by (4), then "
                "shrink it to the new level"
            )
        if of_old < 0:
            return f"no: the old noise comes back with the wrong sign, {of_old:.3f}"
        if abs(of_old**2 + of_new**2 - (1 - b)) > 1e-6:
            return (
                f"no: with sigma_t = {sigma_t} old and fresh noise have the variance {of_old**2 + of_new**2:.3f} "
                f"together, {1 - b:.3f} is the budget"
            )
        if abs(of_new - sigma_t) > 1e-6:
            return f"no: {of_new:.3f} of z is in your x_prev, {sigma_t} was asked for"
    return "yes: (4) holds after the step, whatever sigma_t"


def curve(answer):
    r"""The curve (14) for data N(0, s^2): it begins where it should, and has the network's slope everywhere.

    Args:
        answer: a function (x_bar, sigma, sigma_new, s) -> \bar x at the level sigma_new of the curve through (sigma,
            x_bar).
    """
    h = 1e-5
    for s, sigma, x_bar in ((0.5, 3.0, 2.0), (2.0, 0.7, -1.0)):
        at = lambda sigma_new: answer(*torch.tensor([x_bar, sigma, sigma_new, s], dtype=torch.float64))
        if at(sigma) is None:
            return "not yet"
        if abs(at(sigma) - x_bar) > 1e-9:
            return f"no: where sigma_new = sigma nothing should move, yours goes from {x_bar} to {at(sigma):.3f}"
        for k, place in enumerate((sigma, sigma / 2, sigma / 10)):
            slope, due = (at(place + h) - at(place - h)) / (2 * h), place * at(place) / (s**2 + place**2)
            if abs(slope - due) > 1e-6:
                where = f"for s = {s} at sigma = {place:g} yours has slope {slope:.3f}, the network says {due:.3f}"
                return f"no: it starts well, but {where}: the slope changes on the way" if k else f"no: {where}"
    return "yes: it has the network's slope everywhere"


@torch.no_grad()
def inverse_step(answer, pipe):
    r"""A step back x_{t-1} -> x_t that is undone by DDIM's step: what it misses x_{t-1} by is less than 0.6 of what
    `DDIMScheduler.inverse_step` misses it by, as one more call of the network makes it.

    Two drawings walk to their noise in 20 steps of the answer; the misses are counted at each of them.
    Args:
        answer: a function (unet, scheduler, t, x_prev) -> x_t.
        pipe: whose network walks.
    """
    scheduler = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False)
    scheduler.set_timesteps(20)

    def guess(t, x_prev):
        return scheduler.inverse_step(pipe.unet(x_prev, t).sample, t, x_prev).prev_sample

    def missed(x_t, t, x_prev):
        return (scheduler.step(pipe.unet(x_t, t).sample, t, x_t).prev_sample - x_prev).square().mean()

    x, mine, guesses, moved = drawings(2, pipe.unet.sample_shape[-1], seed=0).to(pipe.device), 0, 0, 0
    for t in reversed(scheduler.timesteps):
        x_t, guessed = answer(pipe.unet, scheduler, t, x), guess(t, x)
        if x_t is None:
            return "not yet"
        mine, guesses = mine + missed(x_t, t, x), guesses + missed(guessed, t, x)
        moved, x = max(moved, (x_t - guessed).abs().max()), x_t
    if moved < 1e-5:
        return "not yet: this is still inverse_step's x_t. Ask the network again, at yours"
    ratio = (mine / guesses).item() ** 0.5
    said = f"DDIM's step from your x_t misses x_prev by {ratio:.2f} of what it misses from inverse_step's"
    if ratio < 0.6:
        return f"yes: {said}"
    if ratio < 1:
        return f"almost: {said}. Repeat it"
    return f"no: {said}. The third argument of inverse_step stays x_prev; only the network is asked at x_t"
