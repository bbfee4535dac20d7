r"""The transformer block that lets every pixel of a feature map look at the words of a prompt.

High-Resolution Image Synthesis with Latent Diffusion Models. Rombach et al., CVPR 2022, arXiv:2112.10752, section 3.3:
queries come from the pixels, keys and values from the encoded prompt, so that any text, of any length, can steer a
UNet. Around it a transformer as usual (Vaswani et al., arXiv:1706.03762): attention among the pixels before it, a
gated network (Shazeer, arXiv:2002.05202) behind it, layer normalisation (Ba, Kiros & Hinton, arXiv:1607.06450).

Letters: the paper's \varphi(z_t) is x here, its \tau_\theta(y) the context.
"""

from torch import nn
from torch.nn.functional import gelu, scaled_dot_product_attention


class CrossAttention(nn.Module):
    """Each of N positions gathers what it asks for from the M positions of a context.

    Args:
        channels: of x.
        context_channels: of the context.
        heads: how many; they share the channels of x.
    """

    def __init__(self, channels, context_channels, heads):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(context_channels, channels, bias=False)
        self.to_v = nn.Linear(context_channels, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])  # a list, since published keys say `to_out.0`

    def forward(self, x, context):
        """x (B, N, C), context (B, M, context_channels) -> (B, N, C)."""
        Q, K, V = self.split(self.to_q(x)), self.split(self.to_k(context)), self.split(self.to_v(context))
        d = Q.shape[-1]

        # LDM §3.3  A = \mathrm{softmax}\left(\frac{QK^\top}{\sqrt d}\right) V
        A = scaled_dot_product_attention(Q, K, V, scale=d**-0.5)  # (B, heads, N, d)
        return self.to_out[0](A.transpose(1, 2).flatten(2))

    def split(self, h):
        """(B, N, C) -> (B, heads, N, d)."""
        return h.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class GEGLU(nn.Module):
    """A linear layer whose output is gated by that of another, (..., in_channels) -> (..., out_channels)."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.proj = nn.Linear(in_channels, 2 * out_channels)  # both layers in one, as published

    def forward(self, x):
        c, b = self.proj(x).chunk(2, dim=-1)  # the paper's xV + c and xW + b

        # GEGLU (5)  y = \mathrm{gelu}(b) \odot c
        y = gelu(b) * c
        return y


class FeedForward(nn.Module):
    """To four times the channels, gated, and back, at each position by itself: (B, N, C) -> (B, N, C)."""

    def __init__(self, channels):
        super().__init__()
        # Published keys count a dropout between the two.
        self.net = nn.ModuleList([GEGLU(channels, 4 * channels), nn.Identity(), nn.Linear(4 * channels, channels)])

    def forward(self, x):
        for layer in self.net:
            x = layer(x)
        return x


class TransformerBlock(nn.Module):
    """Pixels look at each other, then at the context, then each thinks by itself; arguments as in CrossAttention."""

    def __init__(self, channels, context_channels, heads):
        super().__init__()
        self.norm1, self.attn1 = nn.LayerNorm(channels), CrossAttention(channels, channels, heads)
        self.norm2, self.attn2 = nn.LayerNorm(channels), CrossAttention(channels, context_channels, heads)
        self.norm3, self.ff = nn.LayerNorm(channels), FeedForward(channels)

    def forward(self, x, context):
        """x (B, N, C), context (B, M, context_channels) -> (B, N, C)."""
        h = self.norm1(x)
        F_x = self.attn1(h, h)

        # ResNet (1)  x \leftarrow x + F_x
        x = x + F_x
        F_x = self.attn2(self.norm2(x), context)

        # ResNet (1)  x \leftarrow x + F_x
        x = x + F_x
        F_x = self.ff(self.norm3(x))

        # ResNet (1)  y = x + F_x
        y = x + F_x
        return y


class Transformer2D(nn.Module):
    """A transformer block over the pixels of a feature map, what it finds added to the map.

    Args:
        groups: of the GroupNorm; the others as in CrossAttention.
    """

    def __init__(self, channels, context_channels, heads, groups):
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, 1e-6)
        self.proj_in = nn.Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(channels, context_channels, heads)])
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x, context):
        """x (B, C, H, W), context (B, M, context_channels) -> (B, C, H, W)."""
        h = self.proj_in(self.norm(x)).flatten(2).mT  # (B, HW, C)
        for block in self.transformer_blocks:
            h = block(h, context)
        F_x = self.proj_out(h.mT.reshape(x.shape))

        # ResNet (1)  y = x + F_x
        y = x + F_x
        return y
