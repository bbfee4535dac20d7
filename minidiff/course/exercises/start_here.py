"""The exercises of lesson 0."""

import torch

from minidiff.course.exercises import noise
from minidiff.models.unet_2d import UNet2DOutput
from minidiff.zoo import world


def stop_after_five(answer, pipe):
    """A callback that ends a walk after its fifth step."""
    seen = []

    def counting(pipe, i, t, tensors):
        seen.append(i)
        return answer(pipe, i, t, tensors)

    pipe(1, num_inference_steps=20, output_type="pt", callback_on_step_end=counting)
    return "yes" if len(seen) == 5 else f"not yet: it took {len(seen)} steps"


def half_way(answer):
    """A noise (1, 3, 32, 32) half way between two others: of variance 1, and as much like the one as like the other."""
    a, b = noise(1, 1, 3, 32, 32), noise(2, 1, 3, 32, 32)
    between = answer(a, b)
    if between is None:
        return "not yet"
    if abs(between.var() - 1) > 0.05:
        return f"no: its variance is {between.var():.2f}"
    shares = [(between * one).mean().item() for one in (a, b)]  # how much of a and of b is in it
    return "yes" if min(shares) > 0.65 else f"no: it holds {shares[0]:.2f} of the one and {shares[1]:.2f} of the other"


@torch.no_grad()
def reported_noise(answer, unet):
    """How large the noise is that a network reports, as a standard deviation."""
    pixels = torch.tensor(bytearray(world.draw(seed=3, size=32).image.tobytes()))
    x_0 = 2 * pixels.view(1, 32, 32, 3).permute(0, 3, 1, 2) / 255 - 1
    x_0, x_T = (x.to(unet.device) for x in (x_0, noise(1, 1, 3, 32, 32)))
    clean, pure = answer(unet, x_0, 0), answer(unet, x_T, 999)
    if clean is None:
        return "not yet"
    doubled = answer(lambda x, t: UNet2DOutput(2 * unet(x, t).sample), x_T, 999)  # one that says twice as much
    if abs(doubled / pure - 2) > 0.01:
        return f"no: this grows {doubled / pure:.1f}-fold where the network says twice as much"
    return f"yes: {clean:.2f} against {pure:.2f}" if clean < 0.8 < pure < 1.2 else f"no: {clean:.2f} and {pure:.2f}"
