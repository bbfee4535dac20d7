"""UNet1DModel: keys, shapes and outputs are those of diffusers, once that is told how many frequencies there are."""

import json

import diffusers
import pytest
import torch
from against import assert_close, randn, relative_difference

from minidiff import UNet1DModel
from minidiff.models.base import Uninitialised
from minidiff.models.unet_1d import cubic_kernel

SMALL = {"sample_size": 128, "sample_rate": 64}
DEEP = {
    "down_block_types": ("DownBlock1DNoSkip", "DownBlock1D", "DownBlock1D", "AttnDownBlock1D", "AttnDownBlock1D"),
    "up_block_types": ("AttnUpBlock1D", "AttnUpBlock1D", "UpBlock1D", "UpBlock1D", "UpBlock1DNoSkip"),
    "block_out_channels": (4, 8, 48, 64, 96),
}
MAESTRO = {  # unet/config.json of harmonai/maestro-150k
    "_class_name": "UNet1DModel",
    "_diffusers_version": "0.7.0.dev0",
    "act_fn": None,
    "block_out_channels": [128, 128, 256, 256, *[512] * 9],
    "down_block_types": ["DownBlock1DNoSkip", *["DownBlock1D"] * 7, *["AttnDownBlock1D"] * 5],
    "downsample_each_block": False,
    "extra_in_channels": 16,
    "flip_sin_to_cos": True,
    "freq_shift": 0.0,
    "in_channels": 2,
    "layers_per_block": 1,
    "mid_block_type": "UNetMidBlock1D",
    "norm_num_groups": 8,
    "out_block_type": None,
    "out_channels": 2,
    "sample_rate": 16000,
    "sample_size": 65536,
    "time_embedding_type": "fourier",
    "up_block_types": [*["AttnUpBlock1D"] * 5, *["UpBlock1D"] * 7, "UpBlock1DNoSkip"],
    "use_timestep_embedding": False,
}


def wave(B=2, C=2, L=128, **options):
    return randn(B, C, L, **options)


def pair(**config):
    """Our network and theirs, with the same random weights: all of them drawn, GroupNorms' ones and zeros too."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ours = UNet1DModel(**SMALL | config).eval()
        for name, weight in ours.named_parameters():
            if weight.ndim == 1 and weight.requires_grad:
                torch.nn.init.normal_(weight, mean=float("norm" in name and name.endswith("weight")), std=0.2)
    theirs = diffusers.UNet1DModel(**ours.config).eval()
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
        {"extra_in_channels": 6},
        {"time_embedding_dim": 16},
        {"flip_sin_to_cos": False},
        {"in_channels": 1, "out_channels": 3},
        {"block_out_channels": (5, 33, 70)},
        {"down_block_types": ("DownBlock1DNoSkip", "DownBlock1D", "DownBlock1D")},
        {"up_block_types": ("UpBlock1D", "AttnUpBlock1D", "UpBlock1DNoSkip")},
        {"up_block_types": ("UpBlock1D", "UpBlock1D", "UpBlock1DNoSkip"), "block_out_channels": (3, 4, 32)},
        DEEP,
    ],
    ids=lambda config: "-".join(config) or "default",
)
def test_outputs(config):
    ours, theirs = pair(**config)
    check(ours, theirs, wave(C=ours.config.in_channels), torch.tensor([0.1, 0.93]))


@pytest.mark.parametrize("shape", ((2, 2, 24), (1, 2, 136), (3, 2, 64)))
def test_lengths(shape):
    check(*pair(), randn(*shape), torch.tensor(0.5))


@pytest.mark.parametrize("timestep", [0, 1, torch.tensor(0.5), torch.tensor([0.3]), torch.tensor([0.0, 1.0])], ids=str)
def test_times(timestep):
    check(*pair(), wave(), timestep)


def test_times_of_a_batch_are_told_apart():
    ours, _ = pair()
    with torch.no_grad():
        together = ours(wave(), torch.tensor([0.1, 0.9])).sample
        alone = [ours(wave()[i : i + 1], t).sample for i, t in enumerate((0.1, 0.9))]
        assert_close(together, torch.cat(alone))
        assert relative_difference(ours(wave(), 0.1).sample, together) > 1e-2


@pytest.mark.parametrize("dtype", (torch.float64, torch.float16))
def test_dtypes(dtype):
    ours, theirs = (unet.to(dtype) for unet in pair())
    t = torch.tensor([0.25, 0.75], dtype=dtype)
    check(ours, theirs, wave().to(dtype), t, 1e-5 if dtype == torch.float64 else 1e-2)


def test_the_tuple_and_the_shape():
    ours, _ = pair()
    with torch.no_grad():
        (sample,) = ours(wave(), 0.5, return_dict=False)
        assert torch.equal(sample, ours(wave(), 0.5)[0]) and sample.shape == wave().shape
    assert ours.sample_shape == (2, 128) and ours.num_parameters() == 711_466


def test_the_gradient_is_theirs():
    gradients = []
    for unet in pair():
        unet(wave(), torch.tensor([0.1, 0.9])).sample.square().mean().backward()
        gradients.append({name: weight.grad for name, weight in unet.named_parameters()})
    assert gradients[0].pop("time_proj.weight") is gradients[1].pop("time_proj.weight") is None  # drawn once for all
    largest = max(gradient.abs().max() for gradient in gradients[1].values())
    for name, gradient in gradients[0].items():
        assert (gradient - gradients[1][name]).abs().max() < 1e-5 * largest


def test_the_published_network_at_full_width():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ours = UNet1DModel.from_config(MAESTRO).eval()
    assert ours.num_parameters() == 221_389_322 and len(ours.state_dict()) == 1076
    assert ours.time_proj.weight.shape == (8,)
    with Uninitialised():
        theirs = diffusers.UNet1DModel(**ours.config).eval()
    theirs.load_state_dict(ours.state_dict(), assign=True)
    check(ours, theirs, wave(B=1, L=3 * 2**13), torch.tensor(0.7))  # its shortest length


@torch.no_grad()
def test_half_precision_does_not_round_the_time():
    ours, theirs = (unet.half() for unet in pair())
    t = torch.linspace(0, 1, 101)
    assert_close(ours.time_proj(t), theirs.time_proj(t), 1e-6)
    assert ours.double().time_proj(t.double()).dtype == torch.float64
    sample = wave().half()
    assert ours.half()(sample, t[:2]).sample.dtype == torch.float16


def test_the_kernel_is_theirs():
    for name, kernel in diffusers.UNet1DModel(**UNet1DModel(**SMALL).config).named_buffers():
        assert torch.equal(kernel, cubic_kernel() * (2 if ".up." in name else 1)), name
    assert cubic_kernel().sum() == 1


def test_a_line_stays_a_line_when_its_length_is_halved_and_doubled():
    ours, _ = pair()
    t = torch.arange(64.0)[None, None]  # (1, 1, 64); near the ends it is mirrored
    torch.testing.assert_close(ours.mid_block.down(t)[0, 0, 2:-2], t[0, 0, ::2][2:-2] + 0.5)
    torch.testing.assert_close(ours.mid_block.up(t)[0, 0, 4:-4], (torch.arange(128.0) / 2 - 0.25)[4:-4])


# -- the ledger


def test_the_fourier_size_follows_from_the_channels(tmp_path):
    """A folder as published, without time_embedding_dim: it loads here, and not in diffusers; ours loads in both."""
    published = MAESTRO | {
        "block_out_channels": [32, 64],
        "down_block_types": ["DownBlock1DNoSkip", "DownBlock1D"],
        "up_block_types": ["UpBlock1D", "UpBlock1DNoSkip"],
    }
    ours = UNet1DModel.from_config(published).eval()
    ours.save_pretrained(tmp_path / "ours")
    (tmp_path / "published").mkdir()
    weights = "diffusion_pytorch_model.safetensors"
    (tmp_path / "published" / weights).write_bytes((tmp_path / "ours" / weights).read_bytes())
    (tmp_path / "published/config.json").write_text(json.dumps(published))

    loaded = UNet1DModel.from_pretrained(tmp_path / "published")
    assert loaded.time_proj.weight.shape == (8,) and loaded.config.time_embedding_dim == 16
    with pytest.raises((ValueError, RuntimeError), match="time_proj.weight"):
        diffusers.UNet1DModel.from_pretrained(tmp_path / "published", low_cpu_mem_usage=False)
    assert diffusers.UNet1DModel.from_config(MAESTRO | published).time_proj.weight.shape == (32,)  # block_out_channels

    theirs = diffusers.UNet1DModel.from_pretrained(tmp_path / "ours", low_cpu_mem_usage=False)
    for unet in (loaded, theirs.eval()):
        with torch.no_grad():
            assert_close(unet(wave(), torch.tensor(0.5)).sample, ours(wave(), 0.5).sample)


def test_a_float_is_a_time_of_its_own():
    ours, theirs = pair()
    with torch.no_grad():
        assert_close(ours(wave(), 0.9).sample, theirs(wave(), torch.tensor(0.9)).sample)
        assert torch.equal(theirs(wave(), 0.9).sample, theirs(wave(), 0).sample)  # it is cut off there
        difference = relative_difference(theirs(wave(), 0.9).sample, ours(wave(), 0.9).sample)
    assert difference == pytest.approx(1.68, abs=0.005)


# -- what is refused


@pytest.mark.parametrize(
    "config, message",
    [
        (
            {"down_block_types": ("DownBlock1DNoSkip", "DownBlock1D", "DownBlock2D")},
            "an entry of down_block_types is 'DownBlock2D'; allowed are 'DownBlock1DNoSkip', 'DownBlock1D', 'Attn",
        ),
        (
            {"up_block_types": ("UpBlock", "UpBlock1D", "UpBlock1DNoSkip")},
            "an entry of up_block_types is 'UpBlock'; allowed are 'UpBlock1DNoSkip', 'UpBlock1D', 'AttnUpBlock1D'",
        ),
        ({"block_out_channels": (32, 64)}, "down_block_types has 3 entries, block_out_channels 2"),
        ({"up_block_types": ("UpBlock1DNoSkip",)}, "up_block_types has 1 entries, block_out_channels 3"),
        (
            {"down_block_types": ("DownBlock1D",) * 3},
            "down_block_types is .*; allowed is 'DownBlock1DNoSkip' as the first entry and nowhere else",
        ),
        ({"down_block_types": ("DownBlock1DNoSkip",) * 3}, "'DownBlock1DNoSkip' as the first entry and nowhere else"),
        (
            {"up_block_types": ("UpBlock1D",) * 3},
            "up_block_types is .*; allowed is 'UpBlock1DNoSkip' as the last entry and nowhere else",
        ),
        ({"block_out_channels": (32, 16, 64)}, "block_out_channels holds 16 where there is attention"),
        ({"block_out_channels": (32, 32, 65)}, "block_out_channels holds 65 where there is attention, as always in"),
        ({"block_out_channels": (32, "32", 64)}, "block_out_channels is '32'; allowed is a whole number"),
        ({"block_out_channels": 32}, "block_out_channels is 32; allowed is a list"),
        ({"extra_in_channels": 0}, "extra_in_channels is 0; allowed is a whole number from 2 on"),
        ({"extra_in_channels": 7}, "extra_in_channels is 7; allowed is an even number"),
        ({"time_embedding_dim": 8}, "time_embedding_dim is 8; allowed is None or extra_in_channels=16"),
        ({"sample_size": 0}, "sample_size is 0; allowed"),
        ({"sample_rate": 8000.5}, "sample_rate is 8000.5; allowed"),
        ({"in_channels": -1}, "in_channels is -1; allowed"),
        ({"time_embedding_type": "positional"}, "time_embedding_type is 'positional', a feature of diffusers"),
        ({"use_timestep_embedding": True}, "use_timestep_embedding is True, a feature"),
        ({"out_block_type": "OutConv1DBlock"}, "out_block_type is 'OutConv1DBlock', a feature"),
        ({"mid_block_type": "MidResTemporalBlock1D"}, "mid_block_type is 'MidResTemporalBlock1D', a feature"),
        ({"layers_per_block": 2}, "layers_per_block is 2, a feature"),
    ],
)
def test_configs_that_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        UNet1DModel(**SMALL | config)


def test_input_that_does_not_fit():
    unet = UNet1DModel(**SMALL)
    for L in (128 + 1, 16, 0):
        with pytest.raises(ValueError, match=f"length {L}; allowed are multiples of 8 from 24 on, .* halved 3 times"):
            unet(wave(L=L), 0.5)
    for shape in ((2, 128), (2, 3, 128), (2, 2, 8, 16)):
        with pytest.raises(ValueError, match=r"sample has the shape .*; allowed is \(B, 2, L\)"):
            unet(randn(*shape), 0.5)
    with pytest.raises(ValueError, match="timestep has the shape .*; allowed is one time, or one for each of 2"):
        unet(wave(), torch.rand(3))


def test_a_misspelt_argument():
    with pytest.raises(TypeError, match="UNet1DModel has no argument 'samplerate'; did you mean 'sample_rate'"):
        UNet1DModel(samplerate=8000)
