r"""The residual block of every UNet and autoencoder here.

Deep Residual Learning for Image Recognition. He, Zhang, Ren & Sun, CVPR 2016, arXiv:1512.03385: a block learns what
to add to its input. DDPM (arXiv:2006.11239, appendix B) normalises by groups (Wu & He, arXiv:1803.08494), activates
with SiLU (arXiv:1710.05941) and adds the time between the two convolutions. Score networks (Song et al. 2021,
arXiv:2011.13456, appendix H.1) divide the sum, the block's (2), by the root of 2.
"""

from torch import nn
from torch.nn.functional import silu


class ResnetBlock2D(nn.Module):
    r"""y = (W_s x + F(x, t)) / scale, with F two normalised, activated 3x3 convolutions.

    Args:
        in_channels, out_channels: of x and y; W_s is a 1x1 convolution where they differ and the identity where
            they agree.
        temb_channels: width of the time embedding, or None for a block that is not told the time (autoencoders).
        groups, eps: of the two GroupNorms.
        output_scale_factor: the scale, 1 or (score networks) \sqrt 2, which keeps the variance of a sum.
    """

    def __init__(self, in_channels, out_channels, temb_channels=None, groups=32, eps=1e-6, output_scale_factor=1.0):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, in_channels, eps)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.time_emb_proj = nn.Linear(temb_channels, out_channels) if temb_channels else None
        self.norm2 = nn.GroupNorm(groups, out_channels, eps)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()
        self.output_scale_factor = output_scale_factor

    def forward(self, x, temb=None):
        """x (B, in_channels, H, W), temb (B, temb_channels) -> (B, out_channels, H, W)."""
        h = self.conv1(silu(self.norm1(x)))  # (B, out_channels, H, W)
        if self.time_emb_proj is not None:
            e = self.time_emb_proj(silu(temb))[:, :, None, None]  # (B, out_channels, 1, 1)
            # DDPM app. B  h \leftarrow h + e
            h = h + e
        F_x = self.conv2(silu(self.norm2(h)))
        W_s_x, scale = self.conv_shortcut(x), self.output_scale_factor

        # SDE app. H.1, scaled  y = \frac{F_x + W_{s\_x}}{\mathrm{scale}}
        return (F_x + W_s_x) / scale
