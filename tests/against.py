"""Holding numbers against those of diffusers, and both against data whose perfect network is known."""

import inspect

import diffusers
import torch

import minidiff
from minidiff.course.mixture import Mixture, walk

SHAPE = (2, 3, 8, 8)


def relative_difference(ours, theirs):
    """The largest difference, relative to their largest value."""
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


def assert_close(ours, theirs, within=1e-5, what=""):
    difference = relative_difference(ours, theirs)
    assert difference <= within, f"{what}: {difference:.1e}"  # NaN is not <= anything


def both(name, **config):
    """Our scheduler of that name and theirs, which gets what it knows."""
    theirs = getattr(diffusers, name)
    known = {key: value for key, value in config.items() if key in inspect.signature(theirs).parameters}
    return getattr(minidiff, name)(**config), theirs(**known)


def refusal(argument, value):
    """The beginning of an error message that names an argument, its value and what is allowed, as a pattern."""
    return rf"{argument} is {value}; allowed"


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0, dtype=None):
    return torch.randn(shape or SHAPE, generator=seeded(seed), dtype=dtype)


def generators(kind):
    """Two equal ones, since drawing changes them: each None, a generator, or a list of them, one a sample."""
    make = {"none": lambda: None, "one": seeded, "list": lambda: [seeded(1), seeded(2)]}[kind]
    return make(), make()


def picture_network(scheduler, **options):
    """A smooth network for samples of SHAPE, with which no rounding error grows."""
    means = 0.5 * randn(2, 3 * 8 * 8, seed=5)
    return Mixture(means, [0.25, 0.4], [0.6, 0.4]).as_network(scheduler.alphas_cumprod, SHAPE[1:], **options)


def gaussian_network(scheduler, **options):
    """For data N(0, 0.5^2): a multiple of x."""
    return Mixture([[0.0]], [0.5]).as_network(scheduler.alphas_cumprod, **options)


def std(scheduler, num_inference_steps):
    """What a deterministic sampler makes of data N(0, 0.5^2): it is linear there, so where it takes a 1 is the std."""
    scheduler.set_timesteps(num_inference_steps)
    network = gaussian_network(scheduler, prediction_type=scheduler.config.prediction_type)
    return abs(walk(scheduler, network, torch.ones(1, 1, dtype=torch.float64)).item())


def error_from_the_middle(scheduler, count=50, skip=25, noisier=0):
    """The relative error, at the end, of a walk along the last steps alone, as image-to-image makes it; float64.

    Args:
        noisier: by how many steps it begins with more noise than the network is told.
    """
    scheduler.set_timesteps(count)
    noised_to, timesteps = scheduler.timesteps[skip - noisier], scheduler.timesteps[skip:]
    if hasattr(scheduler, "skip_steps"):  # ours
        scheduler.skip_steps(skip)
        timesteps = scheduler.timesteps
    elif hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(skip)
    network, x_0, eps = picture_network(scheduler), *(randn(seed=k, dtype=torch.float64) for k in (3, 0))
    x = scheduler.add_noise(x_0, eps, (noised_to if noisier else timesteps[0])[None])
    start = network.level(timesteps[0]).item()
    exact = start**0.5 * x_0 + (1 - start) ** 0.5 * eps
    for t in timesteps:
        x = scheduler.step(network(scheduler.scale_model_input(x, t), t).sample, t, x).prev_sample
    end = 1 - 1e-8 if hasattr(scheduler, "sigmas") else scheduler.alphas_cumprod[0].item()
    return relative_difference(x, network.mixture.flow(exact.flatten(1), start, end, steps=500).reshape(x.shape))
