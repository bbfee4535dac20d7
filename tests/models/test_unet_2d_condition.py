"""UNet2DConditionModel: keys, shapes and outputs are those of diffusers."""

import diffusers
import pytest
import torch
from against import assert_close, randn, relative_difference
from networks import at_full_width, both_networks, check_gradients

from minidiff import UNet2DConditionModel

SMALL = {
    "sample_size": 8,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "cross_attention_dim": 12,
    "attention_head_dim": 4,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}
THREE_LEVELS = {
    "block_out_channels": (8, 16, 24),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
}
LATENT, PROMPT = (2, 4, 8, 12), (2, 5, 12)


def prompt(seed=1):
    return randn(*PROMPT, seed=seed)


@torch.no_grad()
def check(ours, theirs, sample, timestep, context, within=1e-5):
    assert_close(ours(sample, timestep, context).sample, theirs(sample, timestep, context).sample, within)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"layers_per_block": 2},
        THREE_LEVELS,
        THREE_LEVELS | {"layers_per_block": 2, "attention_head_dim": 2},
        {"attention_head_dim": 1},
        {"in_channels": 9, "out_channels": 3},
        {"norm_num_groups": 2, "norm_eps": 1e-2},
        {"act_fn": "swish"},
        {"block_out_channels": (8,), "down_block_types": ("CrossAttnDownBlock2D",), "up_block_types": ("UpBlock2D",)},
    ],
    ids=lambda config: "-".join(config) or "default",
)
def test_outputs(config):
    ours, theirs = both_networks("UNet2DConditionModel", **SMALL | config)
    check(ours, theirs, randn(2, ours.config.in_channels, 8, 12), torch.tensor([7, 981]), prompt())


@pytest.mark.parametrize("timestep", [0, torch.tensor(12.25), torch.tensor([3]), torch.tensor([0.5, 700])], ids=str)
def test_times(timestep):
    check(*both_networks("UNet2DConditionModel", **SMALL), randn(*LATENT), timestep, prompt())


@torch.no_grad()
def test_what_it_listens_to():
    """Every sample hears its own prompt, of any length, whatever the order of its words."""
    ours, theirs = both_networks("UNet2DConditionModel", **SMALL)
    check(ours, theirs, randn(*LATENT), 3, randn(2, 1, 12))
    together = ours(randn(*LATENT), 3, prompt()).sample
    for i in (0, 1):
        alone = ours(randn(*LATENT)[i : i + 1], 3, prompt()[i : i + 1]).sample
        assert_close(together[i : i + 1], alone)
    assert_close(ours(randn(*LATENT), 3, prompt().flip(1)).sample, together)
    assert relative_difference(ours(randn(*LATENT), 3, prompt(seed=2)).sample, together) > 1e-2


@pytest.mark.parametrize("dtype", (torch.float64, torch.float16))
def test_dtypes(dtype):
    ours, theirs = (unet.to(dtype) for unet in both_networks("UNet2DConditionModel", **SMALL))
    within = 1e-5 if dtype == torch.float64 else 5e-3
    check(ours, theirs, randn(*LATENT, dtype=dtype), 7, randn(*PROMPT, dtype=dtype), within)


def test_the_tuple():
    ours, _ = both_networks("UNet2DConditionModel", **SMALL)
    with torch.no_grad():
        (sample,) = ours(randn(*LATENT), 3, prompt(), return_dict=False)
        assert torch.equal(sample, ours(randn(*LATENT), 3, prompt())[0]) and sample.shape == LATENT


def test_gradients():
    ours, theirs = both_networks("UNet2DConditionModel", **SMALL)
    check_gradients(ours, theirs, lambda unet: unet(randn(*LATENT), 7, prompt()).sample)


@pytest.mark.parametrize(
    "config, parameters, tensors",
    [
        ({"cross_attention_dim": 768}, 859_520_964, 686),  # Stable Diffusion
        ({"sample_size": 32}, 872_300_484, 686),  # CompVis/ldm-text2im-large-256
    ],
    ids=["stable-diffusion", "ldm-text2im"],
)
def test_published_networks_at_full_width(config, parameters, tensors):
    """At the smallest latent that three halvings take."""
    with torch.device("meta"):
        ours, theirs = UNet2DConditionModel(**config), diffusers.UNet2DConditionModel(**config)
    assert ours.num_parameters() == parameters and len(ours.state_dict()) == tensors
    context = randn(1, 3, ours.config.cross_attention_dim)
    check(*at_full_width(ours, theirs), randn(1, 4, 8, 8), 500, context)


def test_the_published_network_for_inpainting():
    with torch.device("meta"):
        assert UNet2DConditionModel(in_channels=9, cross_attention_dim=768).num_parameters() == 859_535_364


@pytest.mark.parametrize("size", ((7, 9), (8, 11), (5, 6)))
def test_sizes_that_are_odd_on_the_way_down(size):
    """Each level of the way up finds the size of its maps again."""
    check(*both_networks("UNet2DConditionModel", **SMALL | THREE_LEVELS), randn(2, 4, *size), 500, prompt())


def test_the_shape_of_a_sample():
    assert UNet2DConditionModel(**SMALL).sample_shape == (4, 8, 8)
    assert UNet2DConditionModel(**SMALL | {"sample_size": (8, 12)}).sample_shape == (4, 8, 12)


@pytest.mark.parametrize(
    "config, message",
    [
        (
            {"down_block_types": ("AttnDownBlock2D", "DownBlock2D")},
            "an entry of down_block_types is 'AttnDownBlock2D'; allowed are 'DownBlock2D', 'CrossAttnDownBlock2D'",
        ),
        ({"up_block_types": ("UpBlock2D", "UpBlock")}, "an entry of up_block_types is 'UpBlock'; allowed"),
        ({"block_out_channels": (8, 16, 24)}, "down_block_types has 2 entries, block_out_channels 3"),
        ({"block_out_channels": 8}, "block_out_channels is 8; allowed is a list with an entry for each level"),
        ({"up_block_types": ()}, r"up_block_types is \(\); allowed is a list with an entry for each level"),
        ({"norm_num_groups": 5}, "block_out_channels holds 8, which norm_num_groups=5 does not divide"),
        ({"attention_head_dim": 3}, "block_out_channels holds 8, which attention_head_dim=3 does not divide"),
        ({"attention_head_dim": (4, 4)}, r"attention_head_dim is \(4, 4\); allowed is a whole number"),
        ({"cross_attention_dim": 0}, "cross_attention_dim is 0; allowed is a whole number from 1 on"),
        ({"layers_per_block": (1, 2)}, r"layers_per_block is \(1, 2\); allowed is a whole number"),
        ({"block_out_channels": (5, 10), "norm_num_groups": 5, "attention_head_dim": 1}, "begins with 5; allowed is"),
        ({"act_fn": "gelu"}, "act_fn is 'gelu'; allowed are 'silu'"),
        ({"use_linear_projection": True}, "use_linear_projection is True, a feature of diffusers"),
        ({"class_embed_type": "timestep"}, "class_embed_type is 'timestep', a feature of diffusers"),
        ({"mid_block_type": "UNetMidBlock2D"}, "mid_block_type is 'UNetMidBlock2D'"),
    ],
)
def test_configs_that_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        UNet2DConditionModel(**SMALL | config)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"sample": randn(2, 3, 8, 8)}, r"sample has the shape \(2, 3, 8, 8\); allowed is \(B, 4, H, W\)"),
        ({"timestep": torch.tensor([1, 2, 3])}, "timestep has the shape .*; allowed is one time"),
        ({"encoder_hidden_states": None}, r"encoder_hidden_states has the shape \(\); allowed is \(2, M, 12\)"),
        ({"encoder_hidden_states": randn(1, 5, 12)}, r"the shape \(1, 5, 12\); allowed is \(2, M, 12\)"),
        ({"encoder_hidden_states": randn(2, 5, 11)}, r"the shape \(2, 5, 11\); allowed is \(2, M, 12\)"),
        ({"encoder_hidden_states": randn(5, 12)}, r"the shape \(5, 12\); allowed is \(2, M, 12\)"),
    ],
)
def test_input_that_does_not_fit(change, message):
    inputs = {"sample": randn(*LATENT), "timestep": 3, "encoder_hidden_states": prompt()}
    with pytest.raises(ValueError, match=message):
        UNet2DConditionModel(**SMALL)(**inputs | change)
