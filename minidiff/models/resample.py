"""Halving and doubling the resolution between the levels of a UNet or autoencoder: learned, or by a fixed filter.

The filter: Making Convolutional Networks Shift-Invariant Again. Zhang, ICML 2019, arXiv:1904.11486. Who keeps every
second pixel must blur first, or fine patterns come back as coarse ones. NCSN++ (arXiv:2011.13456, appendix H.1) blurs
by (1, 3, 3, 1), once down and once across.
"""

import torch
from torch import nn
from torch.nn.functional import conv2d, conv_transpose2d, interpolate, pad


class Downsample2D(nn.Module):
    """A 3x3 convolution with stride 2: (B, C, H, W) -> (B, C, H/2, W/2).

    Args:
        padding: 1 pads all sides. 0 pads right and below alone, TensorFlow's "SAME", which DDPM's weights were
            trained with.
    """

    def __init__(self, channels, padding=1):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=padding)
        self.missing = (0, 1, 0, 1) if padding == 0 else (0, 0, 0, 0)

    def forward(self, x):
        return self.conv(pad(x, self.missing))


class Upsample2D(nn.Module):
    """Every pixel becomes four, then a 3x3 convolution: (B, C, H, W) -> (B, C, 2H, 2W), or (B, C, *size)."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x, size=None):
        return self.conv(interpolate(x, size=size or [2 * side for side in x.shape[2:]], mode="nearest"))


def fir_downsample(x):
    """Half the resolution, (B, C, H, W) -> (B, C, H/2, W/2): each pixel is the blurred mean of 4x4, zeros outside."""
    return conv2d(x, fir_kernel(x), stride=2, padding=1, groups=x.shape[1])


def fir_upsample(x):
    """Twice the resolution, (B, C, H, W) -> (B, C, 2H, 2W): zeros between the pixels and around, then the blur, times
    4, since three in four were zeros.
    """
    return conv_transpose2d(x, 4 * fir_kernel(x), stride=2, padding=1, groups=x.shape[1])


def fir_kernel(x):
    """(C, 1, 4, 4): (1, 3, 3, 1) by (1, 3, 3, 1), with sum 1, for each channel of x."""
    k = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype, device=x.device) / 8
    return torch.outer(k, k).expand(x.shape[1], 1, 4, 4)
