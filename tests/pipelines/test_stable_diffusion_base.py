"""What the three pipelines of Stable Diffusion have in common: prompts, safety, files, callbacks, refusals."""

import copy
import json
import warnings

import diffusers
import numpy as np
import pytest
import torch
from against import randn, seeded
from PIL import Image
from stable_pipelines import (
    NAMES,
    PUBLISHED,
    both_pipelines,
    call_of,
    check_pictures,
    components,
    counted,
    first_sample,
    hole,
    published,
    sketch,
    text_encoders,
)

import minidiff
from minidiff import DDIMScheduler, DiffusionPipeline, PNDMScheduler, StableDiffusionPipeline
from minidiff.pipelines.stable_diffusion_base import StableDiffusionPipelineOutput

each = pytest.mark.parametrize("name", NAMES)


def make(name, dtype=torch.float32, channels=4, checker=False):
    scheduler = DDIMScheduler.from_config(PUBLISHED)
    pipe = getattr(minidiff, name)(scheduler=scheduler, **components(channels, checker)[0])
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(dtype)


def draw(pipe, seed=0, output_type="np", **call):
    return pipe(**call_of(type(pipe).__name__) | {"num_inference_steps": 4} | call, generator=seeded(seed),
                output_type=output_type).images  # fmt: skip


# -- prompts


@each
def test_encoded_prompts(name):
    ours, theirs = both_pipelines(name)
    texts = (["a cat", "snow"], None, 2, True, ["", "dog"])
    found = ours.encode_prompt(*texts)
    for mine, other in zip(found, theirs.encode_prompt(*texts), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-6)
    assert ours.encode_prompt("a cat", do_classifier_free_guidance=False)[1] is None

    call = {key: value for key, value in call_of(name).items() if key != "prompt"}
    prompt_embeds, negative = ours.encode_prompt("a cat in snow", negative_prompt="dog")
    for embeds, texts in (
        ({"prompt_embeds": prompt_embeds}, {}),
        ({"prompt_embeds": prompt_embeds, "negative_prompt": "dog"}, {"negative_prompt": "dog"}),
        ({"prompt_embeds": prompt_embeds, "negative_prompt_embeds": negative}, {"negative_prompt": "dog"}),
    ):
        wanted = draw(ours, **texts)
        given = ours(**call, **embeds, num_inference_steps=4, generator=seeded(), output_type="np").images
        np.testing.assert_allclose(given, wanted, atol=1e-6)
        check_pictures((ours, theirs), **call, **embeds, num_inference_steps=4)


def test_one_negative_prompt_for_all():
    pipe = make("StableDiffusionPipeline")
    one = draw(pipe, prompt=["a cat", "snow"], negative_prompt="dog")
    assert np.array_equal(one, draw(pipe, prompt=["a cat", "snow"], negative_prompt=["dog", "dog"]))
    assert not np.array_equal(one, draw(pipe, prompt=["a cat", "snow"]))


@each
def test_a_prompt_that_is_too_long(name):
    pipe = make(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(pipe, prompt="a cat in snow")
    long = "cat " * 28 + "in the snow"
    with pytest.warns(UserWarning, match="longer than the 30 tokens .*; these words are lost: 'in the snow'"):
        cut = draw(pipe, prompt=long)
    assert np.array_equal(cut, draw(pipe, prompt="cat " * 28))
    with pytest.warns(UserWarning, match="these words are lost: 'cat snow'"):
        draw(pipe, negative_prompt="cat " * 29 + "snow")


@each
def test_a_text_encoder_of_transformers(name, tmp_path):
    pipe, (_, theirs) = make(name), text_encoders()
    theirs.load_state_dict(
        {key.removeprefix("text_model."): weight for key, weight in pipe.text_encoder.state_dict().items()}
    )
    wanted, pipe.text_encoder = draw(pipe), theirs
    np.testing.assert_allclose(draw(pipe), wanted, atol=1e-4)
    pipe.save_pretrained(tmp_path / "saved")
    index = json.loads((tmp_path / "saved" / "model_index.json").read_text())
    assert index["text_encoder"] == ["transformers", "CLIPTextModel"]
    again = DiffusionPipeline.from_pretrained(tmp_path / "saved")
    assert type(again.text_encoder) is minidiff.CLIPTextModel
    again.set_progress_bar_config(disable=True)
    np.testing.assert_allclose(draw(again), wanted, atol=1e-4)


@each
def test_words_that_are_encoded_already_need_no_text_encoder(name):
    pipe = make(name)
    prompt_embeds, negative = pipe.encode_prompt("a cat in snow")
    wanted, alone = draw(pipe), draw(pipe, guidance_scale=1)
    pipe = type(pipe)(**pipe.components | {"text_encoder": None, "tokenizer": None})
    pipe.set_progress_bar_config(disable=True)
    encoded = {"prompt": None, "prompt_embeds": prompt_embeds}
    np.testing.assert_allclose(draw(pipe, **encoded, negative_prompt_embeds=negative), wanted, atol=1e-6)
    np.testing.assert_allclose(draw(pipe, **encoded, guidance_scale=1), alone, atol=1e-6)
    for call, message in (
        ({}, "text_encoder is None, and there is a text to encode; allowed then are prompt_embeds"),
        (encoded, "text_encoder is None, and there is a text to encode; allowed then are negative_prompt_embeds"),
    ):
        with pytest.raises(ValueError, match=message):
            draw(pipe, **call)


def test_the_length_of_prompts():
    """It is the shorter of what tokenizer and text encoder take, or that of the prompts that are given encoded."""
    pipe = make(NAMES[0])
    prompt_embeds, _ = pipe.encode_prompt("a cat")
    short = {"prompt": None, "prompt_embeds": prompt_embeds[:, :10]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(pipe, **short, negative_prompt="cat " * 8)
    with pytest.warns(
        UserWarning, match="longer than the 10 tokens that prompt_embeds has; these words are lost: 'snow'"
    ):
        draw(pipe, **short, negative_prompt="cat " * 8 + "snow")

    pipe.tokenizer = copy.deepcopy(pipe.tokenizer)
    pipe.tokenizer.model_max_length = 20
    embeds = pipe.encode_prompt("a cat in snow")
    assert pipe.prompt_length == 20 and embeds[0].shape == embeds[1].shape == (1, 20, 12)
    np.testing.assert_allclose(draw(pipe, negative_prompt_embeds=embeds[1]), draw(pipe), atol=1e-6)


# -- safety


@pytest.mark.filterwarnings("ignore:the safety checker found")
@each
def test_the_safety_checker(name):
    pipes = both_pipelines(name, checker=True)
    call = call_of(name) | {"prompt": ["a cat", "snow"], "num_inference_steps": 3}
    for pipe in pipes:
        pipe.to(torch.float32)  # theirs hands the checker pictures of whatever dtype
    check_pictures(pipes, within=1e-4, **call)
    assert draw_flags(pipes[0], call) == draw_flags(pipes[1], call) == [False, False]
    for pipe in pipes:
        pipe.safety_checker.concept_embeds_weights.data.fill_(-2)
    images, flags = pipes[0](**call, generator=seeded(), output_type="np", return_dict=False)
    assert flags == draw_flags(pipes[1], call) == [True, True] and not images.any()
    assert np.asarray(pipes[0](**call, generator=seeded()).images[0]).max() == 0


def draw_flags(pipe, call):
    return [bool(flag) for flag in pipe(**call, generator=seeded()).nsfw_content_detected]


def test_without_a_safety_checker():
    pipe = make("StableDiffusionPipeline")
    out = pipe("a cat", num_inference_steps=2)
    assert isinstance(out, StableDiffusionPipelineOutput) and out.nsfw_content_detected is None
    images, flags = pipe("a cat", num_inference_steps=2, return_dict=False)
    assert flags is None and images[0].size == (32, 32)
    with pytest.raises(ValueError, match="feature_extractor is None; allowed beside a safety_checker"):
        StableDiffusionPipeline(**components(checker=True)[0] | {"feature_extractor": None}, scheduler=DDIMScheduler())


# -- what a call returns, and shows on the way


@each
def test_output_types(name):
    pipe, other = both_pipelines(name)
    np_, pt, pil, z_0 = (draw(pipe, output_type=kind) for kind in ("np", "pt", "pil", "latent"))
    assert np.array_equal(pt.permute(0, 2, 3, 1).float().numpy(), np_)
    wanted = draw(other, output_type="pil")
    for picture, array, theirs in zip(pil, np_, wanted, strict=True):
        assert np.array_equal(np.asarray(picture), (array * 255).round().astype("uint8")) and picture.mode == "RGB"
        assert np.abs(np.asarray(picture, int) - np.asarray(theirs, int)).max() <= 1
    assert z_0.shape == (1, 4, 4, 4)


@each
def test_given_latents(name):
    for scheduler in (DDIMScheduler.from_config(PUBLISHED), minidiff.EulerDiscreteScheduler.from_config(PUBLISHED)):
        pipe = make(name)
        pipe.scheduler = scheduler
        if name == "StableDiffusionPipeline":
            noise = torch.randn(1, 4, 4, 4, generator=seeded())
            assert np.array_equal(draw(pipe, seed=5, latents=noise), draw(pipe))
            assert np.array_equal(draw(pipe, prompt="dog", latents=noise), draw(pipe, prompt="dog"))
            continue
        generator = seeded()  # the autoencoder's draw comes first, unless nothing is made of the picture
        if name == "StableDiffusionImg2ImgPipeline" or pipe.unet.config.in_channels == 4:
            torch.randn(1, 4, 4, 4, generator=generator)
        noise = torch.randn(1, 4, 4, 4, generator=generator)
        np.testing.assert_allclose(draw(pipe, latents=noise), draw(pipe), atol=1e-4)
        assert not np.array_equal(draw(pipe, latents=noise + 1), draw(pipe))


@each
def test_watching(name):
    pipe = make(name)
    names, seen = ("latents", "sample", "model_output", "pred_original_sample", "prompt_embeds"), []

    def watch(pipe, i, t, tensors):
        seen.append(tensors)
        assert tuple(tensors) == names
        if i == 1:
            pipe.interrupt = True

    calls = counted(pipe)
    draw(pipe, callback_on_step_end=watch, callback_on_step_end_tensor_inputs=names, negative_prompt="dog")
    assert len(calls) == len(seen) == 2
    prompt, negative = pipe.encode_prompt("a cat in snow", negative_prompt="dog")
    assert torch.equal(seen[0]["prompt_embeds"], torch.cat([negative, prompt]))
    assert torch.equal(seen[0]["latents"], seen[1]["sample"]) and seen[0]["model_output"].shape == (1, 4, 4, 4)

    other = pipe.encode_prompt("dog")[0]
    swap = lambda pipe, i, t, tensors: {"prompt_embeds": torch.cat([tensors["prompt_embeds"][:1], other])}
    options = {"callback_on_step_end_tensor_inputs": ["prompt_embeds"]}
    assert not np.array_equal(draw(pipe, callback_on_step_end=swap, **options), draw(pipe))


def dynamic_guidance(pipe, step_index, timestep, callback_kwargs):
    """From diffusers' documentation, "Dynamic classifier-free guidance"."""
    if step_index == int(pipe.num_timesteps * 0.4):
        prompt_embeds = callback_kwargs["prompt_embeds"]
        prompt_embeds = prompt_embeds.chunk(2)[-1]
        pipe._guidance_scale = 0.0
        callback_kwargs["prompt_embeds"] = prompt_embeds
    return callback_kwargs


@each
def test_guidance_that_ends_on_the_way(name):
    ours, theirs = both_pipelines(name, "DDIMScheduler")
    watched = {"callback_on_step_end": dynamic_guidance, "callback_on_step_end_tensor_inputs": ["prompt_embeds"]}
    call, batches = call_of(name) | {"num_inference_steps": 5, "strength": 1.0}, []
    ours.unet.register_forward_pre_hook(lambda module, arguments: batches.append(len(arguments[0])))
    if name == NAMES[0]:
        call.pop("strength")
    if name == NAMES[2]:  # where theirs ends with an error
        draw(ours, **call, **watched)
    else:
        check_pictures((ours, theirs), **call, **watched)
    assert batches == [2, 2, 2, 1, 1]


@each
def test_a_callback_that_raises(name):
    pipe = make(name)
    wanted = draw(pipe)

    def fail(pipe, i, t, tensors):
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        draw(pipe, callback_on_step_end=fail)
    assert np.array_equal(draw(pipe), wanted)


@each
def test_a_picture_depends_on_its_own_generator_alone(name):
    pipe = make(name)
    call = call_of(name) | {"num_inference_steps": 3, "output_type": "np", "num_images_per_prompt": 2, "eta": 0.5}
    both = pipe(**call, generator=[seeded(1), seeded(2)]).images
    alone = pipe(**call | {"num_images_per_prompt": 1}, generator=seeded(2)).images
    np.testing.assert_allclose(both[1], alone[0], atol=1e-4)


@each
@pytest.mark.parametrize("dtype, within", ((torch.float16, 0.02), (torch.bfloat16, 0.15)))
def test_half_precision(name, dtype, within):
    for channels in (4, 9) if "Inpaint" in name else (4,):
        pipe = make(name, channels=channels, checker=True)
        noise = randn(1, 4, 4, 4)
        wanted = draw(pipe, latents=noise, output_type="latent", guidance_scale=2)
        found = draw(pipe.to(dtype), latents=noise, output_type="latent", guidance_scale=2)
        assert found.dtype == dtype
        if name == NAMES[0]:  # elsewhere the autoencoder's draw is another in half precision
            assert (found.float() - wanted).abs().max() <= within * wanted.abs().max()
        assert draw(pipe, output_type="pil")[0].size == (32, 32)


# -- files


def test_built_from_each_others_components():
    pipe = make(NAMES[0], checker=True)
    for name in (*NAMES[1:], NAMES[0]):
        pipe = getattr(minidiff, name)(**pipe.components)
        pipe.set_progress_bar_config(disable=True)
        draw(pipe)
    theirs = diffusers.StableDiffusionPipeline(scheduler=diffusers.DDIMScheduler(), **components()[1])
    assert StableDiffusionPipeline(**components()[0], scheduler=DDIMScheduler(), image_encoder=None)
    assert set(pipe.components) | {"image_encoder"} == set(theirs.components)


@each
def test_save_and_load(name, tmp_path):
    pipe = make(name, checker=True)
    wanted = draw(pipe)
    pipe.save_pretrained(tmp_path / "ours")
    index = json.loads((tmp_path / "ours" / "model_index.json").read_text())
    assert index["feature_extractor"] == ["transformers", "CLIPImageProcessor"]
    assert index["tokenizer"] == ["transformers", "CLIPTokenizer"]
    assert index["safety_checker"] == ["stable_diffusion", "StableDiffusionSafetyChecker"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = DiffusionPipeline.from_pretrained(tmp_path / "ours")
    assert type(again).__name__ == name
    again.set_progress_bar_config(disable=True)
    np.testing.assert_allclose(draw(again), wanted, atol=1e-4)

    theirs = diffusers.DiffusionPipeline.from_pretrained(tmp_path / "ours")
    theirs.set_progress_bar_config(disable=True)
    assert type(theirs).__name__ == name and theirs.safety_checker is not None
    np.testing.assert_allclose(draw(theirs), wanted, atol=1e-4)
    theirs.save_pretrained(tmp_path / "theirs")
    again = DiffusionPipeline.from_pretrained(tmp_path / "theirs")
    again.set_progress_bar_config(disable=True)
    np.testing.assert_allclose(draw(again), wanted, atol=1e-4)


def test_the_published_layout(tmp_path, capfd):
    published(tmp_path / "published")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipe = DiffusionPipeline.from_pretrained(tmp_path / "published")
    assert capfd.readouterr().err == ""
    pipe.set_progress_bar_config(disable=True)
    same = make(NAMES[0], checker=True)
    same.scheduler = PNDMScheduler.from_config(PUBLISHED)
    wanted = draw(same)
    np.testing.assert_allclose(draw(pipe), wanted, atol=1e-4)
    for options in ({"safety_checker": None}, {"safety_checker": None, "requires_safety_checker": False}):
        bare = StableDiffusionPipeline.from_pretrained(tmp_path / "published", **options)
        assert bare.safety_checker is None
        bare.set_progress_bar_config(disable=True)
        np.testing.assert_allclose(draw(bare), wanted, atol=1e-4)


@pytest.mark.parametrize(
    "version, written, size",
    (
        ("0.6.0.dev0", 4, 64),
        ("0.8.1", 4, 64),
        ("0.8.1", None, None),
        ("0.8.1", [4, 5], (4, 5)),
        ("0.9.0", 4, 4),
        ("0.42.1", 4, 4),
    ),
)
def test_the_size_in_files_of_the_first_releases(version, written, size, tmp_path):
    published(tmp_path / "old")
    config = json.loads((tmp_path / "old" / "unet" / "config.json").read_text())
    config |= {"_diffusers_version": version, "sample_size": written}
    (tmp_path / "old" / "unet" / "config.json").write_text(json.dumps(config))
    theirs = diffusers.StableDiffusionPipeline.from_pretrained(tmp_path / "old")
    pipe = DiffusionPipeline.from_pretrained(tmp_path / "old")
    assert pipe.unet.config.sample_size == size
    assert theirs.unet.config.sample_size == (written if isinstance(written, list) else size)
    pipe.save_pretrained(tmp_path / "new")
    assert DiffusionPipeline.from_pretrained(tmp_path / "new").unet.config.sample_size == size


# -- the ledger


def test_schedulers_are_used_as_they_are():
    config = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    first = []
    for library, parts in zip((minidiff, diffusers), components()):
        pipe = library.StableDiffusionPipeline(**parts, scheduler=library.DDIMScheduler(**config))
        pipe.set_progress_bar_config(disable=True)
        calls = counted(pipe)
        pipe("a cat", num_inference_steps=10)
        first.append((calls[0], pipe.scheduler.config.clip_sample))
    assert first == [(900, True), (901, False)]


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("name", NAMES[1:])
def test_every_prompt_keeps_its_image(name):
    images = torch.cat([torch.ones(1, 3, 32, 32), torch.zeros(1, 3, 32, 32)])
    call = {"prompt": ["a cat", "snow"], "image": images, "num_images_per_prompt": 2, "strength": 0.1}
    call |= {"mask_image": torch.zeros(2, 1, 32, 32)} if name == NAMES[2] else {}
    found = []
    for pipe in both_pipelines(name, "DDIMScheduler", torch.float32):
        with torch.no_grad():
            z_0 = pipe.vae.encode(images * 2 - 1).latent_dist.mean * pipe.vae.config.scaling_factor
            pipe.vae.quant_conv.bias[4:] = -30  # nothing is drawn
            pipe.vae.quant_conv.weight[4:] = 0
        _, z_t = first_sample(pipe, **call)
        found.append(torch.cdist(z_t.flatten(1), z_0.flatten(1)).argmin(1).tolist())  # whose image is the nearer
    assert found == [[0, 0, 1, 1], [0, 1, 0, 1]]


# -- refusals


COMMON = (
    ({"prompt": None}, "prompt is None and prompt_embeds None; allowed is one of both"),
    ({"prompt_embeds": randn(1, 30, 12)}, "prompt is 'a cat in snow' and prompt_embeds a tensor; allowed is one of"),
    ({"prompt": 3}, "prompt is 3; allowed is a text, or a list"),
    ({"prompt": []}, r"prompt is \[\]; allowed is a text"),
    ({"prompt": None, "prompt_embeds": randn(1, 30, 11)}, r"^prompt_embeds is .* \(1, 30, 11\); allowed .* 12\)"),
    ({"prompt": None, "prompt_embeds": np.zeros((1, 30, 12))}, "(?s)^prompt_embeds is array.*; allowed is a .* tensor"),
    ({"prompt": None, "prompt_embeds": torch.zeros(1, 30, 12).long()}, "^prompt_embeds is torch.int64 of shape"),
    ({"negative_prompt_embeds": torch.zeros(1, 30, 12).bool()}, "^negative_prompt_embeds is torch.bool of shape"),
    (
        {"prompt": None, "prompt_embeds": randn(1, 31, 12)},
        "prompt_embeds has 31 tokens, and the text encoder makes 30 of a negative prompt; allowed .* negative_prompt_e",
    ),
    ({"negative_prompt": ["a", "b"]}, r"negative_prompt is \['a', 'b'\]; allowed is a text, or one for each .* 1$"),
    ({"negative_prompt": 3}, "negative_prompt is 3; allowed is a text"),
    (
        {"negative_prompt": "a", "negative_prompt_embeds": randn(1, 30, 12)},
        "negative_prompt is 'a' and negative_prompt_embeds a tensor; allowed is one of both",
    ),
    (
        {"negative_prompt_embeds": randn(2, 30, 12)},
        r"negative_prompt_embeds is of shape \(2, 30, 12\); allowed is .*\(1, 30, 12\)",
    ),
    ({"num_images_per_prompt": 0}, "num_images_per_prompt is 0; allowed is a whole number from 1 on"),
    ({"guidance_scale": float("nan")}, "guidance_scale is nan; allowed is a finite number"),
    ({"eta": 2}, "eta is 2; allowed are numbers from 0"),
    ({"num_inference_steps": 0}, "num_inference_steps is 0; allowed is a whole number from 1"),
    ({"num_inference_steps": 1001}, "num_inference_steps is 1001; allowed is a whole number from 1 to 1000"),
    ({"generator": [seeded()] * 2}, "generator is a list of 2; allowed is one a sample, so 1"),
    ({"output_type": "jpg"}, "output_type is 'jpg'; allowed are 'pil', 'np', 'pt', 'latent'"),
    (
        {"latents": randn(1, 4, 4, 5)},
        r"latents is .* of shape \(1, 4, 4, 5\); allowed is .* \(1, 4, 4, 4\)",
    ),
    ({"callback_on_step_end_tensor_inputs": ["mask"]}, r"inputs: \['mask'\]; allowed .* prompt_embeds"),
    ({"clip_skip": 1}, "clip_skip is 1, while the text model is heard where it ends"),
    ({"guidance_rescale": 0.7}, "guidance_rescale is 0.7, while guidance is that of its paper; allowed is 0"),
)
STRENGTHS = (
    ({"strength": 1.1}, "strength is 1.1; allowed are numbers from 0 to 1"),
    ({"strength": -0.1}, "strength is -0.1; allowed are numbers from 0 to 1"),
    ({"strength": float("nan")}, "strength is nan; allowed are numbers"),
    ({"strength": "half"}, "strength is 'half'; allowed are numbers"),
    ({"strength": 0}, "strength is 0, which leaves none of 4 steps; allowed is 0.25 or more"),
    ({"strength": 0.2}, "strength is 0.2, which leaves none of 4 steps; allowed is 0.25 or more"),
)
PICTURES = (
    ({"image": None}, "image is None; allowed are PIL images, arrays and tensors"),
    ({"image": "cat.png"}, "image is 'cat.png'; allowed are PIL images"),
    ({"image": torch.rand(1, 2, 32, 32)}, r"image has the shape \(1, 2, 32, 32\) .*; allowed are floating-point"),
    ({"image": torch.zeros(1, 3, 32, 32, dtype=torch.uint8)}, "dtype torch.uint8; allowed are floating-point"),
    ({"image": torch.full((1, 3, 32, 32), 200.0)}, "image has numbers from 200 to 200; allowed are 0 to 1"),
    ({"image": torch.full((1, 3, 32, 32), float("nan"))}, "image has numbers from nan to nan; allowed are 0 to 1"),
    ({"image": [sketch(), sketch(16, 32)]}, "image holds pictures of 32 x 32, 16 x 32; allowed is one size"),
    ({"image": [sketch()] * 3}, "^image: there are 3 for 1 prompts; allowed is one, or one for each"),
    (
        {"image": [torch.zeros(3, 32, 32), torch.zeros(3, 16, 32)]},
        "image holds pictures of 3 x 32 x 32, 3 x 16 x 32; allowed is one size",
    ),
)
MASKS = (
    ({"mask_image": None}, "mask_image is None; allowed are PIL images"),
    ({"mask_image": hole(32, 16)}, "mask_image is 32 x 16 and image 32 x 32; allowed are masks as large as the image"),
    ({"mask_image": torch.zeros(1, 1, 16, 32)}, "mask_image is 32 x 16 and image 32 x 32"),
    ({"mask_image": hole().convert("RGBA")}, "mask_image has the mode 'RGBA'; allowed are 'L', '1', 'RGB'"),
    ({"mask_image": Image.new("I;16", (32, 32))}, "mask_image has the mode 'I;16'; allowed are"),
    ({"mask_image": torch.full((32, 32), 255.0)}, "mask_image has numbers from 255 to 255; allowed are 0 to 1"),
    ({"mask_image": [hole()] * 3}, "^mask_image: there are 3 for 1 prompts"),
    ({"mask_image": [hole(), hole(16, 8)]}, "mask_image holds pictures of 32 x 32, 16 x 8; allowed is one size"),
    (
        {"mask_image": [np.zeros((32, 32)), np.zeros((8, 16))]},
        "mask_image holds pictures of 32 x 32, 8 x 16; allowed is one size",
    ),
    ({"height": 30, "width": 32}, "height is 30; allowed are multiples of 8"),
    ({"masked_image_latents": randn(1, 4, 4, 4)}, "(?s)masked_image_latents is .*, while the autoencoder encodes"),
    ({"padding_mask_crop": 5}, "padding_mask_crop is 5, while cutting a picture"),
)
REFUSED = [(name, *case) for name in NAMES for case in COMMON]
REFUSED += [(name, *case) for name in NAMES[1:] for case in (*STRENGTHS, *PICTURES)]
REFUSED += [(NAMES[2], *case) for case in MASKS]
REFUSED += [
    (NAMES[0], {"height": 30, "width": 32}, "height is 30; allowed are multiples of 8"),
    (NAMES[0], {"height": 32}, "width is None, but height is not; allowed are both or neither"),
    (NAMES[1], {"image": sketch(7, 32)}, "image is 7 x 32; allowed are at least 8 x 8 pixels"),
    (NAMES[1], {"image": torch.rand(1, 3, 30, 32)}, "image is 32 x 30; allowed are multiples of 8"),
]


@pytest.fixture(scope="module")
def made():
    return {name: make(name) for name in NAMES}


@pytest.mark.parametrize(
    "name, bad, message", REFUSED, ids=lambda value: str(value)[:30] if isinstance(value, dict) else ""
)
def test_bad_arguments_are_refused_before_any_work(made, name, bad, message, monkeypatch):
    pipe = made[name]
    for network in (pipe.unet, pipe.vae, pipe.text_encoder):
        monkeypatch.setattr(network, "forward", None)
    monkeypatch.setattr(pipe.vae, "encode", None)
    with pytest.raises(ValueError, match=message):
        pipe(**call_of(name) | {"num_inference_steps": 4} | bad)


@each
def test_misspelt_and_absent(made, name):
    pipe = made[name]
    with pytest.raises(TypeError, match="no argument 'guidance'; did you mean 'guidance_scale'"):
        pipe(**call_of(name), guidance=3)
    pipe(**call_of(name), num_inference_steps=2, cross_attention_kwargs=None, clip_skip=None, timesteps=None)
    with pytest.raises(ValueError, match=f"unet is None, and {name} draws nothing without"):
        getattr(minidiff, name)(**pipe.components | {"unet": None})(**call_of(name))


@pytest.mark.parametrize("name", NAMES[1:])
def test_schedulers_of_other_packages(made, name):
    """From noise alone they walk along; where a walk begins inside, each package has its own way to say so."""
    theirs = diffusers.UniPCMultistepScheduler.from_config(PUBLISHED)
    pipe = getattr(minidiff, name)(**made[name].components | {"scheduler": theirs})
    with pytest.raises(ValueError, match="scheduler is a UniPCMultistepScheduler; allowed is a scheduler of minidiff"):
        pipe(**call_of(name))
    pipe = StableDiffusionPipeline(**pipe.components)
    pipe.set_progress_bar_config(disable=True)
    draw(pipe)


def test_a_unet_of_other_channels():
    pipe = make(NAMES[2], channels=8)
    with pytest.raises(ValueError, match="the unet takes 8 channels; allowed are 4, the latents, or 9"):
        pipe(**call_of(NAMES[2]))
