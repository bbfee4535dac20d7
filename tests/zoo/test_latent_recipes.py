"""The recipes of latent diffusion: what they are trained on, their losses, and that what they save can draw."""

import json

import pytest
import torch
from against import assert_close, randn, seeded

from minidiff import (
    AutoencoderKL,
    DiffusionPipeline,
    LDMPipeline,
    LDMSuperResolutionPipeline,
    LDMTextToImagePipeline,
    VQModel,
    zoo,
)
from minidiff.zoo import world
from minidiff.zoo.recipes import latents, recipe, storybook_ldm_sr, storybook_ldm_text, storybook_vq
from minidiff.zoo.recipes.training import train

LEVELS = {
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "block_out_channels": (4, 4, 8),
    "norm_num_groups": 4,
}
FLOORS = {"storybook-kl": 0.9, "storybook-vq": 0.9, "storybook-ldm": 1.5, "storybook-ldm-sr": 1.5}
NAMES = (*FLOORS, "storybook-ldm-text")


@pytest.fixture
def autoencoders(tmp_path, monkeypatch):
    """In a folder of its own, small autoencoders lie where `minidiff train` would have left them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(latents.DiffusionRecipe, "drawings", 6)
    for name, cls in (("storybook-kl", AutoencoderKL), ("storybook-vq", VQModel)):
        monkeypatch.setattr(type(recipe(name)), "drawings", 6)
        cls(**LEVELS, **{"scaling_factor": 0.5} if cls is AutoencoderKL else {}).save_pretrained(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_step_and_what_it_saves(autoencoders, tmp_path, name):
    """One step of each: a finite loss, float16 in the published layout, pictures or latents out of it."""
    chosen = recipe(name)
    chosen.batch_size = 4
    network, run = train(chosen, tmp_path / "out", steps=1)
    assert 0 < run["loss"] < 100
    chosen.save(network, tmp_path / "saved")
    if name in ("storybook-kl", "storybook-vq"):
        cls = AutoencoderKL if name == "storybook-kl" else VQModel
        loaded = cls.from_pretrained(tmp_path / "saved")
        with torch.no_grad():
            assert loaded(latents.unseen_drawings(2)).sample.isfinite().all()
        return
    pipe = DiffusionPipeline.from_pretrained(tmp_path / "saved")
    pipe.set_progress_bar_config(disable=True)
    calls = {
        LDMPipeline: {"batch_size": 2},
        LDMTextToImagePipeline: {"prompt": ["a yellow cat in the snow", "a zebra"], "guidance_scale": 2.0},
        LDMSuperResolutionPipeline: {"image": storybook_ldm_sr.shrunk(latents.unseen_drawings(2))},
    }
    pictures = pipe(**calls[type(pipe)], num_inference_steps=2, output_type="pt").images
    assert pictures.shape == (2, 3, 64, 64)


@pytest.mark.parametrize("name", FLOORS)
def test_networks_are_as_large_as_planned(autoencoders, name):
    """In million parameters; an autoencoder from 0.9 to 1.15, a UNet over latents 1.55."""
    million = sum(weight.numel() for weight in recipe(name).network().parameters()) / 1e6
    assert FLOORS[name] <= million <= FLOORS[name] + 0.25


def test_the_networks_that_listen_are_as_large_as_planned():
    network = recipe("storybook-ldm-text").network()
    assert 2.2 < network.unet.num_parameters() / 1e6 < 2.4 and 0.2 < network.bert.num_parameters() / 1e6 < 0.6


def test_the_loss_knows_the_noise(autoencoders):
    """It is 0 for who predicts the noise, and its weights keep early times from drowning in late ones."""
    chosen, z_0 = recipe("storybook-ldm"), randn(8, 3, 4, 4)

    def told(z_t, t):
        alpha_bar_t = chosen.scheduler.alphas_cumprod[t].reshape(-1, 1, 1, 1)
        return (z_t - alpha_bar_t**0.5 * z_0) / (1 - alpha_bar_t) ** 0.5

    assert chosen.noise_loss(z_0, told, seeded()) < 1e-6
    times = []

    def silent(z_t, t):
        times.append(t)
        return torch.zeros_like(z_t)

    loss = chosen.noise_loss(z_0, silent, seeded())
    alpha_bar_t = chosen.scheduler.alphas_cumprod[times[0]]
    wanted = ((1 - alpha_bar_t) / alpha_bar_t).sqrt().clamp(max=8).mean()
    assert loss.item() == pytest.approx(wanted.item(), rel=0.3)
    assert all(k * 125 <= t < (k + 1) * 125 for k, t in enumerate(times[0].tolist()))  # one from each eighth


def test_drawings_are_encoded_as_the_pipeline_decodes():
    kl = AutoencoderKL(**LEVELS, scaling_factor=0.5).eval()
    pixels, _ = latents.drawings(3)
    with torch.no_grad():
        wanted = kl.encode(latents.centred(pixels)).latent_dist.mean
    assert_close(latents.encoded(kl, pixels), wanted)
    assert_close(latents.encoded(kl, latents.centred(pixels)), wanted)


def test_unseen_drawings_are_in_no_training_set():
    pixels, _ = latents.drawings(50)
    unseen = ((latents.unseen_drawings(20) + 1) * 127.5).round().to(torch.uint8)
    assert not any(torch.equal(one, other) for one in unseen for other in pixels)


def test_decibels():
    x = torch.zeros(2, 3, 4, 4)
    x_hat = torch.stack([torch.full((3, 4, 4), 0.2), torch.full((3, 4, 4), 0.02)])
    assert latents.decibels(x_hat, x).tolist() == pytest.approx([20, 40], abs=1e-3)


def test_dividing_the_latents_changes_no_picture():
    network = VQModel(**LEVELS, num_vq_embeddings=30).eval()
    network.quantize.embedding.weight.data *= 60
    x = latents.unseen_drawings(3)
    with torch.no_grad():
        before, z = network(x).sample, network.encode(x).latents
        storybook_vq.scaled(network, latents.latent_std(z))
        assert_close(network(x).sample, before, 1e-4)
        assert latents.latent_std(network.encode(x).latents).item() == pytest.approx(1, abs=1e-3)


def test_codes_are_drawn_to_the_latent_nearest_to_them():
    e = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    z_e = torch.tensor([[0.0, 1.0], [10.0, 10.0]]).T.reshape(1, 2, 1, 2)
    distance = storybook_vq.distance_to_latents(e, z_e)
    assert distance.item() == pytest.approx((1 + 18) / 2)
    distance.backward()
    assert_close(-e.grad, torch.tensor([[0.0, 1.0], [-3.0, -3.0]]))


def test_the_vq_autoencoder_starts_from_the_kl_ones_convolutions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kl = recipe("storybook-kl").network()
    kl.save_pretrained("storybook-kl")
    start, network = kl.state_dict(), recipe("storybook-vq").network()
    assert torch.equal(network.decoder.conv_out.weight, start["decoder.conv_out.weight"])
    assert torch.equal(network.encoder.conv_in.weight, start["encoder.conv_in.weight"])
    found = network.quantize(latents.encoded(network, latents.drawings(100)[0]))
    assert len(found.k.unique()) > 900  # the codes are latents of these drawings


def test_an_autoencoder_that_is_nowhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder ./storybook-no here: train it first, with `minidiff train"):
        latents.trained(VQModel, "storybook-no", "storybook-none")


def test_small_drawings():
    x = latents.unseen_drawings(4)
    y = storybook_ldm_sr.shrunk(x)
    assert y.shape == (4, 3, 16, 16)
    levels = (y + 1) * 127.5
    assert_close(levels, levels.round())
    assert_close(y[:, :, 0, 0], x[:, :, :4, :4].mean((2, 3)), 0.01)
    assert latents.decibels(storybook_ldm_sr.bicubic(y), x).mean() > 15


def test_every_caption_can_be_said():
    captions = [storybook_ldm_text.caption(combination) for combination in world.COMBINATIONS]
    ids = storybook_ldm_text.tokens(captions)
    assert ids.shape == (384, storybook_ldm_text.LENGTH) and len(ids.unique(dim=0)) == 384
    assert not (ids == storybook_ldm_text.UNKNOWN).any() and (ids[:, 0] == storybook_ldm_text.BEGIN).all()
    assert (ids == storybook_ldm_text.END).sum(1).tolist() == [1] * 384  # none is cut off
    assert storybook_ldm_text.tokens(["a zebra"])[0, 2] == storybook_ldm_text.UNKNOWN


def test_every_tenth_prompt_is_the_empty_one(autoencoders):
    chosen, heard = recipe("storybook-ldm-text"), []
    network = chosen.network()
    network.bert.register_forward_pre_hook(lambda module, arguments: heard.append(arguments[0]))
    ids = storybook_ldm_text.tokens(["an orange cat in front of mountains at night"] * 640)
    chosen.noise_loss = lambda z_0, predict, generator: None  # what is heard is the question
    chosen.loss(network, (None, ids), seeded(), 0)
    (heard,) = heard
    (empty,) = storybook_ldm_text.tokens([""])
    silent = (heard == empty).all(1)
    assert 0.06 < silent.float().mean() < 0.14
    misheard = (heard[~silent] == storybook_ldm_text.UNKNOWN).float().mean() * storybook_ldm_text.LENGTH / 9
    assert 0.01 < misheard < 0.03
    assert torch.equal(heard[:, 0], torch.full_like(heard[:, 0], storybook_ldm_text.BEGIN))


def test_nobody_uses_the_logits(autoencoders):
    network = recipe("storybook-ldm-text").network()
    optimizers = recipe("storybook-ldm-text").optimizers(network, 0)
    trained = {id(weight) for o in optimizers for group in o.param_groups for weight in group["params"]}
    assert id(network.unet.conv_in.weight) in trained
    assert not network.bert.to_logits.weight.requires_grad


@pytest.mark.parametrize("name", [name for name in NAMES if name in zoo.names()])
def test_floors(name):
    """What ships has reached what was asked of it."""
    measures = json.loads((zoo.path(name) / "measures.json").read_text())["measures"]
    floors = {
        "storybook-ldm": lambda: measures["quality"]["named"] >= 0.95 and vq_is_good(measures["autoencoder"]),
        "storybook-ldm-text": lambda: (
            measures["seen, guidance_scale 4"]["prompt_accuracy"] >= 0.97
            and measures["held_out, guidance_scale 4"]["prompt_accuracy"] >= 0.95
            and measures["autoencoder"]["decibels"] >= 34
        ),
        "storybook-ldm-sr": lambda: (
            measures["pipeline"]["decibels"] >= measures["bicubic"]["decibels"] + 2
            and measures["pipeline"]["frechet"] < measures["bicubic"]["frechet"]
            and vq_is_good(measures["autoencoder"])
        ),
    }
    assert floors[name]()


def vq_is_good(measured):
    """28 dB on 500 unseen drawings, and half of the codes in use."""
    return measured["drawings"] == 500 and measured["decibels"] >= 28 and measured["codes_in_use"] >= 0.5


def test_how_many_codes_are_in_use():
    """A quantiser in which all codes but two lie where no latent comes."""
    network = VQModel(**LEVELS, num_vq_embeddings=8).eval()
    codes = network.quantize.embedding.weight.data.fill_(1e6)
    z = latents.encoded(network, latents.unseen_drawings(500)).movedim(1, -1).flatten(0, 2)
    codes[:2] = torch.stack([z[z[:, 0].argmin()], z[z[:, 0].argmax()]])
    found = storybook_vq.worth(network)
    assert found["codes"] == 8 and found["codes_in_use"] == 2 / 8 and found["drawings"] == 500


@pytest.mark.skipif("storybook-ldm-text" not in zoo.names(), reason="these weights are not in the zoo")
def test_what_ships_hears_every_word():
    """Of 24 prompts, half of them of combinations that were never shown, at least 21 are drawn as they say."""
    pipe = LDMTextToImagePipeline.from_pretrained(zoo.path("storybook-ldm-text"))
    pipe.set_progress_bar_config(disable=True)
    combinations = [*world.SEEN[5::29][:12], *sorted(world.HELD_OUT)[::3][:12]]
    found = recipe("storybook-ldm-text").accuracy(pipe, combinations, 24, guidance_scale=4.0, steps=20)
    assert found["images"] == 24 and found["prompt_accuracy"] >= 21 / 24
