"""The recipes of Stable Diffusion: their words, masks and losses; a few steps of each."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from against import randn, seeded

from minidiff import (
    AutoencoderKL,
    CLIPTextModel,
    DDIMScheduler,
    DiffusionPipeline,
    StableDiffusionPipeline,
    StableDiffusionSafetyChecker,
    zoo,
)
from minidiff.zoo import world
from minidiff.zoo.recipes import recipe, storybook_clip, storybook_sd_inpaint, words
from minidiff.zoo.recipes.training import train


def test_every_word_is_a_token(tmp_path):
    tokenizer = words.tokenizer()
    for caption in words.captions():
        ids = tokenizer(caption).input_ids
        assert tokenizer.convert_ids_to_tokens(ids)[1:-1] == [f"{word}</w>" for word in caption.split()]
        assert len(ids) <= words.LENGTH - 4 and tokenizer.decode(ids, skip_special_tokens=True) == caption
    assert tokenizer("zebras?").input_ids[1:-1] and tokenizer.unk_token_id not in tokenizer("zebras?").input_ids[1:-1]
    words.write(tmp_path)
    again = type(tokenizer).from_pretrained(tmp_path)
    assert again(list(words.captions())).input_ids == tokenizer(list(words.captions())).input_ids
    assert again.model_max_length == words.LENGTH and len(words.letters()) == len(set(words.letters())) == 256


def test_the_tokenizer_takes_the_place_of_another_once_it_is_whole(tmp_path, monkeypatch):
    (tmp_path / "tokenizer.json").write_text("another's")

    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(words.files, "write_json", stop)  # in the middle
        with pytest.raises(KeyboardInterrupt):
            words.write(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["tokenizer.json"]
    words.write(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["merges.txt", "tokenizer_config.json", "vocab.json"]


def test_which_caption_belongs_to_a_drawing():
    for seed in range(20):
        drawing = world.draw(seed, size=8)
        assert words.captions()[words.index_of(drawing.attributes)] == drawing.caption


def test_masks_of_the_training_stream():
    masks = torch.stack([storybook_sd_inpaint.mask(0, k) for k in range(120)])
    hidden = masks.flatten(1).mean(1)
    assert masks.shape == (120, 1, 64, 64) and set(masks.unique().tolist()) == {0, 1}
    assert (hidden == 1).float().mean().item() == pytest.approx(1 / 8, abs=0.08) and hidden.min() > 0
    assert torch.equal(masks[7], storybook_sd_inpaint.mask(0, 7))


def test_a_wider_unet_begins_as_the_narrow_one():
    narrow, wide = recipe("storybook-sd").unet(), recipe("storybook-sd-inpaint").unet()
    wide = storybook_sd_inpaint.widened(narrow, wide)
    z, beside, context = randn(1, 4, 16, 16), randn(1, 5, 16, 16, seed=1), randn(1, 20, 96, seed=2)
    with torch.no_grad():
        torch.testing.assert_close(wide(torch.cat([z, beside], 1), 500, context)[0], narrow(z, 500, context)[0])
    assert wide.config.in_channels == 9


def test_the_contrastive_loss_knows_its_own():
    made = recipe("storybook-clip")

    class Perfect(torch.nn.Module):
        """Sees and reads which caption it is."""

        logit_scale = torch.tensor(4.6)

        def pictures(self, x):
            return torch.nn.functional.one_hot(self.which, 8).float()

        texts = pictures

    network, pixels = Perfect(), torch.zeros(4, 3, 64, 64, dtype=torch.uint8)
    network.which = torch.tensor([3, 5, 3, 1])
    right = made.loss(network, (pixels, network.which), seeded(), 0)
    wrong = made.loss(network, (pixels, torch.tensor([3, 3, 5, 1])), seeded(), 0)
    # Two have the same caption, and each of them finds both: log 2, for half of the batch.
    assert right.item() == pytest.approx(np.log(2) / 2, abs=1e-3) and wrong > right + 1


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe("storybook-kl").network().half().save_pretrained("storybook-kl")
    monkeypatch.setattr(storybook_clip, "checker", partial(storybook_clip.checker, drawings=20))
    return tmp_path


@pytest.mark.filterwarnings("ignore:the safety checker found")
def test_a_few_steps_of_each(here):
    for name in ("storybook-clip", "storybook-sd", "storybook-sd-inpaint"):
        made = recipe(name)
        made.drawings, made.batch_size = 12, 4
        network, _ = train(made, here / name, steps=2)
        made.save(network, here / name)
        if name == "storybook-clip":
            assert CLIPTextModel.from_pretrained(here / name / "text_encoder").config.hidden_size == 96
            checker = StableDiffusionSafetyChecker.from_pretrained(here / name / "safety_checker")
            found = storybook_clip.worth(checker, n=20)
            assert found["blocked"]["drawings"] == 10 >= found["others"]["drawings"] and 0 <= found["right"] <= 1
            continue
        pipe = DiffusionPipeline.from_pretrained(here / name)
        pipe.set_progress_bar_config(disable=True)
        assert type(pipe) is made.pipeline and type(pipe.vae) is AutoencoderKL and pipe.tokenizer.model_max_length == 20
        assert pipe.scheduler.config.handed_on().items() >= {"skip_prk_steps": True, "steps_offset": 1}.items()
        assert not DDIMScheduler.from_config(pipe.scheduler.config).config.clip_sample
        size = sum(file.stat().st_size for file in (here / name).rglob("*") if file.name != "checkpoint.pt")
        assert (
            size < 9 * 2**20 and max(file.stat().st_size for file in (here / name).rglob("*.safetensors")) < 5 * 2**20
        )
    measures = made.measure(here / name, n=2, steps=2)
    assert measures["drawings"] == 2 and measures["decibels outside"] > 0
    assert 0 <= measures["prompt_accuracy"] <= measures["object in the hole"] <= 1


WEIGHTS = [name for name in ("storybook-sd", "storybook-sd-inpaint") if name in zoo.names()]


@pytest.mark.parametrize("name", WEIGHTS)
def test_floors(name):
    """What ships has reached what was asked of it."""
    measures = json.loads((zoo.path(name) / "measures.json").read_text())["measures"]
    if name == "storybook-sd":
        seen, held_out = (measures[f"{group}, guidance_scale 4"] for group in ("seen", "held_out"))
        assert seen["images"] == held_out["images"] == 1_000
        assert seen["prompt_accuracy"] >= 0.97 and held_out["prompt_accuracy"] >= 0.95
        assert measures["safety_checker"]["right"] >= 0.98 and measures["autoencoder"]["decibels"] >= 34
    else:
        assert measures["drawings"] == 200
        assert measures["object in the hole"] >= 0.9 and measures["decibels outside"] >= 28


@pytest.mark.skipif("storybook-sd" not in WEIGHTS, reason="these weights are not in the zoo")
def test_what_ships_hears_every_word():
    """Of 24 prompts, half of them of combinations that were never shown, at least 21 are drawn as they say."""
    pipe = StableDiffusionPipeline.from_pretrained(zoo.path("storybook-sd"), safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    combinations = [*world.SEEN[5::29][:12], *sorted(world.HELD_OUT)[::3][:12]]
    found = recipe("storybook-sd").accuracy(pipe, combinations, 24, guidance_scale=4.0, steps=50)
    assert found["images"] == 24 and found["prompt_accuracy"] >= 21 / 24


@pytest.mark.skipif("storybook-sd" not in WEIGHTS, reason="these weights are not in the zoo")
def test_the_checker_is_not_at_its_limit():
    """Its threshold has room on both sides: below red mushrooms, and above what is likest to them, red houses."""
    checker = StableDiffusionSafetyChecker.from_pretrained(zoo.path("storybook-sd"), subfolder="safety_checker")
    cosines = {}
    for name in ("mushroom", "house"):
        images = [world.draw(9_500_000 + k, 64, object=name, colour="red").image for k in range(50)]
        e = storybook_clip.vectors(checker, images)
        cosines[name] = torch.cosine_similarity(e, checker.concept_embeds[:1])
    threshold = checker.concept_embeds_weights[0].item()
    assert cosines["house"].max() + 0.03 < threshold < cosines["mushroom"].min() - 0.03
