r"""Self-attention over the pixels of a feature map.

Attention Is All You Need. Vaswani et al., NeurIPS 2017, arXiv:1706.03762: every position asks (Q) all positions (K)
and gathers what they hold (V). DDPM puts it at one low resolution of its UNet, where far apart pixels would
otherwise never meet. Score networks scale the sum (Song et al. 2021, arXiv:2011.13456, appendix H.1); the sum alone is
He et al.'s, see ResnetBlock2D.
"""

from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from minidiff.models.resnet import group_norm


class Attention(nn.Module):
    r"""x + Attention(GroupNorm(x)) over the H W pixels.

    Args:
        channels: of x.
        head_channels: channels of one head; None means a single head. (UNet2DModel's config calls it
            attention_head_dim.)
        groups, eps: of the GroupNorm, see `group_norm`.
        output_scale_factor: the sum is divided by it, as in ResnetBlock2D.
    """

    def __init__(self, channels, head_channels=None, groups=32, eps=1e-5, output_scale_factor=1.0):
        super().__init__()
        self.heads = channels // (head_channels or channels)
        self.group_norm = group_norm(channels, groups, eps)
        self.to_q = nn.Linear(channels, channels)
        self.to_k = nn.Linear(channels, channels)
        self.to_v = nn.Linear(channels, channels)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])  # a list, since published keys say `to_out.0`
        self.output_scale_factor = output_scale_factor

    def forward(self, x):
        """(B, C, H, W) -> (B, C, H, W)."""
        h = self.group_norm(x).flatten(2).mT  # (B, HW, C)
        Q, K, V = (self.split(to(h)) for to in (self.to_q, self.to_k, self.to_v))  # (B, heads, HW, d)
        d = Q.shape[-1]

        # Attention (1)  A = \mathrm{softmax}\left(\frac{QK^\top}{\sqrt d}\right) V
        A = scaled_dot_product_attention(Q, K, V, scale=d**-0.5)  # (B, heads, HW, d)
        h, scale = self.to_out[0](A.transpose(1, 2).flatten(2)).mT.reshape(x.shape), self.output_scale_factor

        # SDE app. H.1, scaled  y = \frac{h + x}{\mathrm{scale}}
        return (h + x) / scale

    def split(self, h):
        """(B, N, C) -> (B, heads, N, d)."""
        return h.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class NoAttention(nn.Module):
    """Stands where a block type has no attention, and leaves alone what another type's attention would look at."""

    def forward(self, x, *context):
        return x
