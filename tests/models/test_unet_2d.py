"""UNet2DModel: keys, shapes and outputs are those of diffusers."""

import diffusers
import pytest
import torch
from against import assert_close, randn, relative_difference

from minidiff import UNet2DModel

SMALL = {
    "sample_size": 8,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
}
CIFAR = {
    "sample_size": 32,
    "block_out_channels": (128, 256, 256, 256),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 2,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "downsample_padding": 0,
    "norm_eps": 1e-6,
    "norm_num_groups": 32,
    "attention_head_dim": None,
    "mid_block_scale_factor": 1,
    "act_fn": "silu",
}
CELEBAHQ = CIFAR | {
    "sample_size": 256,
    "block_out_channels": (128, 128, 256, 256, 512, 512),
    "down_block_types": ("DownBlock2D",) * 4 + ("AttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "AttnUpBlock2D") + ("UpBlock2D",) * 4,
}
LEVELS = {
    "block_out_channels": (8, 16, 24),
    "down_block_types": ("AttnDownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("UpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D"),
}


def pair(**config):
    """Our network and theirs, with the same random weights: all of them drawn, GroupNorms' ones and zeros too."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ours = UNet2DModel(**config).eval()
        for name, weight in ours.named_parameters():
            if weight.ndim == 1:
                torch.nn.init.normal_(weight, mean=float("norm" in name and name.endswith("weight")), std=0.2)
    theirs = diffusers.UNet2DModel(**config).eval()
    shapes = [{key: weight.shape for key, weight in unet.state_dict().items()} for unet in (ours, theirs)]
    assert shapes[0] == shapes[1]
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@torch.no_grad()
def check(ours, theirs, sample, timestep, within=1e-5):
    assert_close(ours(sample, timestep).sample, theirs(sample, timestep).sample, within)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"layers_per_block": 2},
        LEVELS,
        LEVELS | {"layers_per_block": 2, "attention_head_dim": None},
        {"attention_head_dim": None},
        {"attention_head_dim": 4},
        {"downsample_padding": 0},
        {"freq_shift": 1},
        {"flip_sin_to_cos": False},
        {"flip_sin_to_cos": False, "freq_shift": 1},
        {"mid_block_scale_factor": 2**0.5},
        {"norm_num_groups": 3, "block_out_channels": (6, 12), "attention_head_dim": 3},
        {"norm_num_groups": 1},
        {"norm_eps": 1e-2},
        {"act_fn": "swish"},
        {"in_channels": 2, "out_channels": 5},
        {"down_block_types": ("DownBlock2D", "DownBlock2D"), "up_block_types": ("UpBlock2D", "UpBlock2D")},
        {"block_out_channels": (8,), "down_block_types": ("AttnDownBlock2D",), "up_block_types": ("UpBlock2D",)},
    ],
    ids=lambda config: "-".join(config) or "default",
)
def test_outputs(config):
    ours, theirs = pair(**SMALL | config)
    check(ours, theirs, randn(2, ours.config.in_channels, 8, 8), torch.tensor([7, 981]))


@pytest.mark.parametrize("shape", ((2, 3, 8, 12), (1, 3, 16, 4), (3, 3, 2, 2)))
def test_sizes(shape):
    check(*pair(**SMALL), randn(*shape), 500)


def test_a_pair_of_sizes():
    ours, theirs = pair(**SMALL | {"sample_size": (8, 12)})
    assert ours.sample_shape == (3, 8, 12) and UNet2DModel(**SMALL).sample_shape == (3, 8, 8)
    check(ours, theirs, randn(1, 3, 8, 12), 0)
    with pytest.raises(ValueError, match="sample_size is None; allowed"):
        UNet2DModel(**SMALL | {"sample_size": None}).sample_shape


@pytest.mark.parametrize(
    "timestep",
    [
        0,
        999,
        torch.tensor(500),
        torch.tensor(12.25),
        torch.tensor([3]),
        torch.tensor([3, 900]),
        torch.tensor([0.5, 700]),
    ],
    ids=str,
)
def test_times(timestep):
    check(*pair(**SMALL), randn(), timestep)


def test_times_of_a_batch_are_told_apart():
    ours, _ = pair(**SMALL)
    with torch.no_grad():
        together = ours(randn(), torch.tensor([3, 900])).sample
        alone = [ours(randn()[i : i + 1], t).sample for i, t in enumerate((3, 900))]
        assert_close(together, torch.cat(alone))
        assert relative_difference(ours(randn(), 3).sample, together) > 1e-3


def test_a_float_is_a_time_of_its_own():
    ours, theirs = pair(**SMALL)
    with torch.no_grad():
        assert_close(ours(randn(), 3.5).sample, theirs(randn(), torch.tensor(3.5)).sample)
        assert torch.equal(theirs(randn(), 3.5).sample, theirs(randn(), 3).sample)  # it is cut off there
        difference = relative_difference(theirs(randn(), 3.5).sample, ours(randn(), 3.5).sample)
        assert difference == pytest.approx(0.0197, abs=5e-4)


@pytest.mark.parametrize("dtype", (torch.float64, torch.float16))
def test_dtypes(dtype):
    ours, theirs = (unet.to(dtype) for unet in pair(**SMALL))
    check(ours, theirs, randn(dtype=dtype), torch.tensor([7, 981]), 1e-5 if dtype == torch.float64 else 5e-3)


def test_the_tuple():
    ours, _ = pair(**SMALL)
    with torch.no_grad():
        (sample,) = ours(randn(), 3, return_dict=False)
        assert torch.equal(sample, ours(randn(), 3)[0]) and sample.shape == randn().shape


@pytest.mark.parametrize(
    "config, size, parameters, tensors", [(CIFAR, 32, 35_746_307, 328), (CELEBAHQ, 256, 113_673_219, 450)]
)
def test_published_networks_at_full_size(config, size, parameters, tensors):
    ours, theirs = pair(**config)
    assert ours.num_parameters() == parameters and len(ours.state_dict()) == tensors
    check(ours, theirs, randn(1, 3, size, size), 500)


def test_the_gradient_is_theirs():
    gradients = []
    for unet in pair(**SMALL):
        unet(randn(), torch.tensor([7, 981])).sample.square().mean().backward()
        gradients.append({name: weight.grad for name, weight in unet.named_parameters()})
    largest = max(gradient.abs().max() for gradient in gradients[1].values())
    for name, gradient in gradients[0].items():
        assert (gradient - gradients[1][name]).abs().max() < 1e-5 * largest


@pytest.mark.parametrize(
    "config, message",
    [
        (
            {"down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D")},
            "an entry of down_block_types is 'CrossAttnDownBlock2D'; allowed are 'DownBlock2D', 'AttnDownBlock2D'",
        ),
        (
            {"up_block_types": ("UpBlock", "UpBlock2D")},
            "an entry of up_block_types is 'UpBlock'; allowed are 'UpBlock2D', 'AttnUpBlock2D'",
        ),
        ({"block_out_channels": (8, 16, 24)}, "down_block_types has 2 entries, block_out_channels 3"),
        ({"up_block_types": ("UpBlock2D",)}, "up_block_types has 1 entries, block_out_channels 2"),
        ({"norm_num_groups": 5}, "block_out_channels holds 8, which norm_num_groups=5 does not divide"),
        ({"attention_head_dim": 3}, "wants attention over 16 channels, which attention_head_dim=3 does not divide"),
        (
            {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2, "attention_head_dim": 3},
            "the middle has attention over 16 channels, the last of block_out_channels, which attention_head_dim=3",
        ),
        ({"act_fn": "gelu"}, "act_fn is 'gelu'; only 'silu'"),
        ({"class_embed_type": "timestep"}, "class_embed_type is 'timestep'"),
        ({"resnet_time_scale_shift": "scale_shift"}, "resnet_time_scale_shift is 'scale_shift'"),
        ({"add_attention": False}, "add_attention is False"),
        ({"downsample_padding": 2}, "downsample_padding is 2; allowed are 0, 1"),
        ({"norm_num_groups": 0}, "norm_num_groups is 0; allowed is a whole number from 1 on"),
        ({"norm_num_groups": None}, "norm_num_groups is None; allowed is a whole number"),
        ({"layers_per_block": "2"}, "layers_per_block is '2'; allowed is a whole number from 1 on"),
        ({"layers_per_block": -1}, "layers_per_block is -1"),
        ({"in_channels": 0}, "in_channels is 0"),
        ({"out_channels": 1.5}, "out_channels is 1.5"),
        ({"attention_head_dim": -4}, "attention_head_dim is -4"),
        ({"block_out_channels": 8}, "block_out_channels is 8; allowed is a list with an entry for each level"),
        ({"block_out_channels": (8, "16")}, "block_out_channels is '16'; allowed is a whole number"),
        ({"down_block_types": None}, "down_block_types is None; allowed is a list"),
        ({"up_block_types": ()}, r"up_block_types is \(\); allowed is a list"),
        (
            {"block_out_channels": (15, 30), "norm_num_groups": 5},
            "block_out_channels begins with 15; allowed is",
        ),
    ],
)
def test_configs_that_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        UNet2DModel(**SMALL | config)


def test_input_that_does_not_fit():
    unet = UNet2DModel(**SMALL)
    with pytest.raises(ValueError, match="sample is 8 x 9; allowed are multiples of 2, since it is halved 1 times"):
        unet(randn(2, 3, 8, 9), 3)
    for shape in ((3, 8, 8), (2, 4, 8, 8)):
        with pytest.raises(ValueError, match=r"sample has the shape .*; allowed is \(B, 3, H, W\)"):
            unet(randn(*shape), 3)
    for times in ([1, 2, 3], [[1], [2]]):
        with pytest.raises(ValueError, match="timestep has the shape .*; allowed is one time, or one for each of 2"):
            unet(randn(), torch.tensor(times))


def test_a_misspelt_argument():
    with pytest.raises(
        TypeError, match="UNet2DModel has no argument 'layer_per_block'; did you mean 'layers_per_block'"
    ):
        UNet2DModel(**SMALL, layer_per_block=2)


def test_names_of_the_first_release():
    old = {
        "image_size": 8,
        "block_channels": [8, 16],
        "num_res_blocks": 1,
        "resnet_num_groups": 4,
        "down_blocks": ["UNetResDownBlock2D", "UNetResAttnDownBlock2D"],
        "up_blocks": ["UNetResAttnUpBlock2D", "UNetResUpBlock2D"],
        "num_head_channels": 4,
        "resnet_act_fn": "swish",
        "resnet_eps": 1e-3,
        "downscale_freq_shift": 1,
    }
    today = SMALL | {"attention_head_dim": 4, "act_fn": "swish", "norm_eps": 1e-3, "freq_shift": 1}
    unets = UNet2DModel.from_config(old), UNet2DModel(**today)
    configs = [{key: value for key, value in unet.config.items() if "block_types" not in key} for unet in unets]
    assert configs[0] == configs[1]
    shapes = [{key: weight.shape for key, weight in unet.state_dict().items()} for unet in unets]
    assert shapes[0] == shapes[1]
