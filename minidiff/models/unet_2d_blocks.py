r"""The levels of a UNet: on the way down, in the middle, on the way up; DDPM's and, below them, NCSN++'s.

Denoising Diffusion Probabilistic Models. Ho, Jain & Abbeel, NeurIPS 2020, arXiv:2006.11239, appendix B: residual
blocks, some followed by attention, then half or twice the resolution.

Score-Based Generative Modeling through Stochastic Differential Equations. Song et al., ICLR 2021, arXiv:2011.13456,
appendix H.1 (NCSN++): the picture itself goes down and up beside the features, after StyleGAN2 (Karras et al.,
arXiv:1912.04958). On the way down every level sees it at its own resolution; on the way up every level adds its part
to what will be the output. Resolutions change through a smooth filter, and sums are divided by \sqrt 2.
"""

import torch
from torch import nn
from torch.nn.functional import silu

from minidiff.models.attention import Attention
from minidiff.models.resample import fir_downsample, fir_upsample
from minidiff.models.resnet import group_norm


class DownBlock(nn.Module):
    """One level of the way down: residual blocks, each followed by its attention, then half the resolution.

    Args:
        resnet, attend: make a residual block from (in_channels, out_channels) and an attention from (channels).
        downsample: makes the halving from (channels); None for the coarsest level.
    """

    def __init__(self, in_channels, out_channels, layers, resnet, attend, downsample):
        super().__init__()
        channels = [in_channels] + [out_channels] * layers
        self.resnets = nn.ModuleList(resnet(c, c_next) for c, c_next in zip(channels, channels[1:]))
        self.attentions = nn.ModuleList(attend(out_channels) for _ in range(layers))
        self.downsamplers = nn.ModuleList([downsample(out_channels)] if downsample else [])  # published keys count it
        self.skip_channels = [out_channels] * (layers + len(self.downsamplers))

    def forward(self, h, temb, *context):
        """-> (h, [what the way up will see]); `context` is what the attentions look at beside h."""
        kept = []
        for resnet, attention in zip(self.resnets, self.attentions):
            h = attention(resnet(h, temb), *context)
            kept.append(h)
        for downsample in self.downsamplers:
            h = downsample(h)
            kept.append(h)
        return h, kept


class MidBlock(nn.Module):
    """The coarsest resolution: a residual block, attention, a residual block."""

    def __init__(self, channels, resnet, attend):
        super().__init__()
        self.resnets = nn.ModuleList([resnet(channels, channels), resnet(channels, channels)])
        self.attentions = nn.ModuleList([attend(channels)])

    def forward(self, h, temb, *context):
        h = self.attentions[0](self.resnets[0](h, temb), *context)
        return self.resnets[1](h, temb)


class UpBlock(nn.Module):
    """One level of the way up: residual blocks that see h beside a kept map each, then twice the resolution.

    Args:
        skip_channels: channels of the kept maps, in the order in which they are taken up.
        resnet, attend, upsample: as in DownBlock; `upsample` is None for the finest level.
    """

    def __init__(self, in_channels, out_channels, skip_channels, resnet, attend, upsample):
        super().__init__()
        channels = [in_channels] + [out_channels] * (len(skip_channels) - 1)
        self.resnets = nn.ModuleList(resnet(c + skip, out_channels) for c, skip in zip(channels, skip_channels))
        self.attentions = nn.ModuleList(attend(out_channels) for _ in skip_channels)
        self.upsamplers = nn.ModuleList([upsample(out_channels)] if upsample else [])

    def forward(self, h, skips, temb, *context):
        """Takes its kept maps from the end of the list `skips`."""
        for resnet, attention in zip(self.resnets, self.attentions):
            h = attention(resnet(torch.cat([h, skips.pop()], dim=1), temb), *context)
        for upsample in self.upsamplers:
            h = upsample(h, skips[-1].shape[2:])  # twice the size, or one less where an odd one was halved
        return h


class SkipDownBlock(nn.Module):
    """One level of NCSN++'s way down: as DownBlock, but a residual block halves, and the halved picture joins it.

    Args:
        resnet, attend: as in DownBlock.
        picture_channels: of the picture, the network's input.
        last: the coarsest level, which halves nothing.
    """

    def __init__(self, in_channels, out_channels, layers, resnet, attend, picture_channels, last):
        super().__init__()
        channels = [in_channels] + [out_channels] * layers
        self.resnets = nn.ModuleList(resnet(c, c_next) for c, c_next in zip(channels, channels[1:]))
        self.attentions = nn.ModuleList(attend(out_channels) for _ in range(layers))
        self.resnet_down = None if last else resnet(out_channels, out_channels, resample=fir_downsample)
        self.skip_conv = None if last else nn.Conv2d(picture_channels, out_channels, 1)
        self.skip_channels = [out_channels] * (layers + (not last))

    def forward(self, h, temb, picture):
        """-> (h, [what the way up will see], picture), both pictures at the resolution of their h."""
        kept = []
        for resnet, attention in zip(self.resnets, self.attentions):
            h = attention(resnet(h, temb))
            kept.append(h)
        if self.resnet_down is not None:
            picture = fir_downsample(picture)
            h = self.resnet_down(h, temb) + self.skip_conv(picture)
            kept.append(h)
        return h, kept, picture


class SkipUpBlock(nn.Module):
    """One level of NCSN++'s way up: residual blocks as in UpBlock, one attention after all of them, this level's part
    of the output, and a residual block that doubles the resolution.

    Args:
        resnet, attend: as in DownBlock.
        eps: of the GroupNorm before this level's part of the output.
        picture_channels: of the output.
        last: the finest level, which doubles nothing; its part of the output is left to the network's end.
    """

    def __init__(self, in_channels, out_channels, skip_channels, resnet, attend, eps, picture_channels, last):
        super().__init__()
        channels = [in_channels] + [out_channels] * (len(skip_channels) - 1)
        self.resnets = nn.ModuleList(resnet(c + skip, out_channels) for c, skip in zip(channels, skip_channels))
        self.attentions = nn.ModuleList([attend(out_channels)])  # a list, since published keys say `attentions.0`
        self.resnet_up = None if last else resnet(out_channels, out_channels, resample=fir_upsample)
        self.skip_norm = None if last else group_norm(out_channels, None, eps)
        self.skip_conv = None if last else nn.Conv2d(out_channels, picture_channels, 3, padding=1)

    def forward(self, h, skips, temb, picture):
        """-> (h, picture), both for the next level; the picture is what the levels so far have drawn, 0 at first."""
        for resnet in self.resnets:
            h = resnet(torch.cat([h, skips.pop()], dim=1), temb)
        h = self.attentions[0](h)
        if self.resnet_up is not None:
            picture = fir_upsample(picture + self.skip_conv(silu(self.skip_norm(h))))
            h = self.resnet_up(h, temb)
        return h, picture


def is_skip(block_type):
    return "Skip" in block_type


def check_skip(down_block_types, up_block_types):
    """Returns whether these are Skip blocks. Raises ValueError where some are and some are not."""
    names = [*down_block_types, *up_block_types]
    if len(set(map(is_skip, names))) > 1:
        raise ValueError(
            f"down_block_types and up_block_types are {', '.join(names)}; allowed are Skip blocks at all levels or at "
            "none, since they hand the picture on to each other"
        )
    return is_skip(names[0])


def norms_of_attentive_blocks(unet):
    """Of AttnSkip blocks those GroupNorms whose number of groups diffusers counts otherwise."""
    for block in [*unet.down_blocks, *unet.up_blocks]:
        yield from (attention.group_norm for attention in block.attentions if isinstance(attention, Attention))
    for block in unet.up_blocks:
        if isinstance(block.attentions[0], Attention):
            yield from (resnet.norm1 for resnet in block.resnets)
