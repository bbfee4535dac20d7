"""Tiny pipelines over latents, ours and theirs, with equal random weights, and what is true of all of them."""

import diffusers
import numpy as np
import pytest
import torch
from against import generators, seeded
from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertConfig
from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertModel as TheirBert
from networks import both_networks

import minidiff

PUBLISHED = {  # scheduler_config.json of CompVis/ldm-celebahq-256
    "beta_start": 0.0015,
    "beta_end": 0.0195,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "clip_sample": False,
    "trained_betas": None,
    "timestep_values": None,
}
LEVELS = 4  # of the autoencoder: theirs divides the size of a prompt's picture by 8, whatever the autoencoder
AUTOENCODER = {
    "down_block_types": ("DownEncoderBlock2D",) * LEVELS,
    "up_block_types": ("UpDecoderBlock2D",) * LEVELS,
    "block_out_channels": (4, 4, 8, 8),
    "norm_num_groups": 4,
    "sample_size": 32,
}
UNET = {
    "sample_size": 4,
    "in_channels": 3,
    "out_channels": 3,
    "block_out_channels": (4, 8),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
}
CONDITIONED = UNET | {
    "in_channels": 4,
    "out_channels": 4,
    "cross_attention_dim": 12,
    "attention_head_dim": 2,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
}
BERT = {
    "vocab_size": 14,
    "encoder_layers": 1,
    "encoder_ffn_dim": 16,
    "encoder_attention_heads": 2,
    "head_dim": 4,
    "d_model": 12,
}
WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] a yellow cat in the snow boat ##s at".split()


def tiny_tokenizer(folder):
    from transformers import BertTokenizer

    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return BertTokenizer.from_pretrained(folder)


def components(name, tokenizer=None, unet=None):
    """Two dicts of networks of the pipeline of that name, ours and theirs, with equal random weights.

    Args:
        unet: changes of the UNet's config.
    """
    if name == "LDMTextToImagePipeline":
        made = {
            "vqvae": both_networks("AutoencoderKL", **AUTOENCODER),
            "unet": both_networks("UNet2DConditionModel", **CONDITIONED | (unet or {})),
            "bert": (minidiff.LDMBertModel(**BERT).eval(), TheirBert(LDMBertConfig(**BERT)).eval()),
            "tokenizer": (tokenizer, tokenizer),
        }
        for unet in made["unet"]:  # an untrained one hardly hears the prompt
            for key, weight in unet.named_parameters():
                weight.data *= 6 if "attn2.to_v" in key or "attn2.to_out" in key else 1
        made["bert"][1].load_state_dict(made["bert"][0].state_dict())
    else:
        channels = {"in_channels": 6} if name == "LDMSuperResolutionPipeline" else {}
        made = {
            "vqvae": both_networks("VQModel", **AUTOENCODER, num_vq_embeddings=30, scaling_factor=0.5),
            "unet": both_networks("UNet2DModel", **UNET | channels | (unet or {})),
        }
        for vqvae in made["vqvae"]:
            vqvae.quantize.embedding.weight.data *= 60  # as wide as the latents, so that many codes are near one
    return [{key: pair[side] for key, pair in made.items()} for side in (0, 1)]


def both_pipelines(name, tokenizer=None, scheduler="DDIMScheduler", dtype=None, unet=None, **config):
    """Ours and theirs, each with its own scheduler of that name, from the published config and `config`."""
    pipes = []
    for library, networks in zip((minidiff, diffusers), components(name, tokenizer, unet)):
        made = getattr(library, scheduler).from_config(PUBLISHED | config)
        pipes.append(getattr(library, name)(scheduler=made, **networks))
        pipes[-1].set_progress_bar_config(disable=True)
        if dtype is not None:
            pipes[-1].to(dtype)
    return pipes


def check_pictures(pipes, kind="one", within=1e-4, **call):
    """The same pictures from ours and theirs, that differ from each other."""
    results = []
    for pipe, generator in zip(pipes, generators(kind)):
        torch.manual_seed(3)
        results.append(pipe(generator=generator, output_type="np", **call).images)
    assert results[0].shape == results[1].shape and results[0].dtype == np.float32
    assert results[0].std() > 0.01 and (len(results[0]) == 1 or np.abs(results[0][0] - results[0][1]).max() > 0.01)
    np.testing.assert_allclose(*results, rtol=0, atol=within)
    return results[0]


def counted(pipe):
    """A list that grows by the time of every call of the pipeline's network."""
    calls = []
    pipe.unet.register_forward_hook(lambda module, arguments, output: calls.append(float(arguments[1])))
    return calls


def check_output_types(pipes, **call):
    """Arrays, tensors and PIL images hold the same; latents are what is decoded; the tuple has the pictures."""
    pipe, other = pipes
    draw = lambda kind: pipe(generator=seeded(), output_type=kind, num_inference_steps=3, **call).images
    np_, pt, pil, z_0 = map(draw, ("np", "pt", "pil", "latent"))
    assert np.array_equal(pt.permute(0, 2, 3, 1).numpy(), np_)
    wanted = other(generator=seeded(), num_inference_steps=3, **call).images
    for picture, array, theirs in zip(pil, np_, wanted, strict=True):
        assert np.array_equal(np.asarray(picture), (array * 255).round().astype("uint8")) and picture.mode == "RGB"
        assert np.abs(np.asarray(picture, int) - np.asarray(theirs, int)).max() <= 1
    assert z_0.shape[2:] == tuple(side // pipe.vqvae.factor for side in pt.shape[2:])
    (images,) = pipe(generator=seeded(), output_type="np", num_inference_steps=3, return_dict=False, **call)
    assert np.array_equal(images, np_)
    return z_0, pt


def check_given_latents(pipe, shape, **call):
    """Given z_T, the pictures are those of the generator that would have drawn it."""
    for eta in (0.0, 0.5):
        generator = seeded()
        given = {"latents": torch.randn(shape, generator=generator), "generator": generator}
        drawn = {"generator": seeded()}
        one, other = (
            pipe(eta=eta, num_inference_steps=3, output_type="pt", **noise, **call).images for noise in (given, drawn)
        )
        assert torch.equal(one, other)


def check_watching(pipe, shape, **call):
    """A callback sees the loop's tensors, may replace them, and may end the loop."""
    calls, seen = counted(pipe), []
    names = ("latents", "sample", "model_output", "pred_original_sample")

    def watch(pipe, i, t, tensors):
        seen.append((i, float(t)))
        assert tuple(tensors) == names and all(tensor.shape == shape for tensor in tensors.values())
        if i == 1:
            pipe.interrupt = True
            return {"latents": torch.ones_like(tensors["latents"])}

    watched = {"callback_on_step_end": watch, "callback_on_step_end_tensor_inputs": names}
    z = pipe(generator=seeded(), output_type="latent", num_inference_steps=4, **watched, **call).images
    assert len(calls) == 2 and seen == list(enumerate(calls)) and (z == 1).all()


REFUSED = (
    ({"num_inference_steps": 0}, "num_inference_steps is 0; allowed is a whole number from 1 to 1000"),
    ({"num_inference_steps": 2.5}, "num_inference_steps is 2.5; allowed"),
    ({"eta": -0.1}, "eta is -0.1; allowed"),
    ({"eta": float("nan")}, "eta is nan; allowed"),
    ({"generator": [seeded()] * 3}, "generator is a list of 3; allowed is one a sample, so 2"),
    ({"generator": "seed"}, "generator is 'seed'; allowed"),
    ({"latents": torch.zeros(2, 3, 9, 8)}, r"latents is .* of shape \(2, 3, 9, 8\); allowed is"),
    ({"output_type": "jpg"}, "output_type is 'jpg'; allowed are 'pil', 'np', 'pt', 'latent'"),
    ({"callback_on_step_end": "print"}, "callback_on_step_end is 'print'; allowed is None or a function"),
    ({"callback_on_step_end_tensor_inputs": ["latent"]}, r"callback_on_step_end_tensor_inputs: \['latent'\]; allowed"),
)


def check_refusal(pipe, message, call, error=ValueError):
    """A clear error that names the argument, its value and what is allowed, before any network is called."""
    calls = counted(pipe)
    with pytest.raises(error, match=message):
        pipe(**{"num_inference_steps": 3} | call)
    assert not calls
