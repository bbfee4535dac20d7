r"""The UNet of Dance Diffusion, which draws sound: a wave of so many numbers a second, in one or two channels.

Dance Diffusion. Evans, Harmonai, 2022, https://github.com/Harmonai-org/sample-generator; there is no paper. The network
grew out of Crowson's v-diffusion, 2021, https://github.com/crowsonkb/v-diffusion-pytorch. It halves the length level
by level until a whole second is a few positions wide, where attention can see all of it, and doubles it again beside
what was there on the way down. Where the UNet of DDPM tells every residual block the time, this one lays it beside the
wave, as channels that are constant along it.

Letters: t is from 0, sound, to 1, noise. Weights have the names of the published ones (`query`, `proj_attn`).
"""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import conv1d, conv_transpose1d, gelu, pad, scaled_dot_product_attention

from minidiff.config import check_whole, configured
from minidiff.models.attention import NoAttention
from minidiff.models.base import Model, rename_modules
from minidiff.models.embeddings import one_for_each
from minidiff.models.unet_2d import check_lists
from minidiff.outputs import Output

HEAD_CHANNELS = 32  # channels of one attention head; a few more where 32 does not divide them
SHORTEST = 3  # positions in the middle, since two are mirrored at either end


@dataclass(eq=False)
class UNet1DOutput(Output):
    """`sample`: (B, out_channels, L), what the network was trained to predict; for Dance Diffusion the velocity v."""

    sample: torch.Tensor


class UNet1DModel(Model):
    """A UNet over waves, told the time.

    Args:
        sample_size: length of the waves it was trained on, in samples.
        sample_rate: how many of them are a second; None where nobody has said.
        in_channels, out_channels: of the wave and of the prediction; 2 is stereo.
        extra_in_channels: how many channels tell the time, an even number; the published networks have 16.
        time_embedding_dim: the same number by another name, for files that hold it; None takes `extra_in_channels`.
            See the ledger, "UNet1DModel Fourier size".
        flip_sin_to_cos: cosines before sines, as published.
        down_block_types: one name a level, fine to coarse: "DownBlock1DNoSkip" the first, at full length, then
            "DownBlock1D" or "AttnDownBlock1D".
        up_block_types: one name a level, coarse to fine: "AttnUpBlock1D" or "UpBlock1D", "UpBlock1DNoSkip" the last.
        block_out_channels: channels of each level, fine to coarse. Where there is attention, as always in the middle,
            below the last level, they must be 32 or more and split into heads, one for each 32.
    Raises:
        ValueError: a number is out of range, a block type is unknown or out of place, the three lists do not have the
            same length, or channels do not split into heads.
    """

    legacy_renames = (rename_modules,)  # attention kept its first names here
    always_saved = ("extra_in_channels", "time_embedding_dim")
    left_out = {
        "time_embedding_type": "fourier",
        "use_timestep_embedding": False,
        "freq_shift": (0.0, None),
        "mid_block_type": "UNetMidBlock1D",
        "out_block_type": None,
        "act_fn": None,
        "norm_num_groups": (8, None),
        "layers_per_block": 1,
        "downsample_each_block": False,
    }

    @configured
    def __init__(
        self,
        sample_size=65536,
        sample_rate=None,
        in_channels=2,
        out_channels=2,
        extra_in_channels=16,
        *,
        time_embedding_dim=None,
        flip_sin_to_cos=True,
        down_block_types=("DownBlock1DNoSkip", "DownBlock1D", "AttnDownBlock1D"),
        up_block_types=("AttnUpBlock1D", "UpBlock1D", "UpBlock1DNoSkip"),
        block_out_channels=(32, 32, 64),
    ):
        super().__init__()
        for argument in ("sample_size", "in_channels", "out_channels"):
            check_whole(argument, self.config[argument])
        if sample_rate is not None:
            check_whole("sample_rate", sample_rate)
        check_lists(self.config, DOWN_BLOCKS, UP_BLOCKS)
        check_blocks(down_block_types, up_block_types, block_out_channels)
        check_time_channels(extra_in_channels, time_embedding_dim)
        self.register_to_config(time_embedding_dim=extra_in_channels)  # what a file must say to diffusers

        C = block_out_channels  # C[0] is the finest level's
        self.time_proj = FourierFeatures(extra_in_channels // 2, flip_sin_to_cos)

        entering = (in_channels + extra_in_channels, *C[:-1])
        self.down_blocks = nn.ModuleList(
            DownBlock(c, c_next, *DOWN_BLOCKS[name]) for c, c_next, name in zip(entering, C, down_block_types)
        )
        self.mid_block = MidBlock(C[-1])
        leaving = (*C[-2::-1], out_channels)
        self.up_blocks = nn.ModuleList(
            UpBlock(c, c_next, *UP_BLOCKS[name]) for c, c_next, name in zip(C[::-1], leaving, up_block_types)
        )

    @property
    def sample_shape(self):
        """(C, L) of one wave, as the network was trained."""
        return (self.config.in_channels, self.config.sample_size)

    def forward(self, sample, timestep, return_dict=True):
        """Predicts from x_t and t.

        Args:
            sample: x_t, (B, in_channels, L); L a multiple of 2 to the number of levels, at least the threefold.
            timestep: t, a number, a 0-dim or a (B,) tensor; 0 is sound, 1 is noise.
        Returns:
            `UNet1DOutput`, or the tuple `(sample,)`.
        Raises:
            ValueError: the sample has other channels or such a length, or there are neither one nor B times.
        """
        check_sample(sample, self.config.in_channels, halvings=len(self.down_blocks))
        t = one_for_each(timestep, sample)  # (B,)
        e = self.time_proj(t).to(sample.dtype)[:, :, None].expand(-1, -1, sample.shape[2])  # (B, extra_in_channels, L)

        h, skips = torch.cat([sample, e], dim=1), []
        for block in self.down_blocks:
            h = block(h)
            skips.append(h)
        h = self.mid_block(h)
        for block in self.up_blocks:
            h = block(torch.cat([h, skips.pop()], dim=1))
        return UNet1DOutput(sample=h).as_asked(return_dict)


class FourierFeatures(nn.Module):
    r"""Cosines and sines of t, of frequencies that were drawn once. (B,) -> (B, 2 d), at least in float32.

    Fourier Features Let Networks Learn High Frequency Functions in Low Dimensional Domains. Tancik et al., NeurIPS
    2020, arXiv:2006.10739. Their B is W here.

    Args:
        d: how many frequencies.
        flip_sin_to_cos: cosines first.
    """

    def __init__(self, d, flip_sin_to_cos=True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(d), requires_grad=False)
        self.flip_sin_to_cos = flip_sin_to_cos

    def forward(self, t):
        dtype = torch.promote_types(self.weight.dtype, torch.float32)  # half precision would round t and the phases
        t, W = t[:, None].to(dtype), self.weight.to(dtype)  # (B, 1), (d,)

        # Fourier  \phi = 2 \pi W t
        phi = 2 * math.pi * W * t  # (B, d)
        waves = (torch.cos(phi), torch.sin(phi)) if self.flip_sin_to_cos else (torch.sin(phi), torch.cos(phi))
        return torch.cat(waves, dim=1)


class ResConvBlock(nn.Module):
    """y = F(x) + W x, with F two convolutions, each normalised and activated after it.

    Args:
        in_channels, mid_channels, out_channels: of x, between the convolutions, and of y; W is a convolution of width 1
            where x and y differ, else the identity.
        last: y is the network's prediction, so the second convolution is neither normalised nor activated.
    """

    def __init__(self, in_channels, mid_channels, out_channels, last=False):
        super().__init__()
        different = in_channels != out_channels
        self.conv_skip = nn.Conv1d(in_channels, out_channels, 1, bias=False) if different else nn.Identity()
        self.conv_1 = nn.Conv1d(in_channels, mid_channels, 5, padding=2)
        self.group_norm_1 = nn.GroupNorm(1, mid_channels)
        self.conv_2 = nn.Conv1d(mid_channels, out_channels, 5, padding=2)
        self.group_norm_2 = None if last else nn.GroupNorm(1, out_channels)

    def forward(self, x):
        """(B, in_channels, L) -> (B, out_channels, L)."""
        F_x = self.conv_2(gelu(self.group_norm_1(self.conv_1(x))))
        if self.group_norm_2 is not None:
            F_x = gelu(self.group_norm_2(F_x))
        W_s_x = self.conv_skip(x)

        # ResNet (2)  y = F_x + W_{s\_x}
        y = F_x + W_s_x
        return y


class SelfAttention1d(nn.Module):
    """x + Attention(GroupNorm(x)) over the L positions, in C // 32 heads. (B, C, L) -> (B, C, L).

    Attention Is All You Need. Vaswani et al., NeurIPS 2017, arXiv:1706.03762.
    """

    def __init__(self, channels):
        super().__init__()
        self.heads = channels // HEAD_CHANNELS
        self.group_norm = nn.GroupNorm(1, channels)
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.proj_attn = nn.Linear(channels, channels)

    def forward(self, x):
        h = self.group_norm(x).mT  # (B, L, C)
        Q, K, V = (self.split(to(h)) for to in (self.query, self.key, self.value))  # (B, heads, L, d)
        d = Q.shape[-1]

        # Attention (1)  A = \mathrm{softmax}\left(\frac{QK^\top}{\sqrt d}\right) V
        A = scaled_dot_product_attention(Q, K, V, scale=d**-0.5)  # (B, heads, L, d)
        h = self.proj_attn(A.transpose(1, 2).flatten(2)).mT  # (B, C, L)

        # ResNet (1)  y = h + x
        y = h + x
        return y

    def split(self, h):
        """(B, L, C) -> (B, heads, L, d)."""
        return h.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Downsample1d(nn.Module):
    """Half the length, through a cubic filter: (B, C, L) -> (B, C, L/2). The ends are mirrored."""

    def __init__(self):
        super().__init__()
        self.register_buffer("kernel", cubic_kernel())

    def forward(self, x):
        C = x.shape[1]
        return conv1d(pad(x, (3, 3), "reflect"), self.kernel.expand(C, 1, -1), stride=2, groups=C)


class Upsample1d(nn.Module):
    """Twice the length, through a cubic filter: (B, C, L) -> (B, C, 2 L). The ends are mirrored."""

    def __init__(self):
        super().__init__()
        self.register_buffer("kernel", 2 * cubic_kernel())  # since every second position it runs over is a zero

    def forward(self, x):
        C = x.shape[1]
        kernel = self.kernel.expand(C, 1, -1)
        return conv_transpose1d(pad(x, (2, 2), "reflect"), kernel, stride=2, padding=7, groups=C)


def cubic_kernel():
    r"""(8,) the filter for a step of two samples, with sum 1.

    Cubic Convolution Interpolation for Digital Image Processing. Keys, 1981, IEEE Transactions on Acoustics, Speech,
    and Signal Processing 29(6): of the piecewise cubic kernels over four neighbours the one that is exact for
    parabolas. s is a distance, here in steps of the coarser wave.
    """
    s = torch.tensor([0.25, 0.75])
    # Keys  u_{near} = \frac{3}{2} s^3 - \frac{5}{2} s^2 + 1
    u_near = 3 / 2 * s**3 - 5 / 2 * s**2 + 1
    s = torch.tensor([1.25, 1.75])
    # Keys  u_{far} = -\frac{1}{2} s^3 + \frac{5}{2} s^2 - 4 s + 2
    u_far = -1 / 2 * s**3 + 5 / 2 * s**2 - 4 * s + 2
    half = torch.cat([u_near, u_far])
    return torch.cat([half.flip(0), half]) / 2


class DownBlock(nn.Module):
    """One level of the way down: half the length, then three residual blocks, each followed by its attention.

    Args:
        attend: makes an attention from (channels).
        halves: False at full length.
    """

    def __init__(self, in_channels, out_channels, attend, halves=True):
        super().__init__()
        self.down = Downsample1d() if halves else nn.Identity()
        self.resnets = three_resnets(in_channels, out_channels, out_channels)
        self.attentions = nn.ModuleList(attend(out_channels) for _ in range(3))

    def forward(self, h):
        h = self.down(h)
        for resnet, attention in zip(self.resnets, self.attentions):
            h = attention(resnet(h))
        return h


class MidBlock(nn.Module):
    """Half the length of the coarsest level and back, with six residual blocks and attentions between."""

    def __init__(self, channels):
        super().__init__()
        self.down = Downsample1d()
        self.resnets = nn.ModuleList(ResConvBlock(channels, channels, channels) for _ in range(6))
        self.attentions = nn.ModuleList(SelfAttention1d(channels) for _ in range(6))
        self.up = Upsample1d()

    def forward(self, h):
        h = self.down(h)
        for resnet, attention in zip(self.resnets, self.attentions):
            h = attention(resnet(h))
        return self.up(h)


class UpBlock(nn.Module):
    """One level of the way up: three residual blocks over h and its skip, then twice the length.

    Args:
        attend: as in DownBlock. Where there is attention the channels change in the first block, else in the last.
        doubles: False at full length, where the last block ends the network.
    """

    def __init__(self, in_channels, out_channels, attend, doubles=True):
        super().__init__()
        mid_channels = in_channels if attend is no_attention else out_channels
        self.resnets = three_resnets(2 * in_channels, mid_channels, out_channels, last=not doubles)
        self.attentions = nn.ModuleList(attend(c) for c in (mid_channels, mid_channels, out_channels))
        self.up = Upsample1d() if doubles else nn.Identity()

    def forward(self, h):
        for resnet, attention in zip(self.resnets, self.attentions):
            h = attention(resnet(h))
        return self.up(h)


def three_resnets(in_channels, mid_channels, out_channels, last=False):
    return nn.ModuleList(
        [
            ResConvBlock(in_channels, mid_channels, mid_channels),
            ResConvBlock(mid_channels, mid_channels, mid_channels),
            ResConvBlock(mid_channels, mid_channels, out_channels, last),
        ]
    )


def no_attention(channels):
    return NoAttention()


# A block type is a name in the config: (its attention, whether the length changes).
DOWN_BLOCKS = {
    "DownBlock1DNoSkip": (no_attention, False),
    "DownBlock1D": (no_attention, True),
    "AttnDownBlock1D": (SelfAttention1d, True),
}
UP_BLOCKS = {
    "UpBlock1DNoSkip": (no_attention, False),
    "UpBlock1D": (no_attention, True),
    "AttnUpBlock1D": (SelfAttention1d, True),
}


def check_sample(sample, channels, halvings):
    if sample.ndim != 3 or sample.shape[1] != channels:
        raise ValueError(f"sample has the shape {tuple(sample.shape)}; allowed is (B, {channels}, L)")
    L, multiple = sample.shape[2], 2**halvings
    if L % multiple or L < SHORTEST * multiple:
        raise ValueError(
            f"sample has the length {L}; allowed are multiples of {multiple} from {SHORTEST * multiple} on, since it "
            f"is halved {halvings} times"
        )


def check_time_channels(extra_in_channels, time_embedding_dim):
    check_whole("extra_in_channels", extra_in_channels, least=2)
    if extra_in_channels % 2:
        raise ValueError(
            f"extra_in_channels is {extra_in_channels}; allowed is an even number, of cosines and as many sines"
        )
    if time_embedding_dim not in (None, extra_in_channels):
        raise ValueError(
            f"time_embedding_dim is {time_embedding_dim!r}; allowed is None or extra_in_channels={extra_in_channels}, "
            "the channels that it fills"
        )


def check_blocks(down_block_types, up_block_types, block_out_channels):
    for argument, names, full, finest in (
        ("down_block_types", down_block_types, "DownBlock1DNoSkip", 0),
        ("up_block_types", up_block_types, "UpBlock1DNoSkip", -1),
    ):
        if names[finest] != full or names.count(full) > 1:
            place = "first" if finest == 0 else "last"
            raise ValueError(f"{argument} is {names!r}; allowed is {full!r} as the {place} entry and nowhere else")
    attending = {c for c, name in zip(block_out_channels, down_block_types) if name == "AttnDownBlock1D"}
    finer = block_out_channels[-2::-1]  # where each level's way up leads to
    attending |= {c for c, name in zip(finer, up_block_types) if name == "AttnUpBlock1D"}
    unsplit = [c for c in attending | {block_out_channels[-1]} if c < HEAD_CHANNELS or c % (c // HEAD_CHANNELS)]
    if unsplit:
        raise ValueError(
            f"block_out_channels holds {min(unsplit)} where there is attention, as always in the middle, below the "
            f"last; allowed is what splits into a head for each {HEAD_CHANNELS} channels"
        )
