"""Normal noise that a seed decides, whatever the device and the batch."""

import math

import torch

TOO_MANY = 2**48  # numbers; beyond 2^63 torch fails in ways of its own


def randn(shape, generator=None, device=None, dtype=None):
    """Draw from N(0, I).

    Args:
        shape: (B, ...).
        generator: None for torch's global one of `device`; one `torch.Generator`; or a list of B of them, so that a
            sample depends on its own seed alone. A generator on the CPU draws there, in `dtype`, and the result moves
            to `device`: a seed gives the same noise everywhere.
        device: where the result lies; the CPU if None.
        dtype: torch's default if None.
    Returns:
        a tensor of that shape.
    Raises:
        ValueError: no memory holds so many numbers; a list of another length than B; a generator that is neither on the
            CPU nor on `device`.
    """
    device = torch.device(device or "cpu")
    if math.prod(shape) >= TOO_MANY:
        raise ValueError(f"shape is {tuple(shape)}, more numbers than any memory holds; allowed are fewer")
    if isinstance(generator, list | tuple):
        if len(generator) != shape[0]:
            raise ValueError(f"generator is a list of {len(generator)}; allowed is one a sample, so {shape[0]}")
        return torch.cat([randn((1, *shape[1:]), one, device, dtype) for one in generator])
    if generator is not None:
        check_device(generator, device)
    drawn_on = generator.device if generator is not None else device
    return torch.randn(shape, generator=generator, device=drawn_on, dtype=dtype).to(device)


def check_device(generator, device):
    """Raises ValueError for a generator that is neither on the CPU nor on `device`."""
    if generator.device.type not in ("cpu", device.type):
        raise ValueError(
            f"generator is on {generator.device}; allowed is one on the CPU or on {device}, where the noise is needed"
        )


def randn_like(x, generator=None):
    """Noise of the shape, device and dtype of `x`, (B, ...); see `randn`."""
    return randn(x.shape, generator, x.device, x.dtype)
