"""LDMTextToImagePipeline: the pictures are those of diffusers, but for what diffusers has wrong."""

import json
import subprocess
import sys

import diffusers
import numpy as np
import pytest
import torch
from against import relative_difference, seeded
from latent_pipelines import (
    PUBLISHED,
    REFUSED,
    both_pipelines,
    check_given_latents,
    check_output_types,
    check_pictures,
    check_refusal,
    check_watching,
    counted,
    tiny_tokenizer,
)

import minidiff
from minidiff import DDIMScheduler, DiffusionPipeline, LDMTextToImagePipeline
from minidiff.course.mixture import Mixture
from minidiff.models.unet_2d_condition import UNet2DConditionOutput

NAME = "LDMTextToImagePipeline"
PROMPTS = ["a yellow cat in the snow", "boats"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return tiny_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture
def pipes(tokenizer):
    return both_pipelines(NAME, tokenizer)


@pytest.mark.parametrize("kind", ("none", "one", "list"))
@pytest.mark.parametrize("guidance_scale", (1.0, 7.5, 0.0, -1.5))
def test_pictures(pipes, kind, guidance_scale):
    check_pictures(pipes, kind, prompt=PROMPTS, num_inference_steps=5, guidance_scale=guidance_scale)


@pytest.mark.parametrize(
    "call",
    [
        {"prompt": "a cat"},
        {"prompt": ["", "a " * 200]},
        {"prompt": PROMPTS, "height": 48, "width": 16},
        {"prompt": PROMPTS, "height": 24, "width": 40},  # odd latents
        {"prompt": PROMPTS, "eta": 1.0},
        {"prompt": PROMPTS, "eta": 0.5, "guidance_scale": 3.0},
        {"prompt": PROMPTS, "num_inference_steps": 1},
    ],
    ids=lambda call: "-".join(call),
)
def test_calls(pipes, call):
    """All noise from the global generator, for theirs draws that of its steps from no other."""
    check_pictures(pipes, "none", **{"num_inference_steps": 5} | call)


@pytest.mark.parametrize("scheduler", ("PNDMScheduler", "DDPMScheduler"))
def test_other_schedulers(tokenizer, scheduler):
    pipes = both_pipelines(NAME, tokenizer, scheduler)
    check_pictures(pipes, "none", prompt=PROMPTS, num_inference_steps=6, guidance_scale=2.0)


def test_double_precision(tokenizer):
    pipes = both_pipelines(NAME, tokenizer, dtype=torch.float64)
    results = [
        pipe(PROMPTS, generator=seeded(), num_inference_steps=10, guidance_scale=3.0, output_type="pt").images
        for pipe in pipes
    ]
    assert relative_difference(*results) < 1e-6


@pytest.mark.parametrize("eta", (0.5, 1.0))
def test_the_generator_reaches_every_draw(pipes, eta):
    same = []
    for pipe in pipes:
        pictures = []
        for seed in (1, 2):  # of the global generator
            torch.manual_seed(seed)
            call = {"eta": eta, "generator": seeded(), "num_inference_steps": 4, "output_type": "np"}
            pictures.append(pipe(PROMPTS, **call).images)
        same.append(np.array_equal(*pictures))
    assert same == [True, False]


def test_what_the_scale_does(pipes):
    """Scale 1 never asks the network without the prompt; the further the scale, the more the prompt matters."""
    pipe, _ = pipes
    call = {"generator": None, "num_inference_steps": 3, "output_type": "latent"}
    noise = torch.randn(2, 4, 4, 4, generator=seeded())
    drawn = {w: pipe(PROMPTS, guidance_scale=w, latents=noise, **call).images for w in (0.0, 1.0, 4.0)}
    apart = {w: (z - drawn[0.0]).norm().item() for w, z in drawn.items()}
    assert 0 < apart[1.0] < apart[4.0]
    batches = []
    pipe.unet.register_forward_pre_hook(lambda module, arguments: batches.append(len(arguments[0])))
    pipe(PROMPTS, **call)
    pipe(PROMPTS, guidance_scale=4, **call)
    assert batches == [2] * 3 + [4] * 3


@pytest.mark.parametrize(
    "scheduler",
    ("EulerDiscreteScheduler", "HeunDiscreteScheduler", "LMSDiscreteScheduler", "DPMSolverMultistepScheduler"),
)
def test_schedulers_that_can_be_swapped_in(pipes, scheduler):
    """What is shown to the network is scaled, and the noise at the start is; diffusers does neither.

    At 60 steps every deterministic sampler follows the same flow: DDIM's, with the right pictures.
    """
    for pipe, library in zip(pipes, (minidiff, diffusers)):
        pipe.scheduler = getattr(library, scheduler).from_config(PUBLISHED)
    ours, theirs = pipes
    noise = torch.randn(2, 4, 4, 4, generator=seeded())
    call = {"prompt": PROMPTS, "num_inference_steps": 60, "output_type": "pt", "latents": noise}
    drawn = [pipe(**call).images for pipe in (ours, theirs)]
    ours.scheduler = DDIMScheduler.from_config(PUBLISHED, timestep_spacing="linspace")
    wanted = ours(**call).images
    errors = [(images - wanted).abs().mean().item() for images in drawn]
    if scheduler == "DPMSolverMultistepScheduler":  # whose samples need no scaling
        assert max(errors) < 0.02
    else:
        assert errors[0] < 0.1 * errors[1]


def test_every_draw_of_an_ancestral_sampler_is_the_generators(pipes):
    pipe, _ = pipes
    pipe.scheduler = minidiff.EulerAncestralDiscreteScheduler.from_config(PUBLISHED)
    drawn = []
    for seed in (1, 2):  # of the global generator
        torch.manual_seed(seed)
        drawn.append(pipe(PROMPTS, num_inference_steps=5, generator=seeded(), output_type="latent").images)
    assert torch.equal(*drawn)


class Gaussian(torch.nn.Module):
    """The perfect network for latents of N(0, 0.5^2), whatever the prompt; its config is another UNet's."""

    def __init__(self, unet, scheduler):
        super().__init__()
        self.config, self.sample_shape = unet.config, (4, 4, 4)
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.network = Mixture([[0.0]], [0.5]).as_network(scheduler.alphas_cumprod)
        self.device = torch.device("cpu")

    def forward(self, sample, timestep, encoder_hidden_states):
        t = torch.as_tensor(timestep).round()  # an entry of the table that the perfect network knows
        return UNet2DConditionOutput(sample=self.network(sample.reshape(-1, 1), t).sample.reshape(sample.shape))


def test_what_becomes_of_unscaled_noise(pipes):
    """N(0, 0.5^2) by Euler's method in sigma, 50 steps: the std of the latents is 0.47 here, and 0 in diffusers."""
    stds, betas = [], {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}  # as published
    for pipe in pipes:
        pipe.scheduler = diffusers.EulerDiscreteScheduler(**betas)
        pipe.unet = Gaussian(pipe.unet, DDIMScheduler(**betas))
        pipe.vqvae.decoder.forward = lambda z, *others: z[:, :3] * 0.2  # within [-1, 1]
        pipe.vqvae.post_quant_conv.forward = lambda z: z * pipe.vqvae.config.scaling_factor
        pictures = pipe(["a cat"] * 50, generator=seeded(), num_inference_steps=50, output_type="pt").images
        stds.append((pictures * 2 - 1).std().item() / 0.2)
    assert stds[0] == pytest.approx(0.474, abs=0.02) and stds[1] < 1e-4


def test_the_factor_is_the_autoencoders(tokenizer, pipes):
    """Theirs divides the size of the picture by 8 for every autoencoder, and decodes something else than asked for."""
    for pipe, library in zip(pipes, ("minidiff", "diffusers")):
        config = {key: value for key, value in pipe.vqvae.config.items() if key[0] != "_"}
        levels = {key: config[key][:2] for key in ("down_block_types", "up_block_types", "block_out_channels")}
        pipe.vqvae = type(pipe.vqvae).from_config(config | levels).eval()
    sizes = [pipe("a cat", 32, 16, 2, output_type="np").images.shape[1:3] for pipe in pipes]
    assert sizes == [(32, 16), (8, 4)]


def test_loading_and_saving(tmp_path, pipes):
    """A published folder: the library of the text encoder is a folder of diffusers, the autoencoder is called vqvae."""
    ours, theirs = pipes
    theirs.save_pretrained(tmp_path / "theirs")
    loaded = DiffusionPipeline.from_pretrained(tmp_path / "theirs")
    assert type(loaded) is LDMTextToImagePipeline and type(loaded.tokenizer).__name__ == "BertTokenizer"
    loaded.save_pretrained(tmp_path / "ours")
    indices = [json.loads((tmp_path / side / "model_index.json").read_text()) for side in ("theirs", "ours")]
    assert indices[1]["tokenizer"] == ["transformers", "BertTokenizer"]
    assert {key: indices[0][key] for key in indices[1] if key[0] != "_"} == {
        key: value for key, value in indices[1].items() if key[0] != "_"
    }
    again = diffusers.LDMTextToImagePipeline.from_pretrained(tmp_path / "ours")
    for pipe in (loaded, again):
        pipe.set_progress_bar_config(disable=True)
    check_pictures((loaded, again), prompt=PROMPTS, num_inference_steps=3, guidance_scale=2.0)


def test_a_tokenizer_of_vocab_alone(tmp_path, pipes):
    """As published: vocab.txt, and no tokenizer.json."""
    ours, _ = pipes
    ours.save_pretrained(tmp_path)
    for file in (tmp_path / "tokenizer").iterdir():
        if file.name != "tokenizer_config.json":
            file.unlink()
    words = sorted(ours.tokenizer.get_vocab(), key=ours.tokenizer.get_vocab().get)
    (tmp_path / "tokenizer" / "vocab.txt").write_text("\n".join(words) + "\n")
    loaded = DiffusionPipeline.from_pretrained(tmp_path)
    assert loaded.tokenizer(PROMPTS).input_ids == ours.tokenizer(PROMPTS).input_ids


def test_transformers_is_imported_for_the_tokenizer_alone():
    code = "import minidiff, sys; minidiff.LDMTextToImagePipeline; print('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_by_default_there_are_fifty_steps(pipes):
    calls = counted(pipes[0])
    pipes[0]("a cat")
    assert calls == list(range(980, -1, -20))


def test_output_types(pipes):
    z_0, pictures = check_output_types(pipes, prompt=PROMPTS)
    with torch.no_grad():
        decoded = pipes[0].vqvae.decode(z_0 / 0.18215).sample
    assert torch.equal((decoded / 2 + 0.5).clamp(0, 1), pictures)


def test_given_latents(pipes):
    check_given_latents(pipes[0], (2, 4, 4, 4), prompt=PROMPTS, guidance_scale=2.0)


def test_watching(pipes):
    check_watching(pipes[0], (2, 4, 4, 4), prompt=PROMPTS, guidance_scale=2.0)


def test_a_prompt_that_changes_on_the_way(pipes):
    """A callback sees the encoded prompts, the empty ones first, and may replace them."""
    pipe, _ = pipes

    def changing(pipe, i, t, tensors):
        assert tensors["prompt_embeds"].shape == (2, 77, 12)
        return {"prompt_embeds": tensors["prompt_embeds"].flip(0)} if i == 0 else None

    watched = {"callback_on_step_end": changing, "callback_on_step_end_tensor_inputs": ["prompt_embeds"]}
    noise = torch.randn(1, 4, 4, 4, generator=seeded())
    call = {"num_inference_steps": 3, "latents": noise, "output_type": "latent"}
    flipped = pipe("a cat", guidance_scale=3.0, **watched, **call).images
    assert relative_difference(flipped, pipe("a cat", guidance_scale=3.0, **call).images) > 1e-3


def test_guidance_that_ends_on_the_way(pipes):
    """Where the prompts alone come back from a callback, the network is asked with them alone."""
    pipe, _ = pipes
    batches = []
    pipe.unet.register_forward_pre_hook(lambda module, arguments: batches.append(len(arguments[0])))
    alone = lambda pipe, i, t, tensors: {"prompt_embeds": tensors["prompt_embeds"][-2:]} if i == 1 else None
    watched = {"callback_on_step_end": alone, "callback_on_step_end_tensor_inputs": ["prompt_embeds"]}
    pipe(PROMPTS, guidance_scale=4.0, num_inference_steps=4, output_type="latent", **watched)
    assert batches == [4, 4, 2, 2]


@pytest.mark.parametrize(
    "change, message",
    (
        *REFUSED,
        ({"prompt": None}, "prompt is None; allowed is a text, or a list of at least one"),
        ({"prompt": 3}, "prompt is 3; allowed"),
        ({"prompt": []}, r"prompt is \[\]; allowed"),
        ({"prompt": ["a cat", 3]}, r"prompt is \['a cat', 3\]; allowed"),
        ({"height": 20, "width": 32}, "height is 20; allowed are multiples of 8"),
        ({"height": 32, "width": 44}, "width is 44; allowed are multiples of 8"),
        ({"height": 0, "width": 32}, "height is 0; allowed is a whole number from 1 on"),
        ({"height": 32, "width": -16}, "width is -16; allowed"),
        ({"height": 32}, "width is None, but height is not; allowed are both or neither"),
        ({"width": 32}, "height is None, but width is not; allowed are both or neither"),
        ({"height": 32.0, "width": 32}, "height is 32.0; allowed is a whole number"),
        ({"guidance_scale": float("nan")}, "guidance_scale is nan; allowed is a finite number"),
        ({"guidance_scale": float("inf")}, "guidance_scale is inf; allowed"),
        ({"guidance_scale": None}, "guidance_scale is None; allowed"),
    ),
)
def test_arguments_that_are_refused(pipes, change, message):
    check_refusal(pipes[0], message, {"prompt": PROMPTS} | change)


def test_absent_components(pipes):
    pipes[0].bert = None
    check_refusal(pipes[0], "bert is None, and LDMTextToImagePipeline draws nothing without", {"prompt": "a cat"})


def test_a_misspelt_argument(pipes):
    message = "LDMTextToImagePipeline has no argument 'guidance'; did you mean 'guidance_scale'"
    check_refusal(pipes[0], message, {"prompt": "a cat", "guidance": 3}, TypeError)
