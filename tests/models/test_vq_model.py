"""VQModel: keys, codes and pictures are those of diffusers; the losses are the paper's."""

import diffusers
import pytest
import torch
from against import assert_close, randn, relative_difference
from networks import at_full_width, both_networks, old_attention
from safetensors.torch import save_file

from minidiff import VQModel
from minidiff.models.vq_model import VectorQuantizer

SMALL = {
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "block_out_channels": (8, 12),
    "norm_num_groups": 4,
    "num_vq_embeddings": 20,
    "sample_size": 8,
}
PUBLISHED = {  # of CompVis/ldm-celebahq-256 and ldm-super-resolution-4x-openimages
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "block_out_channels": (128, 256, 512),
    "layers_per_block": 2,
    "latent_channels": 3,
    "num_vq_embeddings": 8192,
    "sample_size": 256,
}


@torch.no_grad()
def check(ours, theirs, x):
    h = theirs.encode(x).latents
    assert_close(ours.encode(x).latents, h)
    for codes_apart in (1.0, 30.0):  # latents within the codebook, and far outside
        z = h / h.std() * theirs.quantize.embedding.weight.std() * codes_apart
        found, (z_q, _, (_, _, k)) = ours.quantize(z), theirs.quantize(z)
        assert torch.equal(found.k.flatten(), k) and len(found.k.unique()) > 1
        assert_close(found.z_q, z_q, 1e-6)
        assert_close(ours.decode(z).sample, theirs.decode(z).sample)
        assert_close(ours.decode(z, force_not_quantize=True).sample, theirs.decode(z, force_not_quantize=True).sample)
    assert_close(ours(x).sample, theirs(x).sample)


@pytest.mark.parametrize(
    "config",
    [{}, {"layers_per_block": 2}, {"latent_channels": 2}, {"vq_embed_dim": 5}, {"in_channels": 1, "out_channels": 2}],
    ids=lambda config: "-".join(config) or "default",
)
def test_outputs(config):
    ours, theirs = both_networks("VQModel", **SMALL | config)
    check(ours, theirs, randn(2, ours.config.in_channels, 8, 12))


def test_the_published_network_at_full_width():
    with torch.device("meta"):
        ours, theirs = VQModel(**PUBLISHED), diffusers.VQModel(**PUBLISHED)
    assert ours.num_parameters() == 55_322_782 and ours.factor == 4
    check(*at_full_width(ours, theirs), randn(1, 3, 32, 16))


def test_tuples():
    ours, _ = both_networks("VQModel", **SMALL)
    with torch.no_grad():
        (h,) = ours.encode(randn(), return_dict=False)
        (picture,) = ours.decode(h, return_dict=False)
        assert torch.equal(picture, ours(randn(), return_dict=False)[0]) and picture.shape == randn().shape


def test_the_scale_of_a_file_that_does_not_say(tmp_path):
    """The published latents were never scaled, and their config holds no scaling_factor."""
    ours, theirs = both_networks("VQModel", **SMALL)
    assert ours.config.scaling_factor == VQModel.from_config(SMALL).config.scaling_factor == 1
    assert theirs.config.scaling_factor == 0.18215
    ours.save_pretrained(tmp_path)  # the key is written, for diffusers has another default
    assert diffusers.VQModel.from_pretrained(tmp_path).config.scaling_factor == 1


def test_the_nearest_code():
    book = VectorQuantizer(3, 2)
    book.embedding.weight.data = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    z = torch.tensor([[0.4, 0.1], [0.6, 0.1], [0.1, 1.1], [5.0, 0.0]]).mT.reshape(1, 2, 2, 2)
    found = book(z)
    assert found.k.tolist() == [[[0, 1], [2, 1]]]
    assert torch.equal(found.z_q[0, :, 1, 0], torch.tensor([0.0, 2.0]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_low_precision_finds_the_same_codes(dtype):
    book = VectorQuantizer(20, 3)
    book.embedding.weight.data = randn(20, 3).half().float()
    z = randn(2, 3, 4, 5, seed=1).half().float()
    assert torch.equal(book.to(dtype)(z.to(dtype)).k, book.float()(z).k)


def gradients(quantize, embedding, loss):
    """Of the loss of the lookup, for the latents and for the codes."""
    z = randn(2, 3, 4, 5).requires_grad_()
    embedding.weight.grad = None
    loss(quantize(z)).backward()
    return z.grad, embedding.weight.grad


def test_the_commitment_weighs_on_the_codes_in_diffusers():
    """(3) has beta in front of what moves latents to their codes; there it is in front of what moves the codes."""
    ours, theirs = both_networks("VQModel", **SMALL)
    z_grad, e_grad = gradients(ours.quantize, ours.quantize.embedding, lambda found: found.loss)
    z_theirs, e_theirs = gradients(theirs.quantize, theirs.quantize.embedding, lambda found: found[1])
    assert_close(z_grad, 0.25 * z_theirs)
    assert_close(0.25 * e_grad, e_theirs)


def test_gradients_pass_the_lookup_as_if_it_were_not_there():
    book = VectorQuantizer(7, 3)
    z_grad, e_grad = gradients(book, book.embedding, lambda found: (3 * found.z_q).sum())
    assert torch.equal(z_grad, torch.full_like(z_grad, 3)) and e_grad is None


def test_names_of_the_first_releases(tmp_path):
    ours, _ = both_networks("VQModel", **SMALL)
    ours.save_pretrained(tmp_path)
    save_file(old_attention(ours.state_dict()), tmp_path / "diffusion_pytorch_model.safetensors")
    with torch.no_grad():
        assert relative_difference(VQModel.from_pretrained(tmp_path)(randn()).sample, ours(randn()).sample) < 1e-5


@pytest.mark.parametrize(
    "config, message",
    [
        ({"num_vq_embeddings": 0}, "num_vq_embeddings is 0; allowed is a whole number from 1 on"),
        ({"vq_embed_dim": 0}, "vq_embed_dim is 0; allowed is a whole number from 1 on"),
        ({"up_block_types": ("UpBlock2D",) * 2}, "an entry of up_block_types is 'UpBlock2D'; allowed"),
        ({"scaling_factor": -1}, "scaling_factor is -1; allowed is a positive number"),
        ({"norm_type": "spatial"}, "norm_type is 'spatial', a feature of diffusers that minidiff leaves out"),
        ({"lookup_from_codebook": True}, "lookup_from_codebook is True"),
    ],
)
def test_configs_that_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        VQModel(**SMALL | config)


def test_input_that_does_not_fit():
    network = VQModel(**SMALL)
    with pytest.raises(ValueError, match=r"x has the shape \(2, 3, 8, 9\); allowed is \(B, 3, H, W\), H and W mult"):
        network.encode(randn(2, 3, 8, 9))
    with pytest.raises(ValueError, match=r"h has the shape \(2, 4, 8, 8\); allowed is \(B, 3, H, W\)"):
        network.decode(randn(2, 4, 8, 8))
