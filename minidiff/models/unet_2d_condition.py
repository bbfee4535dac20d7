r"""The UNet that predicts the noise in a latent, and listens to a prompt.

High-Resolution Image Synthesis with Latent Diffusion Models. Rombach et al., CVPR 2022, arXiv:2112.10752, section 3.3:
DDPM's UNet, in which cross-attention to the encoded prompt follows every residual block but the coarsest level's.

Letters: z_t, the noisy latent, is `sample` in the public signature, \tau_\theta(y), the prompt as the text encoder
gives it, is `encoder_hidden_states`, both as in diffusers.
"""

import re
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.nn.functional import silu

from minidiff import files
from minidiff.config import check_one_of, check_whole, configured
from minidiff.models.attention import NoAttention
from minidiff.models.base import Model
from minidiff.models.embeddings import TimestepEmbedding, one_for_each, timestep_embedding
from minidiff.models.resample import Downsample2D, Upsample2D
from minidiff.models.resnet import ResnetBlock2D
from minidiff.models.transformer import Transformer2D
from minidiff.models.unet_2d import UNet2DModel, check_lists, check_sample
from minidiff.models.unet_2d_blocks import DownBlock, MidBlock, UpBlock
from minidiff.outputs import Output
from minidiff.signatures import leaving_out

# A block type is a name in the config: which attention follows each of its residual blocks.
DOWN_BLOCKS = {"DownBlock2D": NoAttention, "CrossAttnDownBlock2D": Transformer2D}
UP_BLOCKS = {"UpBlock2D": NoAttention, "CrossAttnUpBlock2D": Transformer2D}


@dataclass(eq=False)
class UNet2DConditionOutput(Output):
    """`sample`: (B, out_channels, H, W), what the network was trained to predict, mostly the noise in z_t."""

    sample: torch.Tensor


class UNet2DConditionModel(Model):
    r"""A UNet over latents, told the time and a prompt.

    Args:
        sample_size: height and width of the latents it was trained on, a number or a pair.
        in_channels, out_channels: of the sample and of the prediction.
        down_block_types: one name a level, fine to coarse: "CrossAttnDownBlock2D" or "DownBlock2D".
        up_block_types: one name a level, coarse to fine: "CrossAttnUpBlock2D" or "UpBlock2D".
        block_out_channels: channels of each level, fine to coarse; multiples of norm_num_groups, the first even.
        layers_per_block: residual blocks a level on the way down; on the way up there is one more.
        act_fn: "silu", the only one that is published.
        norm_num_groups, norm_eps: of every GroupNorm.
        cross_attention_dim: channels of the encoded prompt.
        attention_head_dim: the number of heads, whatever the name says; UNet2DModel means the channels of one.
    Raises:
        ValueError: a block type is unknown, the three lists do not have the same length, or channels do not split
            into groups or heads.
    """

    legacy_names = UNet2DModel.legacy_names
    left_out = {
        "center_input_sample": False,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "only_cross_attention": False,
        "downsample_padding": 1,
        "mid_block_scale_factor": 1,
        "dropout": 0.0,
        "transformer_layers_per_block": 1,
        "reverse_transformer_layers_per_block": None,
        "encoder_hid_dim": None,
        "encoder_hid_dim_type": None,
        "num_attention_heads": None,
        "dual_cross_attention": False,
        "use_linear_projection": False,
        "class_embed_type": None,
        "addition_embed_type": None,
        "addition_time_embed_dim": None,
        "num_class_embeds": None,
        "upcast_attention": False,
        "resnet_time_scale_shift": "default",
        "resnet_skip_time_act": False,
        "resnet_out_scale_factor": 1.0,
        "time_embedding_type": "positional",
        "time_embedding_dim": None,
        "time_embedding_act_fn": None,
        "timestep_post_act": None,
        "time_cond_proj_dim": None,
        "conv_in_kernel": 3,
        "conv_out_kernel": 3,
        "projection_class_embeddings_input_dim": None,
        "attention_type": "default",
        "class_embeddings_concat": False,
        "mid_block_only_cross_attention": None,
        "cross_attention_norm": None,
        "addition_embed_type_num_heads": 64,
    }

    @configured
    def __init__(
        self,
        sample_size=None,
        in_channels=4,
        out_channels=4,
        *,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(320, 640, 1280, 1280),
        layers_per_block=2,
        act_fn="silu",
        norm_num_groups=32,
        norm_eps=1e-5,
        cross_attention_dim=1280,
        attention_head_dim=8,
    ):
        super().__init__()
        check_config(self.config)
        C, temb_channels = block_out_channels, 4 * block_out_channels[0]  # C[0] is the finest level's
        resnet = partial(ResnetBlock2D, temb_channels=temb_channels, groups=norm_num_groups, eps=norm_eps)
        look = partial(
            Transformer2D, context_channels=cross_attention_dim, heads=attention_head_dim, groups=norm_num_groups
        )
        attend = {Transformer2D: look, NoAttention: lambda channels: NoAttention()}

        self.time_embedding = TimestepEmbedding(C[0], temb_channels)
        self.conv_in = nn.Conv2d(in_channels, C[0], 3, padding=1)

        self.down_blocks = nn.ModuleList()
        skips = [C[0]]  # channels of all that the way down keeps for the way up
        for i, name in enumerate(down_block_types):
            down = Downsample2D if i + 1 < len(C) else None
            block = DownBlock(C[max(i - 1, 0)], C[i], layers_per_block, resnet, attend[DOWN_BLOCKS[name]], down)
            self.down_blocks.append(block)
            skips += block.skip_channels

        self.mid_block = MidBlock(C[-1], resnet, look)

        self.up_blocks = nn.ModuleList()
        channels = C[-1]
        for i, name in enumerate(up_block_types):
            block_skips = [skips.pop() for _ in range(layers_per_block + 1)]
            up = Upsample2D if i + 1 < len(C) else None
            self.up_blocks.append(UpBlock(channels, C[-1 - i], block_skips, resnet, attend[UP_BLOCKS[name]], up))
            channels = C[-1 - i]

        self.conv_norm_out = nn.GroupNorm(norm_num_groups, C[0], norm_eps)
        self.conv_out = nn.Conv2d(C[0], out_channels, 3, padding=1)

    sample_shape = UNet2DModel.sample_shape
    in_first_form = False  # whether its config was written before diffusers 0.9, when sample_size meant little

    @classmethod
    def described_in(cls, repository, folder, **changes):
        made = super().described_in(repository, folder, **changes)
        version = repository.read_json(files.join(folder, cls.config_file)).get("_diffusers_version", "")
        made.in_first_form = bool(re.match(r"0\.[0-8]\.", version))
        return made

    @leaving_out(
        class_labels=None,
        timestep_cond=None,
        attention_mask=None,
        cross_attention_kwargs=None,
        added_cond_kwargs=None,
        down_block_additional_residuals=None,
        mid_block_additional_residual=None,
        down_intrablock_additional_residuals=None,
        encoder_attention_mask=None,
    )
    def forward(self, sample, timestep, encoder_hidden_states, *, return_dict=True):
        """Predicts from z_t, t and a prompt.

        Args:
            sample: z_t, (B, in_channels, H, W), of any size.
            timestep: t, a number, a 0-dim or a (B,) tensor; used as it is, whole or not.
            encoder_hidden_states: the encoded prompt, (B, M, cross_attention_dim), of any length M.
        Returns:
            `UNet2DConditionOutput`, or the tuple `(sample,)`.
        Raises:
            ValueError: the sample has other channels, there are neither one nor B times, or the prompt has another
                batch or other channels.
        """
        check_sample(sample, self.config.in_channels, halvings=0)  # odd sizes are halved, and found again on the way up
        check_context(encoder_hidden_states, len(sample), self.config.cross_attention_dim)
        t, context = one_for_each(timestep, sample), encoder_hidden_states  # (B,), (B, M, cross_attention_dim)
        e = timestep_embedding(t, self.conv_in.out_channels, flip_sin_to_cos=True)
        temb = self.time_embedding(e.to(sample.dtype))  # (B, 4 C[0])

        h = self.conv_in(sample)
        skips = [h]
        for block in self.down_blocks:
            h, kept = block(h, temb, context)
            skips += kept
        h = self.mid_block(h, temb, context)
        for block in self.up_blocks:
            h = block(h, skips, temb, context)
        h = self.conv_out(silu(self.conv_norm_out(h)))
        return UNet2DConditionOutput(sample=h).as_asked(return_dict)


def check_context(context, batch, channels):
    shape = tuple(getattr(context, "shape", ()))
    if len(shape) != 3 or shape[0] != batch or shape[2] != channels:
        raise ValueError(f"encoder_hidden_states has the shape {shape}; allowed is ({batch}, M, {channels})")


def check_config(config):
    check_lists(config, DOWN_BLOCKS, UP_BLOCKS)
    whole = ("in_channels", "out_channels", "layers_per_block", "norm_num_groups", "cross_attention_dim")
    for argument in (*whole, "attention_head_dim"):
        check_whole(argument, config[argument])
    for c in config.block_out_channels:
        for argument in ("norm_num_groups", "attention_head_dim"):
            if c % config[argument]:
                raise ValueError(f"block_out_channels holds {c}, which {argument}={config[argument]} does not divide")
    if (first := config.block_out_channels[0]) % 2:
        raise ValueError(f"block_out_channels begins with {first}; allowed is an even number of sinusoids")
    check_one_of("act_fn", config.act_fn, ("silu", "swish"))  # two names of one function
