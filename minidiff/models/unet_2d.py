r"""The UNet that predicts the noise in a picture, or its score.

Denoising Diffusion Probabilistic Models. Ho, Jain & Abbeel, NeurIPS 2020, arXiv:2006.11239, appendix B, after U-Net
(Ronneberger, Fischer & Brox, arXiv:1505.04597): down to coarse feature maps, where far apart pixels meet, and up
again, with what was seen on the way down put beside what is drawn on the way up. The time t is told to every
residual block.

Score-Based Generative Modeling through Stochastic Differential Equations. Song et al., ICLR 2021, arXiv:2011.13456,
appendix H.1: NCSN++, of the same parts and the Skip blocks of `unet_2d_blocks`. Its time is the noise level sigma.

Letters: x_t is `sample` in the public signature, t or sigma `timestep`, as in diffusers.
"""

import warnings
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.nn.functional import silu

from minidiff.config import check_one_of, check_whole, configured
from minidiff.models.attention import Attention, NoAttention
from minidiff.models.base import Model
from minidiff.models.embeddings import (
    GaussianFourierProjection,
    TimestepEmbedding,
    one_for_each,
    timestep_embedding,
)
from minidiff.models.resample import Downsample2D, Upsample2D
from minidiff.models.resnet import ResnetBlock2D, group_norm
from minidiff.models.unet_2d_blocks import (
    DownBlock,
    MidBlock,
    SkipDownBlock,
    SkipUpBlock,
    UpBlock,
    check_skip,
    is_skip,
    norms_of_attentive_blocks,
)
from minidiff.outputs import Output

# A block type is a name in the config: which attention follows its residual blocks. Those with "Skip" are NCSN++'s.
DOWN_BLOCKS = {
    "DownBlock2D": NoAttention,
    "AttnDownBlock2D": Attention,
    "SkipDownBlock2D": NoAttention,
    "AttnSkipDownBlock2D": Attention,
}
UP_BLOCKS = {
    "UpBlock2D": NoAttention,
    "AttnUpBlock2D": Attention,
    "SkipUpBlock2D": NoAttention,
    "AttnSkipUpBlock2D": Attention,
}


@dataclass(eq=False)
class UNet2DOutput(Output):
    """`sample`: (B, out_channels, H, W), what the network was trained to predict; for DDPM the noise in x_t, for
    NCSN++ the score.
    """

    sample: torch.Tensor


class UNet2DModel(Model):
    r"""A UNet over pictures, told the time.

    Args:
        sample_size: height and width of the pictures it was trained on, a number or a pair.
        in_channels, out_channels: of the sample and of the prediction.
        center_input_sample: the sample is in [0, 1], and 2 x - 1 is what the layers see.
        time_embedding_type: "positional", the sinusoids of `timestep_embedding`; or "fourier", those of
            `GaussianFourierProjection`, for a network that is told the noise level sigma and predicts the score: its
            output is divided by sigma.
        freq_shift, flip_sin_to_cos: of the positional time embedding.
        down_block_types: one name a level, fine to coarse: "DownBlock2D" or "AttnDownBlock2D"; or, at all levels,
            "SkipDownBlock2D" or "AttnSkipDownBlock2D".
        up_block_types: one name a level, coarse to fine: "UpBlock2D" or "AttnUpBlock2D", and so on.
        block_out_channels: channels of each level, fine to coarse; multiples of norm_num_groups, the first even.
        layers_per_block: residual blocks a level on the way down; on the way up there is one more.
        mid_block_scale_factor: the residual sums in the middle are divided by it.
        downsample_padding: 0 or 1, see `Downsample2D`.
        act_fn: "silu", the only one that is published.
        attention_head_dim: channels of one attention head; None means a single head.
        norm_num_groups, norm_eps: of every GroupNorm. With Skip blocks None is allowed, four channels a group in at
            most 32 groups, as the blocks themselves have it in any case: see the ledger, "AttnSkip groups".
    Raises:
        ValueError: a block type is unknown, the three lists do not have the same length, some blocks but not all are
            Skip blocks, or channels do not split into groups or heads.
    """

    legacy_names = {
        "image_size": "sample_size",
        "num_res_blocks": "layers_per_block",
        "block_channels": "block_out_channels",
        "down_blocks": "down_block_types",
        "up_blocks": "up_block_types",
        "downscale_freq_shift": "freq_shift",
        "num_head_channels": "attention_head_dim",
        "resnet_num_groups": "norm_num_groups",
        "resnet_act_fn": "act_fn",
        "resnet_eps": "norm_eps",
    }
    left_out = {
        "time_embedding_dim": None,
        "mid_block_type": "UNetMidBlock2D",
        "downsample_type": "conv",
        "upsample_type": "conv",
        "dropout": 0.0,
        "attn_norm_num_groups": None,
        "resnet_time_scale_shift": "default",
        "class_embed_type": None,
        "num_class_embeds": None,
        "num_train_timesteps": None,
        "add_attention": True,
    }

    @configured
    def __init__(
        self,
        sample_size=None,
        in_channels=3,
        out_channels=3,
        center_input_sample=False,
        time_embedding_type="positional",
        *,
        freq_shift=0,
        flip_sin_to_cos=True,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(224, 448, 672, 896),
        layers_per_block=2,
        mid_block_scale_factor=1,
        downsample_padding=1,
        act_fn="silu",
        attention_head_dim=8,
        norm_num_groups=32,
        norm_eps=1e-5,
    ):
        super().__init__()
        check_lists(self.config, DOWN_BLOCKS, UP_BLOCKS)
        for argument in ("in_channels", "out_channels", "layers_per_block"):
            check_whole(argument, self.config[argument])
        self.has_picture = check_skip(down_block_types, up_block_types)  # beside the features, all the way down and up
        if attention_head_dim is not None:
            check_whole("attention_head_dim", attention_head_dim)
        if norm_num_groups is not None or not self.has_picture:
            check_whole("norm_num_groups", norm_num_groups)
        check_one_of("time_embedding_type", time_embedding_type, ("positional", "fourier"))
        check_one_of("downsample_padding", downsample_padding, (0, 1))
        check_blocks(down_block_types, up_block_types, block_out_channels, norm_num_groups, attention_head_dim)
        if act_fn not in ("silu", "swish"):  # two names of one function
            raise ValueError(f"act_fn is {act_fn!r}; only 'silu' is published and known here")

        C, temb_channels = block_out_channels, 4 * block_out_channels[0]  # C[0] is the finest level's
        plain = dict(eps=norm_eps, groups=norm_num_groups)
        level = dict(eps=norm_eps, groups=None, output_scale_factor=2**0.5) if self.has_picture else plain
        resnet, attention = (
            partial(ResnetBlock2D, temb_channels=temb_channels),
            partial(Attention, head_channels=attention_head_dim),
        )
        attend = {Attention: partial(attention, **level), NoAttention: lambda channels: NoAttention()}

        if time_embedding_type == "fourier":
            self.time_proj = GaussianFourierProjection(C[0])
        self.time_embedding = TimestepEmbedding(C[0] * (2 if time_embedding_type == "fourier" else 1), temb_channels)
        self.conv_in = nn.Conv2d(in_channels, C[0], 3, padding=1)

        self.down_blocks = nn.ModuleList()
        skips = [C[0]]  # channels of all that the way down keeps for the way up
        for i, name in enumerate(down_block_types):
            last = i + 1 == len(C)
            parts = (C[max(i - 1, 0)], C[i], layers_per_block, partial(resnet, **level), attend[DOWN_BLOCKS[name]])
            if self.has_picture:
                block = SkipDownBlock(*parts, in_channels, last)
            else:
                block = DownBlock(*parts, None if last else partial(Downsample2D, padding=downsample_padding))
            self.down_blocks.append(block)
            skips += block.skip_channels

        mid = plain | dict(output_scale_factor=mid_block_scale_factor)
        self.mid_block = MidBlock(C[-1], partial(resnet, **mid), partial(attention, **mid))

        self.up_blocks = nn.ModuleList()
        channels = C[-1]
        for i, name in enumerate(up_block_types):
            out, last = C[-1 - i], i + 1 == len(C)
            block_skips = [skips.pop() for _ in range(layers_per_block + 1)]
            parts = (channels, out, block_skips, partial(resnet, **level), attend[UP_BLOCKS[name]])
            if self.has_picture:
                block = SkipUpBlock(*parts, norm_eps, out_channels, last)
            else:
                block = UpBlock(*parts, None if last else Upsample2D)
            self.up_blocks.append(block)
            channels = out

        self.conv_norm_out = group_norm(C[0], norm_num_groups, norm_eps)
        self.conv_out = nn.Conv2d(C[0], out_channels, 3, padding=1)

    @classmethod
    def updated(cls, config):
        """Block names of the first release began with "UNetRes"."""
        config = super().updated(config)
        for argument in ("down_block_types", "up_block_types"):
            if isinstance(names := config.get(argument), list | tuple):
                config[argument] = [str(name).removeprefix("UNetRes") for name in names]
        return config

    @property
    def sample_shape(self):
        """(C, H, W) of one sample, as the network was trained."""
        size = self.config.sample_size
        if size is None:
            raise ValueError("sample_size is None; allowed is the height and width of a picture, a number or a pair")
        return (self.config.in_channels, *((size, size) if isinstance(size, int) else size))

    def write_config(self, folder):
        """Warns where diffusers would read the file and draw something else."""
        if self.has_picture and not all(norm.num_groups == 32 for norm in norms_of_attentive_blocks(self)):
            warnings.warn(
                "diffusers has 32 groups in AttnSkip blocks, this narrow network fewer, and would draw something else "
                'with its weights: see the ledger, "AttnSkip groups"',
                stacklevel=2,
            )
        super().write_config(folder)

    def forward(self, sample, timestep, class_labels=None, return_dict=True):
        """Predicts from x_t and t.

        Args:
            sample: x_t, (B, in_channels, H, W); H and W multiples of 2 to the number of levels less one.
            timestep: t, a number, a 0-dim or a (B,) tensor; used as it is, whole or not. With "fourier" sigma, above 0.
            class_labels: None, since no published network of this kind has an embedding for them.
        Returns:
            `UNet2DOutput`, or the tuple `(sample,)`.
        Raises:
            ValueError: the sample has other channels, H or W is no such multiple, there are neither one nor B times, or
                labels are given.
        """
        if class_labels is not None:
            raise ValueError(f"class_labels is {class_labels!r:.100}; allowed is None: the network has no classes")
        check_sample(sample, self.config.in_channels, halvings=len(self.down_blocks) - 1)
        t = one_for_each(timestep, sample)  # (B,)
        if self.config.time_embedding_type == "fourier":
            e = self.time_proj(t)
        else:
            e = timestep_embedding(t, self.conv_in.out_channels, self.config.flip_sin_to_cos, self.config.freq_shift)
        temb = self.time_embedding(e.to(sample.dtype))  # (B, 4 C[0])

        x = sample
        if self.config.center_input_sample:
            # SDEcode  x \leftarrow 2 x - 1
            x = 2 * x - 1
        h = self.conv_in(x)
        skips = [h]
        if self.has_picture:
            h = self.with_picture(h, x, skips, temb)
        else:
            for block in self.down_blocks:
                h, kept = block(h, temb)
                skips += kept
            h = self.mid_block(h, temb)
            for block in self.up_blocks:
                h = block(h, skips, temb)
            h = self.conv_out(silu(self.conv_norm_out(h)))

        if self.config.time_embedding_type == "fourier":
            sigma = t.reshape(-1, 1, 1, 1)
            # NCSNv2 §3.3  h \leftarrow \frac{h}{\sigma}
            h = h / sigma
            h = h.to(sample.dtype)
        return UNet2DOutput(sample=h).as_asked(return_dict)

    def with_picture(self, h, x, skips, temb):
        """What Skip blocks make of the features h and the picture x: the last part of the output joins those that the
        levels below have drawn.
        """
        for block in self.down_blocks:
            h, kept, x = block(h, temb, x)
            skips += kept
        h, drawn = self.mid_block(h, temb), 0
        for block in self.up_blocks:
            h, drawn = block(h, skips, temb, drawn)
        return self.conv_out(silu(self.conv_norm_out(h))) + drawn


def check_sample(sample, channels, halvings):
    if sample.ndim != 4 or sample.shape[1] != channels:
        raise ValueError(f"sample has the shape {tuple(sample.shape)}; allowed is (B, {channels}, H, W)")
    H, W = sample.shape[2:]
    multiple = 2**halvings
    if H % multiple or W % multiple:
        raise ValueError(
            f"sample is {H} x {W}; allowed are multiples of {multiple}, since it is halved {halvings} times"
        )


def check_lists(config, down_blocks, up_blocks):
    """Raises ValueError unless the config has for each level a known block on the way down, one up, and channels."""
    for argument in ("block_out_channels", "down_block_types", "up_block_types"):
        values, levels = config[argument], config["block_out_channels"]
        if not isinstance(values, tuple) or not values:  # a list arrives as a tuple
            raise ValueError(f"{argument} is {values!r}; allowed is a list with an entry for each level")
        if len(values) != len(levels):
            raise ValueError(
                f"{argument} has {len(values)} entries, block_out_channels {len(levels)}; each level needs one of both"
            )
    for argument, known in (("down_block_types", down_blocks), ("up_block_types", up_blocks)):
        for name in config[argument]:
            check_one_of(f"an entry of {argument}", name, tuple(known))
    for c in config["block_out_channels"]:
        check_whole("an entry of block_out_channels", c)


def check_blocks(down_block_types, up_block_types, block_out_channels, groups, head_channels):
    if block_out_channels[0] % 2:
        raise ValueError(
            f"block_out_channels begins with {block_out_channels[0]}; allowed is an even number of sinusoids"
        )
    for argument, names, known in (
        ("down_block_types", down_block_types, DOWN_BLOCKS),
        ("up_block_types", up_block_types, UP_BLOCKS),
    ):
        for c, name in zip(block_out_channels, names if argument == "down_block_types" else reversed(names)):
            if groups and not is_skip(name) and c % groups:
                raise ValueError(f"block_out_channels holds {c}, which norm_num_groups={groups} does not divide")
            if head_channels and known[name] is Attention and c % head_channels:
                raise ValueError(
                    f"{argument} wants attention over {c} channels, "
                    f"which attention_head_dim={head_channels} does not divide"
                )
    if head_channels and block_out_channels[-1] % head_channels:
        raise ValueError(
            f"the middle has attention over {block_out_channels[-1]} channels, the last of block_out_channels, "
            f"which attention_head_dim={head_channels} does not divide"
        )
