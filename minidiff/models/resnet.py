r"""The residual block of every UNet and autoencoder here.

Deep Residual Learning for Image Recognition. He, Zhang, Ren & Sun, CVPR 2016, arXiv:1512.03385: a block learns what
to add to its input. DDPM (arXiv:2006.11239, appendix B) normalises by groups (Wu & He, arXiv:1803.08494), activates
with SiLU (arXiv:1710.05941) and adds the time between the two convolutions. Score networks (Song et al. 2021,
arXiv:2011.13456, appendix H.1) divide the sum, the block's (2), by the root of 2, and some of their blocks change the
resolution too.
"""

from torch import nn
from torch.nn.functional import silu


class ResnetBlock2D(nn.Module):
    r"""y = (W_s x + F(x, t)) / scale, with F two normalised, activated 3x3 convolutions.

    Args:
        in_channels, out_channels: of x and y; W_s is a 1x1 convolution where they differ, or the resolution does, and
            the identity where they agree.
        temb_channels: width of the time embedding, or None for a block that is not told the time (autoencoders).
        groups, eps: of the two GroupNorms, see `group_norm`.
        resample: None, or a function that changes the resolution, of x and, before its first convolution, in F.
        output_scale_factor: the scale, 1 or (score networks) \sqrt 2, which keeps the variance of a sum.
    """

    def __init__(
        self,
        in_channels,
        out_channels,
        temb_channels=None,
        groups=32,
        eps=1e-6,
        output_scale_factor=1.0,
        resample=None,
    ):
        super().__init__()
        projects = in_channels != out_channels or resample is not None
        self.norm1 = group_norm(in_channels, groups, eps)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.time_emb_proj = nn.Linear(temb_channels, out_channels) if temb_channels else None
        self.norm2 = group_norm(out_channels, groups, eps)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(in_channels, out_channels, 1) if projects else nn.Identity()
        self.output_scale_factor = output_scale_factor
        self.resample = resample or nn.Identity()

    def forward(self, x, temb=None):
        """x (B, in_channels, H, W), temb (B, temb_channels) -> (B, out_channels, H, W), or what `resample` makes of H
        and W.
        """
        h = self.conv1(self.resample(silu(self.norm1(x))))  # (B, out_channels, H, W)
        if self.time_emb_proj is not None:
            e = self.time_emb_proj(silu(temb))[:, :, None, None]  # (B, out_channels, 1, 1)
            # DDPM app. B  h \leftarrow h + e
            h = h + e
        F_x = self.conv2(silu(self.norm2(h)))
        W_s_x, scale = self.conv_shortcut(self.resample(x)), self.output_scale_factor

        # SDE app. H.1, scaled  y = \frac{F_x + W_{s\_x}}{\mathrm{scale}}
        return (F_x + W_s_x) / scale


def group_norm(channels, groups, eps):
    """A GroupNorm (Wu & He, section 3.1).

    Args:
        groups: how many; None means four channels a group, in at most 32 groups, as Song et al.'s networks have it.
    Raises:
        ValueError: the groups do not divide the channels.
    """
    if groups is None:
        groups = max(1, min(channels // 4, 32))
        if channels % groups:
            raise ValueError(
                f"block_out_channels leads to a GroupNorm over {channels} channels, an entry or a sum of two; "
                "allowed are multiples of 4 up to 128 and multiples of 32 from there on"
            )
    return nn.GroupNorm(groups, channels, eps)
