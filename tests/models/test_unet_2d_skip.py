"""UNet2DModel as a score network: NCSN++'s blocks, resampling and times are those of diffusers."""

import warnings

import diffusers
import pytest
import torch
from against import assert_close, randn, relative_difference
from diffusers.models.downsampling import FirDownsample2D
from diffusers.models.upsampling import FirUpsample2D

from minidiff import UNet2DModel
from minidiff.models.embeddings import GaussianFourierProjection
from minidiff.models.resample import fir_downsample, fir_upsample
from minidiff.models.resnet import ResnetBlock2D, group_norm

SCORE = {
    "center_input_sample": True,
    "time_embedding_type": "fourier",
    "norm_eps": 1e-6,
    "norm_num_groups": None,
    "mid_block_scale_factor": 1.41421356237,
    "attention_head_dim": None,
}
SMALL = SCORE | {
    "sample_size": 8,
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
    "down_block_types": ("SkipDownBlock2D", "SkipDownBlock2D"),
    "up_block_types": ("SkipUpBlock2D", "SkipUpBlock2D"),
}
WIDE = SMALL | {
    "block_out_channels": (128, 128),
    "down_block_types": ("SkipDownBlock2D", "AttnSkipDownBlock2D"),
    "up_block_types": ("AttnSkipUpBlock2D", "SkipUpBlock2D"),
}
CHURCH = SCORE | {  # google/ncsnpp-church-256 and -celebahq-256
    "sample_size": 256,
    "block_out_channels": (128, 128, 256, 256, 256, 256, 256),
    "layers_per_block": 2,
    "down_block_types": ("SkipDownBlock2D",) * 4 + ("AttnSkipDownBlock2D",) + ("SkipDownBlock2D",) * 2,
    "up_block_types": ("SkipUpBlock2D",) * 2 + ("AttnSkipUpBlock2D",) + ("SkipUpBlock2D",) * 4,
}
FFHQ = SCORE | {  # google/ncsnpp-ffhq-1024
    "sample_size": 1024,
    "block_out_channels": (16, 32, 64, 128, 256, 512, 512, 512),
    "layers_per_block": 1,
    "down_block_types": ("SkipDownBlock2D",) * 6 + ("AttnSkipDownBlock2D", "SkipDownBlock2D"),
    "up_block_types": ("SkipUpBlock2D", "AttnSkipUpBlock2D") + ("SkipUpBlock2D",) * 6,
}
SIGMAS = torch.tensor([0.3, 20.0])


def pair(**config):
    """Our network and theirs, with the same random weights: all of them drawn, GroupNorms' ones and zeros too."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ours = UNet2DModel(**config).eval()
        for name, weight in ours.named_parameters():
            if weight.ndim == 1 and name != "time_proj.weight":
                torch.nn.init.normal_(weight, mean=float("norm" in name and name.endswith("weight")), std=0.2)
        theirs = diffusers.UNet2DModel(**config).eval()
    shapes = [{key: weight.shape for key, weight in unet.state_dict().items()} for unet in (ours, theirs)]
    assert shapes[0] == shapes[1]
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@torch.no_grad()
def check(ours, theirs, sample, sigma=SIGMAS, within=1e-5):
    assert_close(ours(sample, sigma).sample, theirs(sample, sigma).sample, within)


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        SMALL | {"layers_per_block": 2},
        SMALL | {"center_input_sample": False},
        SMALL | {"time_embedding_type": "positional", "flip_sin_to_cos": False, "freq_shift": 1},
        SMALL | {"norm_num_groups": 8},
        SMALL | {"mid_block_scale_factor": 1},
        SMALL | {"norm_eps": 1e-2},
        SMALL | {"attention_head_dim": 8},
        SMALL
        | {"block_out_channels": (16,), "down_block_types": ("SkipDownBlock2D",), "up_block_types": ("SkipUpBlock2D",)},
        WIDE,
        WIDE | {"layers_per_block": 2, "attention_head_dim": 64},
        WIDE | {"down_block_types": ("AttnSkipDownBlock2D",) * 2, "up_block_types": ("AttnSkipUpBlock2D",) * 2},
    ],
    ids=lambda config: "-".join(key for key in config if config[key] != SMALL.get(key)) or "small",
)  # fmt: skip
def test_outputs(config):
    check(*pair(**config), randn())


@pytest.mark.parametrize("options", ({}, {"center_input_sample": True}, {"time_embedding_type": "fourier"}))
def test_plain_blocks_take_them_too(options):
    blocks = {"down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("UpBlock2D",) * 2}
    config = {"block_out_channels": (8, 16), "norm_num_groups": 4, "mid_block_scale_factor": 2**0.5}
    check(*pair(**config, **blocks, **options), randn())


@pytest.mark.parametrize("shape", ((2, 3, 8, 12), (1, 3, 16, 4), (3, 3, 2, 2)))
def test_sizes(shape):
    check(*pair(**SMALL), randn(*shape), torch.tensor(3.7))


def test_a_noise_level_is_told_as_it_is():
    ours, theirs = pair(**SMALL)
    with torch.no_grad():
        for sigma in (0.01, 3, torch.tensor(0.01), torch.tensor([1348.0])):
            whole = torch.as_tensor(sigma, dtype=torch.float32)  # theirs cuts a number off
            assert_close(ours(randn(), sigma).sample, theirs(randn(), whole).sample)
        together = ours(randn(), SIGMAS).sample
        alone = torch.cat([ours(randn()[i : i + 1], sigma).sample for i, sigma in enumerate(SIGMAS)])
        assert_close(together, alone)


@pytest.mark.parametrize("dtype", (torch.float64, torch.float16))
def test_dtypes(dtype):
    ours, theirs = (unet.to(dtype) for unet in pair(**SMALL))
    if dtype == torch.float16:
        ours.time_proj.weight.data = pair(**SMALL)[0].time_proj.weight  # a rounded frequency is another one
    with torch.no_grad():
        out = ours(randn(dtype=dtype), SIGMAS).sample
        assert out.dtype == dtype
        # Theirs takes the logarithm in the dtype of the noise level, and the sinusoids in that of the frequencies.
        wanted = (
            theirs(randn(dtype=dtype), SIGMAS.double()) if dtype == torch.float64 else pair(**SMALL)[0](randn(), SIGMAS)
        )
        for mine, other in zip(out, wanted.sample.to(dtype)):  # one is far smaller than the other
            assert relative_difference(mine, other) < (1e-5 if dtype == torch.float64 else 5e-3)


def test_the_gradient_is_theirs():
    gradients = []
    for unet in pair(**SMALL):
        unet(randn(), SIGMAS).sample.square().mean().backward()
        gradients.append({name: weight.grad for name, weight in unet.named_parameters() if weight.grad is not None})
    assert gradients[0].keys() == gradients[1].keys() and "time_proj.weight" not in gradients[0]
    largest = max(gradient.abs().max() for gradient in gradients[1].values())
    for name, gradient in gradients[0].items():
        assert (gradient - gradients[1][name]).abs().max() < 1e-5 * largest


@pytest.mark.parametrize(
    "config, size, parameters, tensors", [(CHURCH, 64, 65_574_549, 645), (FFHQ, 128, 105_785_896, 553)]
)
def test_published_networks_at_full_width(config, size, parameters, tensors):
    ours, theirs = pair(**config)
    assert ours.num_parameters() == parameters and len(ours.state_dict()) == tensors
    check(ours, theirs, torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0)), torch.tensor([0.7]))


# -- their parts


def test_filters():
    x = randn(2, 5, 6, 10)
    assert_close(fir_downsample(x), FirDownsample2D()(x))
    assert_close(fir_upsample(x), FirUpsample2D()(x))


def test_filters_keep_a_constant_away_from_the_edge():
    flat = torch.full((1, 2, 8, 8), 0.7)
    assert_close(fir_downsample(flat)[..., 1:-1, 1:-1], torch.full((1, 2, 2, 2), 0.7))
    assert_close(fir_upsample(flat)[..., 1:-1, 1:-1], torch.full((1, 2, 14, 14), 0.7))


def test_filters_leave_nothing_of_the_finest_stripes():
    stripes = torch.tensor([1.0, -1.0]).repeat(8).expand(1, 1, 16, 16)
    assert fir_downsample(stripes)[..., 1:-1].abs().max() < 1e-6
    assert stripes[..., ::2].abs().min() == 1  # who takes every second pixel sees a flat picture


def test_frequencies_are_drawn_once_and_wide():
    torch.manual_seed(0)
    layer = GaussianFourierProjection(4096)
    assert layer.weight.std() == pytest.approx(16, rel=0.05) and not layer.weight.requires_grad
    e = layer(torch.tensor([1.0, 2.0]))
    assert e.shape == (2, 8192) and torch.equal(e[0], torch.cat([torch.zeros(4096), torch.ones(4096)]))  # ln 1 = 0


@pytest.mark.parametrize("channels, groups", ((4, 1), (12, 3), (96, 24), (128, 32), (256, 32), (160, 32)))
def test_groups_of_four_channels(channels, groups):
    assert group_norm(channels, None, 1e-6).num_groups == groups


def test_a_resampling_block_has_a_shortcut():
    block = ResnetBlock2D(4, 4, groups=None, resample=fir_downsample)
    assert block(randn(2, 4, 6, 10)).shape == (2, 4, 3, 5) and "conv_shortcut.weight" in block.state_dict()


# -- files


def test_a_flat_folder_with_a_pickle_and_keys_of_old(tmp_path):
    ours, _ = pair(**SMALL)
    ours.save_pretrained(tmp_path)
    (tmp_path / "diffusion_pytorch_model.safetensors").unlink()
    weights = ours.state_dict()
    old = {key.replace("mid_block", "mid").replace("down_blocks", "downsample_blocks"): W for key, W in weights.items()}
    old = {key.replace("to_out.0", "proj_attn").replace("to_q", "query"): W for key, W in old.items()}
    torch.save(old | {"time_proj.W": weights["time_proj.weight"]}, tmp_path / "diffusion_pytorch_model.bin")
    loaded = UNet2DModel.from_pretrained(tmp_path)
    assert loaded.config == ours.config
    with torch.no_grad():
        assert_close(loaded(randn(), SIGMAS).sample, ours(randn(), SIGMAS).sample)


def test_diffusers_reads_what_is_saved(tmp_path):
    ours, _ = pair(**SMALL)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        ours.save_pretrained(tmp_path)
    check(ours, diffusers.UNet2DModel.from_pretrained(tmp_path).eval(), randn())


# -- the ledger


def test_group_counts_of_a_narrow_network(tmp_path):
    narrow = WIDE | {"block_out_channels": (64, 64)}
    ours, theirs = pair(**narrow)
    norms = [
        [block.attentions[0].group_norm.num_groups for block in (unet.down_blocks[1], unet.up_blocks[0])]
        + [unet.up_blocks[0].resnets[0].norm1.num_groups, unet.up_blocks[1].resnets[0].norm1.num_groups]
        for unet in (ours, theirs)
    ]
    assert norms == [[16, 16, 32, 32], [32, 32, 32, 32]]
    with torch.no_grad():
        difference = relative_difference(theirs(randn(), SIGMAS).sample, ours(randn(), SIGMAS).sample)
    assert difference == pytest.approx(0.115, abs=0.001)
    with pytest.warns(UserWarning, match='diffusers has 32 groups in AttnSkip blocks.*the ledger, "AttnSkip groups"'):
        ours.save_pretrained(tmp_path)
    check(UNet2DModel.from_pretrained(tmp_path), ours, randn())


# -- refusals


@pytest.mark.parametrize(
    "config, message",
    [
        ({"time_embedding_type": "learned"}, "time_embedding_type is 'learned'; allowed are 'positional', 'fourier'"),
        (
            {"down_block_types": ("DownBlock2D", "SkipDownBlock2D")},
            "are DownBlock2D, SkipDownBlock2D, SkipUpBlock2D, SkipUpBlock2D; allowed are Skip blocks at all levels",
        ),
        ({"up_block_types": ("UpBlock2D",) * 2}, "allowed are Skip blocks at all levels or at none"),
        ({"block_out_channels": (16, 30)}, "block_out_channels leads to a GroupNorm over 30 channels, an entry or a"),
        ({"block_out_channels": (96, 48)}, "block_out_channels leads to a GroupNorm over 144 channels"),
        ({"norm_num_groups": 0}, "norm_num_groups is 0; allowed is a whole number from 1 on"),
    ],
    ids=str,
)  # fmt: skip
def test_configs_that_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        UNet2DModel(**SMALL | config)
