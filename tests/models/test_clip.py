"""CLIPTextModel and CLIPVisionModel: keys and outputs are those of transformers."""

import json

import pytest
import torch
import transformers
from against import assert_close, randn, relative_difference, seeded
from networks import at_full_width

from minidiff import CLIPTextModel, CLIPVisionModel, files

SIZES = {"hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 4}
TEXT = SIZES | {"vocab_size": 30, "max_position_embeddings": 9, "eos_token_id": 29, "bos_token_id": 28}
VISION = SIZES | {"image_size": 12, "patch_size": 4}
NAMES = ("CLIPTextModel", "CLIPVisionModel")
CONFIGS = {
    "CLIPTextModel": (TEXT, transformers.CLIPTextConfig),
    "CLIPVisionModel": (VISION, transformers.CLIPVisionConfig),
}
OURS = {"CLIPTextModel": CLIPTextModel, "CLIPVisionModel": CLIPVisionModel}


def without_prefix(weights):
    return {key.removeprefix("text_model.").removeprefix("vision_model."): weight for key, weight in weights.items()}


def pair(name, **config):
    """Ours and theirs with the same random weights; transformers' keys have no prefix."""
    sizes, config_class = CONFIGS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ours = OURS[name](**sizes | config).eval()
        for key, weight in ours.named_parameters():
            torch.nn.init.normal_(weight, mean=float("norm" in key and key.endswith("weight")), std=0.3)
    theirs = getattr(transformers, name)(config_class(**sizes | config)).eval()
    theirs.load_state_dict(without_prefix(ours.state_dict()))
    return ours, theirs


def inputs(name, batch=2):
    if name == "CLIPVisionModel":
        return randn(batch, 3, 12, 12)
    return torch.randint(30, (batch, 9), generator=seeded())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("config", ({}, {"hidden_act": "gelu", "layer_norm_eps": 1e-3}), ids=("published", "gelu"))
@torch.no_grad()
def test_outputs(name, config):
    ours, theirs = pair(name, **config)
    found, wanted = ours(inputs(name)), theirs(inputs(name))
    assert_close(found.last_hidden_state, wanted.last_hidden_state)
    assert_close(found.pooler_output, wanted.pooler_output)
    hidden, pooled = ours(inputs(name), return_dict=False)
    assert torch.equal(hidden, found[0]) and torch.equal(pooled, found[1])


@torch.no_grad()
def test_the_end_of_a_prompt():
    ids = torch.tensor([[28, 4, 7, 29, 29, 29], [28, 5, 29, 3, 1, 0], [28, 3, 4, 5, 6, 29]])
    for config in ({}, {"eos_token_id": 2}):
        ours, theirs = pair("CLIPTextModel", **config)
        found = ours(ids)
        assert_close(found.pooler_output, theirs(ids).pooler_output)
        assert torch.equal(found.pooler_output, found.last_hidden_state[range(3), [3, 2, 5]])


@torch.no_grad()
def test_no_token_looks_ahead():
    ours, _ = pair("CLIPTextModel")
    ids, others = inputs("CLIPTextModel"), inputs("CLIPTextModel").roll(1, 0)
    mixed = torch.cat([ids[:, :5], others[:, 5:]], dim=1)
    hidden = ours(mixed).last_hidden_state
    assert_close(hidden[:, :5], ours(ids[:, :5]).last_hidden_state, 1e-6)
    assert relative_difference(hidden[:, 5:], ours(ids).last_hidden_state[:, 5:]) > 1e-2


@torch.no_grad()
def test_half_precision():
    for name in NAMES:
        ours, _ = pair(name)
        wanted = ours(inputs(name)).last_hidden_state
        for dtype, within in ((torch.float16, 1e-2), (torch.bfloat16, 8e-2)):
            x = inputs(name).to(dtype) if name == "CLIPVisionModel" else inputs(name)
            found = ours.to(dtype)(x).last_hidden_state
            assert found.dtype == dtype
            assert_close(found.float(), wanted, within)


@pytest.mark.parametrize(
    "name, config, count",
    [
        (
            "CLIPTextModel",
            {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "projection_dim": 768},
            123_060_480,
        ),
        (
            "CLIPVisionModel",
            {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "num_hidden_layers": 24}
            | {"patch_size": 14, "projection_dim": 768},
            303_179_776,
        ),
    ],
    ids=NAMES,
)
@torch.no_grad()
def test_the_published_networks_at_full_width(name, config, count):
    """CLIP ViT-L/14, of which two layers are computed."""
    with torch.device("meta"):
        assert OURS[name](**config).num_parameters() == count
        ours, theirs = OURS[name](**config | {"num_hidden_layers": 2}), None
        theirs = getattr(transformers, name)(CONFIGS[name][1](**config | {"num_hidden_layers": 2}))
    theirs.load_state_dict_ = theirs.load_state_dict
    theirs.load_state_dict = lambda weights, assign: theirs.load_state_dict_(without_prefix(weights), assign=assign)
    ours, theirs = at_full_width(ours, theirs)
    for module in theirs.modules():  # numbers of positions, which no file holds
        if "position_ids" in dict(module.named_buffers(recurse=False)):
            module.position_ids = torch.arange(module.position_ids.shape[1])[None]
    x = randn(1, 3, 224, 224) if name == "CLIPVisionModel" else torch.randint(49408, (1, 77), generator=seeded())
    assert_close(ours(x).last_hidden_state, theirs(x).last_hidden_state)


# -- files


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_files_travel_both_ways(name, tmp_path):
    ours, theirs = pair(name)
    wanted = ours(inputs(name)).last_hidden_state
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    assert torch.equal(OURS[name].from_pretrained(tmp_path / "ours")(inputs(name))[0], wanted)
    assert torch.equal(OURS[name].from_pretrained(tmp_path / "theirs")(inputs(name))[0], wanted)
    again, info = getattr(transformers, name).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    assert_close(again.eval()(inputs(name))[0], wanted)
    config = json.loads((tmp_path / "ours" / "config.json").read_text())
    assert config["architectures"] == [name] and config["model_type"] == CONFIGS[name][1].model_type


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("prefixed", (True, False))
@pytest.mark.parametrize("file", ("model.safetensors", "pytorch_model.bin"))
def test_keys_of_published_files(name, prefixed, file, tmp_path):
    ours, _ = pair(name)
    ours.save_pretrained(tmp_path)
    weights = ours.state_dict() if prefixed else without_prefix(ours.state_dict())
    prefix = OURS[name].prefix if prefixed else ""
    weights[f"{prefix}embeddings.position_ids"] = torch.arange(9)[None]
    (tmp_path / "model.safetensors").unlink()
    if file.endswith(".bin"):
        torch.save(weights, tmp_path / file)
    else:
        files.write_weights(tmp_path / file, weights)
    again = OURS[name].from_pretrained(tmp_path).state_dict()
    assert again.keys() == ours.state_dict().keys()
    assert all(torch.equal(again[key], weight) for key, weight in ours.state_dict().items())


def test_configs_of_published_files():
    published = {  # of Stable Diffusion 1.5's text encoder
        "_name_or_path": "openai/clip-vit-large-patch14",
        "architectures": ["CLIPTextModel"],
        "attention_dropout": 0.0,
        "bos_token_id": 0,
        "dropout": 0.0,
        "eos_token_id": 2,
        "hidden_act": "quick_gelu",
        "hidden_size": 768,
        "initializer_factor": 1.0,
        "initializer_range": 0.02,
        "intermediate_size": 3072,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": 77,
        "model_type": "clip_text_model",
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
        "pad_token_id": 1,
        "projection_dim": 768,
        "torch_dtype": "float32",
        "transformers_version": "4.22.0.dev0",
        "vocab_size": 49408,
    }
    with torch.device("meta"):
        config = CLIPTextModel.from_config(published).config
    assert (config.hidden_size, config.num_attention_heads, config.eos_token_id) == (768, 12, 2)


# -- bad input


@torch.no_grad()
def test_arguments_of_transformers():
    for name, harmless in (("CLIPTextModel", {"position_ids": None}), ("CLIPVisionModel", {})):
        ours, theirs = pair(name)
        call = {"output_hidden_states": False, "output_attentions": None} | harmless
        assert_close(ours(inputs(name), **call)[0], theirs(inputs(name), **call)[0])
        with pytest.raises(ValueError, match=f"{name}.forward: output_hidden_states is True"):
            ours(inputs(name), output_hidden_states=True)
        with pytest.raises(TypeError, match=f"{name}.forward has no argument 'return_dic'; did you mean 'return_dict'"):
            ours(inputs(name), return_dic=False)
    ours, theirs = pair("CLIPTextModel")
    ids = inputs("CLIPTextModel")
    assert_close(ours(ids, attention_mask=None)[0], theirs(ids, attention_mask=None)[0])
    with pytest.raises(ValueError, match="(?s)attention_mask is .*, while no token looks at the padding behind it"):
        ours(ids, attention_mask=torch.ones_like(ids))


@pytest.mark.parametrize(
    "name, config, message",
    [
        ("CLIPTextModel", {"vocab_size": 0}, "vocab_size is 0; allowed is a whole number from 1 on"),
        ("CLIPTextModel", {"num_attention_heads": 3}, "num_attention_heads is 3; allowed are divisors of hidden_size"),
        ("CLIPTextModel", {"hidden_act": "relu"}, "hidden_act is 'relu'; allowed are 'quick_gelu', 'gelu'"),
        ("CLIPVisionModel", {"patch_size": 5}, "patch_size is 5; allowed are divisors of image_size=12"),
        ("CLIPVisionModel", {"num_hidden_layers": 1.5}, "num_hidden_layers is 1.5; allowed is a whole number"),
    ],
)
def test_configs_that_are_refused(name, config, message):
    with pytest.raises(ValueError, match=message):
        OURS[name](**CONFIGS[name][0] | config)


@pytest.mark.parametrize(
    "name, x, message",
    [
        ("CLIPTextModel", torch.zeros(1, 10).long(), "input_ids has 10 tokens a prompt; allowed are at most 9"),
        ("CLIPTextModel", torch.tensor([[30]]), "input_ids holds 30 to 30; allowed are tokens from 0 to 29"),
        ("CLIPTextModel", randn(2, 3), r"input_ids has the shape \(2, 3\) and the dtype torch.float32"),
        ("CLIPVisionModel", randn(2, 3, 12, 8), r"the shape \(2, 3, 12, 8\); allowed is \(B, 3, 12, 12\)"),
        ("CLIPVisionModel", randn(3, 12, 12), r"the shape \(3, 12, 12\); allowed is \(B, 3, 12, 12\)"),
    ],
)
def test_input_that_does_not_fit(name, x, message):
    with pytest.raises(ValueError, match=message):
        pair(name)[0](x)
