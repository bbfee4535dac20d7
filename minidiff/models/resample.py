"""Halving and doubling the resolution between the levels of a UNet or autoencoder."""

from torch import nn
from torch.nn.functional import interpolate, pad


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
