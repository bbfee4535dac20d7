"""LDMBertModel: keys and outputs are those of diffusers."""

import pytest
import torch
from against import assert_close, randn, relative_difference, seeded
from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertConfig
from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertModel as Theirs
from networks import at_full_width

from minidiff import LDMBertModel

SMALL = {
    "vocab_size": 30,
    "max_position_embeddings": 9,
    "encoder_layers": 2,
    "encoder_ffn_dim": 20,
    "encoder_attention_heads": 4,
    "head_dim": 3,
    "d_model": 16,
}


def pair():
    """Ours and theirs with the same random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ours, theirs = LDMBertModel(**SMALL).eval(), Theirs(LDMBertConfig(**SMALL)).eval()
        for key, weight in ours.named_parameters():
            torch.nn.init.normal_(weight, mean=float("norm.weight" in key), std=0.3)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def tokens(batch=2, length=9, vocabulary=30):
    return torch.randint(vocabulary, (batch, length), generator=seeded())


@torch.no_grad()
def test_outputs():
    ours, theirs = pair()
    for length in (1, 5, 9):
        assert_close(ours(tokens(length=length))[0], theirs(tokens(length=length), return_dict=True)[0])
    (hidden,) = ours(tokens(), return_dict=False)
    assert torch.equal(hidden, ours(tokens()).last_hidden_state) and hidden.shape == (2, 9, 16)


@torch.no_grad()
def test_the_padding_is_read():
    ours, _ = pair()
    ids = tokens()
    padded = torch.cat([ids[:, :5], torch.zeros(2, 4, dtype=torch.int64)], dim=1)
    assert relative_difference(ours(padded)[0][:, :5], ours(ids[:, :5])[0]) > 1e-2


def test_the_published_network_at_full_width():
    with torch.device("meta"):
        ours, theirs = LDMBertModel(), Theirs(LDMBertConfig())
    assert ours.num_parameters() == 581_994_042
    at_full_width(ours, theirs)
    with torch.no_grad():
        ids = tokens(1, 5, 30522)
        assert_close(ours(ids)[0], theirs(ids, return_dict=True)[0])


def test_it_is_saved_as_published(tmp_path):
    ours, _ = pair()
    ours.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").is_file()
    with torch.no_grad():
        wanted = ours(tokens())[0]
        assert torch.equal(LDMBertModel.from_pretrained(tmp_path)(tokens())[0], wanted)
        theirs = Theirs.from_pretrained(tmp_path).eval()
        assert_close(theirs(tokens(), return_dict=True)[0], wanted)


def test_configs_of_published_files():
    """They hold much that only matters in training, and keys of transformers."""
    published = {
        "architectures": ["LDMBertModel"],
        "dropout": 0.1,
        "init_std": 0.02,
        "use_cache": True,
        "pad_token_id": 0,
    }
    assert LDMBertModel.from_config(SMALL | published).config == LDMBertModel(**SMALL).config


@pytest.mark.parametrize(
    "config, message",
    [
        ({"activation_function": "relu"}, "activation_function is 'relu'; allowed are 'gelu'"),
        ({"scale_embedding": True}, "scale_embedding is True, a feature of diffusers that minidiff leaves out"),
        ({"encoder_layers": 0}, "encoder_layers is 0; allowed is a whole number from 1 on"),
        ({"head_dim": 2.5}, "head_dim is 2.5; allowed is a whole number"),
    ],
)
def test_configs_that_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        LDMBertModel(**SMALL | config)


@pytest.mark.parametrize(
    "ids, message",
    [
        (tokens(length=10), "input_ids has 10 tokens a prompt; allowed are at most 9"),
        (torch.tensor([[30]]), "input_ids holds 30 to 30; allowed are tokens from 0 to 29"),
        (torch.tensor([[-1]]), "input_ids holds -1 to -1; allowed"),
        (torch.tensor([1, 2]), r"input_ids has the shape \(2,\) and the dtype torch.int64; allowed"),
        (randn(2, 3), r"input_ids has the shape \(2, 3\) and the dtype torch.float32; allowed"),
        ([[1, 2]], r"input_ids has the shape \(\) and the dtype None; allowed"),
    ],
)
def test_input_that_does_not_fit(ids, message):
    with pytest.raises(ValueError, match=message):
        LDMBertModel(**SMALL)(ids)
