"""The published UNets over latents without words, at full width, are those of diffusers."""

import diffusers
import pytest
import torch
from against import assert_close, randn
from networks import at_full_width

from minidiff import UNet2DModel

CELEBAHQ = {  # unet/config.json of CompVis/ldm-celebahq-256
    "sample_size": 64,
    "block_out_channels": (224, 448, 672, 896),
    "layers_per_block": 2,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": 32,
}
SUPER_RESOLUTION = {  # of CompVis/ldm-super-resolution-4x-openimages
    "sample_size": 64,
    "in_channels": 6,
    "block_out_channels": (160, 320, 320, 640),
    "layers_per_block": 2,
    "down_block_types": ("DownBlock2D", "DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D", "UpBlock2D", "UpBlock2D"),
    "attention_head_dim": 32,
}


@pytest.mark.parametrize(
    "config, parameters", [(CELEBAHQ, 274_056_163), (SUPER_RESOLUTION, 113_622_563)], ids=["celebahq", "openimages"]
)
def test_published_networks_at_full_width(config, parameters):
    """At the smallest latent that three halvings take."""
    with torch.device("meta"):
        pair = UNet2DModel(**config), diffusers.UNet2DModel(**config)
    ours, theirs = at_full_width(*pair)
    assert ours.num_parameters() == parameters
    x = randn(1, ours.config.in_channels, 8, 8)
    with torch.no_grad():
        assert_close(ours(x, 500).sample, theirs(x, 500).sample)
