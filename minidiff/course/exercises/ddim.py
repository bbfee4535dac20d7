r"""The exercises of the lesson on DDIM; its numbers in brackets are those of the paper, arXiv:2010.02502."""

import torch

from minidiff.course.claims.sampling import drawings
from minidiff.course.exercises import noise
from minidiff.schedulers.ddim import DDIMScheduler
from minidiff.schedulers.ddpm import DDPMScheduler


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
            return f"no: of x_0 there is {of_drawing:.3f}, there should be {b**0.5:.3f}"
        if of_old < 0:
            return f"no: the old noise comes back with the wrong sign, {of_old:.3f}"
        if abs(of_old**2 + of_new**2 - (1 - b)) > 1e-6:
            return f"no: the noise has variance {of_old**2 + of_new**2:.3f}, it should have {1 - b:.3f}"
        if abs(of_new - sigma_t) > 1e-6:
            return f"no: {of_new:.3f} of the noise is fresh, {sigma_t} was asked for"
    return "yes: (4) holds after the step, whatever sigma_t"


def sigma(answer, step):
    r"""The \sigma_t that makes a DDIM step DDPM's, over a leap of a hundred timesteps.

    Args:
        answer: a function (alpha_bar_t, alpha_bar_prev) -> sigma_t.
        step: the answer to the exercise before.
    """
    ddpm = DDPMScheduler(clip_sample=False)
    ddpm.set_timesteps(10)
    t, t_prev = ddpm.timesteps[4], ddpm.timesteps[5]
    a, b, x_t, eps = ddpm.alpha_bar[t], ddpm.alpha_bar[t_prev], noise(6, 1, 3, 32, 32), noise(7, 1, 3, 32, 32)
    sigma_t = answer(a, b)
    mine = step(x_t, eps, a, b, sigma_t, noise(8, 1, 3, 32, 32)) if sigma_t is not None else None
    if mine is None:
        return "not yet"
    theirs = ddpm.step(eps, t, x_t, torch.Generator().manual_seed(8)).prev_sample
    off = (mine - theirs).abs().max().item()
    return "yes: both steps are the same" if off < 1e-4 else f"no: the steps differ by up to {off:.3f}"


@torch.no_grad()
def inverse_step(answer, pipe):
    """A way from a drawing to its noise that brings more of it back than the guess of `DDIMScheduler.inverse_step`.

    Two drawings walk to their noise in 20 of these steps, then forward with DDIM; counted is what is lost, in decibels.
    Args:
        answer: a function (unet, scheduler, t, x_prev) -> x_t.
        pipe: whose network walks.
    """
    x_0 = drawings(2, pipe.unet.sample_shape[-1], seed=0).to(pipe.device)

    def there_and_back(back):
        scheduler = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False)
        scheduler.set_timesteps(20)
        x = x_0
        for t in reversed(scheduler.timesteps):
            x = back(pipe.unet, scheduler, t, x)
        for t in scheduler.timesteps:
            x = scheduler.step(pipe.unet(x, t).sample, t, x).prev_sample
        return -10 * torch.log10(((x - x_0) / 2).square().mean()).item()

    psnr = there_and_back(answer)
    guess = there_and_back(lambda unet, scheduler, t, x: scheduler.inverse_step(unet(x, t).sample, t, x).prev_sample)
    return f"{'yes' if psnr > guess + 6 else 'not yet'}: PSNR {psnr:.1f} dB, with the guess alone {guess:.1f} dB"
