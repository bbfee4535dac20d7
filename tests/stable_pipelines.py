"""Tiny pipelines of Stable Diffusion, ours and theirs, with equal random weights, and what is true of all three."""

import functools
import json

import diffusers
import numpy as np
import torch
import transformers
from against import generators, randn, seeded
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker as TheirChecker
from networks import both_networks
from PIL import Image

import minidiff

PUBLISHED = {  # scheduler_config.json of Stable Diffusion 1.5
    "_class_name": "PNDMScheduler",
    "_diffusers_version": "0.6.0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
    "clip_sample": False,
}
SCHEDULERS = (
    "PNDMScheduler",
    "DDIMScheduler",
    "DDPMScheduler",
    "LMSDiscreteScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "DPMSolverMultistepScheduler",
)
AS_THEIRS = {  # in the middle of a walk; see the ledger, "PNDM partial walk" and "LMS order"
    "PNDMScheduler": {"partial_walk": "sliced"},
    "LMSDiscreteScheduler": {"order_from": "index"},
}
NAMES = ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline")
VAE = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,  # theirs wants sizes that 8 divides, whatever the autoencoder
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (4, 4, 4, 8),
    "norm_num_groups": 4,
    "sample_size": 32,
    "scaling_factor": 0.9,
}
UNET = {
    "sample_size": 4,
    "block_out_channels": (4, 8),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "cross_attention_dim": 12,
    "attention_head_dim": 2,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}
LENGTH = 30  # of a prompt, in tokens
TEXT = {
    "hidden_size": 12,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": LENGTH,
}
VISION = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
VISION |= {"image_size": 8, "patch_size": 4}
LETTERS = "abcdefghijklmnopqrstuvwxyz,."
MERGES = [("c", "a"), ("ca", "t</w>"), ("s", "n"), ("o", "w</w>"), ("sn", "ow</w>")]


def vocabulary():
    words = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), *("".join(pair) for pair in MERGES)]
    return {word: k for k, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}


@functools.cache
def tokenizer():
    """CLIP's, for few tokens: letters, and two words."""
    return transformers.CLIPTokenizer(vocab=vocabulary(), merges=MERGES, model_max_length=LENGTH)


def write_tokenizer(folder):
    """The files as they were published at first: vocabulary and merges."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary()))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *map(" ".join, MERGES)]) + "\n")
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": LENGTH, "pad_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


@functools.cache
def feature_extractor():
    """CLIP's, for pictures of eight pixels a side."""
    return transformers.CLIPImageProcessorPil(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})


def text_encoders():
    vocab, end = len(vocabulary()), len(vocabulary()) - 1
    config = TEXT | {"vocab_size": vocab, "eos_token_id": end, "bos_token_id": end - 1, "pad_token_id": end}
    ours = minidiff.CLIPTextModel(**config).eval()
    theirs = transformers.CLIPTextModel(transformers.CLIPTextConfig(**config)).eval()
    theirs.load_state_dict({key.removeprefix("text_model."): weight for key, weight in ours.state_dict().items()})
    return ours, theirs


def safety_checkers():
    ours = minidiff.StableDiffusionSafetyChecker(VISION, 6).eval()
    for key, weight in ours.named_parameters():
        weight.data = randn(*weight.shape, seed=len(key))
    for thresholds in (ours.concept_embeds_weights, ours.special_care_embeds_weights):
        thresholds.data = torch.full_like(thresholds, 2.0)  # nothing is blacked out
    theirs = TheirChecker(transformers.CLIPConfig(vision_config=VISION, projection_dim=6)).eval()
    theirs.load_state_dict(
        {key.replace("vision_model.vision_model", "vision_model"): w for key, w in ours.state_dict().items()}
    )
    return ours, theirs


def components(channels=4, checker=False):
    """Two dicts of all components but the scheduler, ours and theirs, with equal random weights.

    Args:
        channels: what the UNet takes: 4, or 9 for inpainting.
        checker: whether there is a safety checker.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = {
            "vae": both_networks("AutoencoderKL", **VAE),
            "text_encoder": text_encoders(),
            "tokenizer": (tokenizer(),) * 2,
            "unet": both_networks("UNet2DConditionModel", **UNET, in_channels=channels, out_channels=4),
            "safety_checker": safety_checkers() if checker else (None, None),
            "feature_extractor": (feature_extractor() if checker else None,) * 2,
        }
    for unet in made["unet"]:  # an untrained one hardly hears the prompt
        for key, weight in unet.named_parameters():
            weight.data *= 6 if "attn2.to_v" in key or "attn2.to_out" in key else 1
    return [{key: pair[side] for key, pair in made.items()} for side in (0, 1)]


def both_pipelines(name, scheduler="PNDMScheduler", dtype=torch.float64, channels=4, checker=False, config=None):
    """Ours and theirs, each with its own scheduler of that name from the published config."""
    pipes = []
    for library, parts in zip((minidiff, diffusers), components(channels, checker)):
        as_theirs = AS_THEIRS.get(scheduler, {}) if library is minidiff else {}
        made = getattr(library, scheduler).from_config(PUBLISHED | (config or {}), **as_theirs)
        pipes.append(getattr(library, name)(scheduler=made, **parts))
        pipes[-1].set_progress_bar_config(disable=True)
        pipes[-1].to(dtype)
    return pipes


def sketch(width=32, height=32, seed=0):
    """A PIL image with something to see."""
    levels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(levels).resize((width, height), Image.Resampling.BICUBIC)


def hole(width=32, height=32):
    """A mask whose edges lie on no pixel of the latents."""
    mask = Image.new("L", (width, height))
    mask.paste(255, (width // 4 + 1, height // 4 - 1, width * 3 // 4, height * 3 // 4))
    return mask


def call_of(name):
    """What a call of that pipeline cannot do without."""
    wanted = {"prompt": "a cat in snow"}
    if "Img2Img" in name:
        return wanted | {"image": sketch(), "strength": 0.7}
    return wanted | ({"image": sketch(), "mask_image": hole()} if "Inpaint" in name else {})


def check_pictures(pipes, kind="one", within=1e-5, **call):
    """The same pictures from ours and theirs; returns ours."""
    results = []
    for pipe, generator in zip(pipes, generators(kind)):
        torch.manual_seed(3)
        results.append(pipe(generator=generator, output_type="np", **call).images)
    assert results[0].shape == results[1].shape and results[0].dtype == np.float32
    assert results[0].std() > 0.01  # there is something to see
    np.testing.assert_allclose(*results, rtol=0, atol=within)
    return results[0]


def counted(pipe):
    """A list that grows by the time of every call of the pipeline's UNet."""
    calls = []
    pipe.unet.register_forward_hook(lambda module, arguments, output: calls.append(float(arguments[1])))
    return calls


def first_sample(pipe, **call):
    """(t, z_t): when and of what the network is first asked; 10 steps without guidance."""
    seen = []
    pipe.unet.register_forward_pre_hook(lambda module, arguments: seen.append((int(arguments[1]), arguments[0])))
    call = (
        call_of(type(pipe).__name__) | {"num_inference_steps": 10, "guidance_scale": 1.0, "generator": seeded()} | call
    )
    pipe(**call)
    return seen[0]


def published(folder, channels=4):
    """A folder as Stable Diffusion 1.5 was published: names of classes of its time, vocabulary and merges."""
    name = NAMES[2] if channels == 9 else NAMES[0]
    scheduler = minidiff.PNDMScheduler.from_config(PUBLISHED)
    pipe = getattr(minidiff, name)(scheduler=scheduler, **components(channels, checker=True)[0])
    pipe.save_pretrained(folder)
    (folder / "README.md").write_text("A picture of nothing.")
    for file in (folder / "tokenizer").iterdir():
        file.unlink()
    write_tokenizer(folder / "tokenizer")
    index = json.loads((folder / "model_index.json").read_text())
    index |= {"feature_extractor": ["transformers", "CLIPFeatureExtractor"], "requires_safety_checker": True}
    index["image_encoder"] = [None, None]
    (folder / "model_index.json").write_text(json.dumps(index))
    preprocessor = json.loads((folder / "feature_extractor" / "preprocessor_config.json").read_text())
    preprocessor.pop("image_processor_type")
    preprocessor |= {"feature_extractor_type": "CLIPFeatureExtractor", "size": 8, "crop_size": 8}
    (folder / "feature_extractor" / "preprocessor_config.json").write_text(json.dumps(preprocessor))
