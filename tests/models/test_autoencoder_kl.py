"""AutoencoderKL: keys, distributions and pictures are those of diffusers."""

import diffusers
import pytest
import torch
from against import assert_close, generators, randn, relative_difference, seeded
from networks import at_full_width, both_networks, check_gradients, old_attention
from safetensors.torch import save_file

from minidiff import AutoencoderKL
from minidiff.models.autoencoder_kl import DiagonalGaussianDistribution

SMALL = {
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "block_out_channels": (8, 12),
    "norm_num_groups": 4,
    "sample_size": 8,
}
ONE_LEVEL = {
    "down_block_types": ("DownEncoderBlock2D",),
    "up_block_types": ("UpDecoderBlock2D",),
    "block_out_channels": (8,),
}
PUBLISHED = {  # of CompVis/ldm-text2im-large-256 and of Stable Diffusion
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 256,
}


@torch.no_grad()
def check(ours, theirs, x):
    posterior, wanted = ours.encode(x).latent_dist, theirs.encode(x).latent_dist
    for name in ("mean", "logvar", "std", "var"):
        assert_close(getattr(posterior, name), getattr(wanted, name), what=name)
    assert_close(posterior.kl(), wanted.kl(), 1e-4)
    assert posterior.mode() is posterior.mean
    draws = [found.sample(generator) for found, generator in zip((posterior, wanted), generators("one"))]
    assert_close(*draws)
    assert_close(ours.decode(draws[1]).sample, theirs.decode(draws[1]).sample)


@pytest.mark.parametrize(
    "config",
    [{}, {"layers_per_block": 2}, {"latent_channels": 3}, {"in_channels": 1, "out_channels": 2}, ONE_LEVEL],
    ids=lambda config: "-".join(config) or "default",
)
def test_outputs(config):
    ours, theirs = both_networks("AutoencoderKL", **SMALL | config)
    check(ours, theirs, randn(2, ours.config.in_channels, 8, 12))


def test_there_and_back():
    ours, theirs = both_networks("AutoencoderKL", **SMALL)
    with torch.no_grad():
        assert_close(ours(randn()).sample, theirs(randn()).sample)
        ours_drawn = ours(randn(), sample_posterior=True, generator=seeded()).sample
        assert_close(ours_drawn, theirs(randn(), sample_posterior=True, generator=seeded()).sample)
        assert relative_difference(ours_drawn, ours(randn()).sample) > 0.01
        (picture,) = ours(randn(), return_dict=False)
        assert torch.equal(picture, ours(randn()).sample)
        (posterior,) = ours.encode(randn(), return_dict=False)
        assert torch.equal(ours.decode(posterior.mode(), return_dict=False)[0], picture)


def test_gradients():
    check_gradients(*both_networks("AutoencoderKL", **SMALL), lambda network: network(randn()).sample)


def test_the_published_network_at_full_width():
    with torch.device("meta"):
        ours, theirs = AutoencoderKL(**PUBLISHED), diffusers.AutoencoderKL(**PUBLISHED)
    assert ours.num_parameters() == 83_653_863 and ours.factor == 8 and ours.config.scaling_factor == 0.18215
    check(*at_full_width(ours, theirs), randn(1, 3, 32, 16))


def test_divergence_of_what_is_known():
    mean, std = torch.tensor([0.0, 1.0, 0.0, -2.0]), torch.tensor([1.0, 1.0, 0.5, 3.0])
    posterior = DiagonalGaussianDistribution(torch.cat([mean, 2 * std.log()]).reshape(1, 8, 1, 1))
    normal = torch.distributions.Normal
    wanted = torch.distributions.kl_divergence(normal(mean, std), normal(0.0, 1.0)).sum()
    assert posterior.kl().item() == pytest.approx(wanted.item(), rel=1e-5)


def test_the_logarithm_of_the_variance_is_clipped():
    posterior = DiagonalGaussianDistribution(torch.tensor([0.0, 0.0, -99.0, 99.0]).reshape(1, 4, 1, 1))
    assert posterior.logvar.flatten().tolist() == [-30, 20]
    certain = DiagonalGaussianDistribution(torch.tensor([0.0, -30.0]).reshape(1, 2, 1, 1).half())
    assert certain.std.item() ** 2 < 1e-7 and certain.kl().item() == pytest.approx(14.5, rel=1e-3)


def test_a_draw_for_each_generator():
    posterior = DiagonalGaussianDistribution(randn(2, 8, 4, 4))
    both = posterior.sample([seeded(1), seeded(2)])
    alone = DiagonalGaussianDistribution(posterior.parameters[1:]).sample(seeded(2))
    assert torch.equal(both[1:], alone)


def test_names_of_the_first_releases(tmp_path):
    ours, _ = both_networks("AutoencoderKL", **SMALL)
    ours.save_pretrained(tmp_path)
    old = old_attention(ours.state_dict())
    assert "decoder.mid_block.attentions.0.proj_attn.weight" in old
    save_file(old, tmp_path / "diffusion_pytorch_model.safetensors")
    loaded = AutoencoderKL.from_pretrained(tmp_path)
    assert all(torch.equal(weight, loaded.state_dict()[key]) for key, weight in ours.state_dict().items())


@pytest.mark.parametrize(
    "config, message",
    [
        ({"down_block_types": ("DownBlock2D",) * 2}, "an entry of down_block_types is 'DownBlock2D'; allowed"),
        ({"up_block_types": ("UpBlock2D",) * 2}, "an entry of up_block_types is 'UpBlock2D'; allowed"),
        ({"block_out_channels": (8,)}, "down_block_types has 2 entries, block_out_channels 1"),
        ({"norm_num_groups": 5}, "block_out_channels holds 8, which norm_num_groups=5 does not divide"),
        ({"latent_channels": 0}, "latent_channels is 0; allowed is a whole number from 1 on"),
        ({"block_out_channels": (8, 12.0)}, "an entry of block_out_channels is 12.0; allowed"),
        ({"act_fn": "gelu"}, "act_fn is 'gelu'; allowed are 'silu'"),
        ({"scaling_factor": 0}, "scaling_factor is 0; allowed is a positive number"),
        ({"scaling_factor": float("nan")}, "scaling_factor is nan; allowed"),
        ({"scaling_factor": "1"}, "scaling_factor is '1'; allowed"),
        ({"shift_factor": 0.1}, "shift_factor is 0.1, a feature of diffusers that minidiff leaves out"),
        ({"use_quant_conv": False}, "use_quant_conv is False"),
    ],
)
def test_configs_that_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        AutoencoderKL(**SMALL | config)


def test_input_that_does_not_fit():
    network = AutoencoderKL(**SMALL)
    for shape in ((2, 3, 8, 9), (2, 4, 8, 8), (3, 8, 8), (1, 3, 0, 8)):
        with pytest.raises(ValueError, match=r"x has the shape .*; allowed is \(B, 3, H, W\), H and W multiples of 2"):
            network.encode(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"z has the shape \(2, 3, 8, 8\); allowed is \(B, 4, H, W\)"):
        network.decode(randn())
