"""StableDiffusionSafetyChecker: what it blacks out is what diffusers blacks out."""

import json

import numpy as np
import pytest
import torch
from against import assert_close, randn
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker as Theirs
from transformers import CLIPConfig

from minidiff import StableDiffusionSafetyChecker, files

VISION = {"hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 4}
VISION |= {"image_size": 12, "patch_size": 4}
D = 8


def to_theirs(weights):
    return {key.replace("vision_model.vision_model.", "vision_model."): weight for key, weight in weights.items()}


def pair():
    """Ours and theirs with the same random weights; no threshold is ever reached."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ours = StableDiffusionSafetyChecker(VISION, D).eval()
        for key, weight in ours.named_parameters():
            torch.nn.init.normal_(weight, mean=float("norm" in key and key.endswith("weight")), std=0.3)
    theirs = Theirs(CLIPConfig(vision_config=VISION, projection_dim=D)).eval()
    set_thresholds(ours, torch.full((17,), 2.0), torch.full((3,), 2.0))
    theirs.load_state_dict(to_theirs(ours.state_dict()))
    return ours, theirs


def set_thresholds(checker, concepts, special):
    checker.concept_embeds_weights.data, checker.special_care_embeds_weights.data = concepts.clone(), special.clone()


def cosines(checker, x, f):
    with torch.no_grad():
        e = checker.visual_projection(checker.vision_model(x).pooler_output)
    return torch.cosine_similarity(e[:, None], f[None], dim=2)


def verdicts(checkers, x):
    """Which pictures each blacks out; they agree about the pictures too."""
    found = []
    for checker in checkers:
        images, shown = checker(clip_input=x, images=torch.ones(len(x), 2, 2, 3))
        assert [image.max() == 0 for image in images] == shown
        found.append(list(map(bool, shown)))
    assert found[0] == found[1]
    return found[0]


@pytest.mark.filterwarnings("ignore:the safety checker found")
def test_the_sequence_of_adjustments():
    ours, theirs = checkers = pair()
    x = randn(3, 3, 12, 12)
    concept, special = (cosines(ours, x, f) for f in (ours.concept_embeds, ours.special_care_embeds))
    never, never_special = torch.full((17,), 2.0), torch.full((3,), 2.0)

    def judge(concepts=never, specials=never_special):
        for checker in checkers:
            set_thresholds(checker, concepts, specials)
        return verdicts(checkers, x)

    assert judge() == [False] * 3
    k = concept[0].argmax()

    def threshold(base, k, value):
        changed = base.clone()
        changed[k] = value
        return changed

    # A cosine just above its threshold counts from half a thousandth on: the difference is rounded.
    assert judge(threshold(never, k, concept[0, k] - 6e-4))[0]
    assert not judge(threshold(never, k, concept[0, k] - 4e-4))[0]
    # A special concept lowers the thresholds of the others by a hundredth.
    near = threshold(never, k, concept[0, k] + 5e-3)
    assert not judge(near)[0]
    assert judge(near, threshold(never_special, 2, special[0, 2] - 1e-2))[0]
    assert not judge(near, threshold(never_special, 2, special[0, 2] + 1e-2))[0]
    assert not judge(threshold(never, k, concept[0, k] + 1.5e-2), threshold(never_special, 0, special[0, 0] - 0.1))[0]
    # Special concepts alone black nothing out, and two of them lower no more than one.
    assert judge(never, special.min(dim=0).values - 0.1) == [False] * 3
    assert not judge(threshold(never, k, concept[0, k] + 1.5e-2), special.min(dim=0).values - 0.1)[0]


@pytest.mark.filterwarnings("ignore:the safety checker found")
def test_random_thresholds():
    checkers = pair()
    x = randn(8, 3, 12, 12)
    ours = checkers[0]
    concept, special = (cosines(ours, x, f).amax(0) for f in (ours.concept_embeds, ours.special_care_embeds))
    blacked = 0
    for seed in range(30):
        near = 0.02 * randn(20, seed=seed)
        for checker in checkers:
            set_thresholds(checker, concept + 0.02 + near[:17], special + near[17:])
        blacked += sum(verdicts(checkers, x))
    assert 20 < blacked < 220


def test_pictures_and_warning():
    ours, _ = pair()
    x = randn(2, 3, 12, 12)
    set_thresholds(ours, torch.full((17,), -2.0), torch.full((3,), 2.0))
    with pytest.warns(UserWarning, match="found one of its concepts in 2 of 2 pictures; they are black"):
        images, shown = ours(x, torch.ones(2, 3, 4, 4))
    assert shown == [True, True] and images.shape == (2, 3, 4, 4) and not images.any()
    with pytest.warns(UserWarning):
        images, _ = ours(x, [np.ones((4, 4, 3)), np.ones((4, 4, 3))])
    assert isinstance(images, list) and not np.any(images)
    with pytest.warns(UserWarning):
        images, _ = ours(x, np.ones((2, 4, 4, 3)))
    assert isinstance(images, np.ndarray) and images.shape == (2, 4, 4, 3) and not images.any()


@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16))
def test_half_precision(dtype):
    """Cosines that lie a thousandth above their threshold, or below it, do so in every precision."""
    ours, _ = pair()
    e, f = randn(50, D).to(dtype), randn(17, D, seed=1).to(dtype)
    cosine = torch.cosine_similarity(e[:, None].double(), f[None].double(), dim=2)
    for thousandths, wanted in ((-1, True), (1, False)):
        for k in range(50):
            threshold = cosine[k].float() + thousandths / 1000
            assert (ours.above(e[k : k + 1], f, threshold) == wanted).all()


def test_weights_are_the_published_ones(tmp_path):
    with torch.device("meta"):
        config = {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "num_hidden_layers": 24}
        whole = StableDiffusionSafetyChecker(config | {"patch_size": 14}, 768)
    assert whole.num_parameters() == 303_981_588
    ours, theirs = pair()
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    config = json.loads((tmp_path / "ours" / "config.json").read_text())
    assert config["vision_config"]["patch_size"] == 4 and config["projection_dim"] == D
    x = randn(2, 3, 12, 12)
    wanted = cosines(ours, x, ours.concept_embeds)
    for folder in ("ours", "theirs"):
        again = StableDiffusionSafetyChecker.from_pretrained(tmp_path / folder)
        assert torch.equal(cosines(again, x, again.concept_embeds), wanted)
    again, info = Theirs.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    with torch.no_grad():
        assert_close(again.eval().visual_projection(again.vision_model(x)[1]),
                     ours.visual_projection(ours.vision_model(x)[1]))  # fmt: skip


@pytest.mark.parametrize("old", (True, False))
def test_keys_of_published_files(old, tmp_path):
    ours, _ = pair()
    ours.save_pretrained(tmp_path)
    weights = ours.state_dict() if old else to_theirs(ours.state_dict())
    weights["vision_model.vision_model.embeddings.position_ids"] = torch.arange(10)[None]
    files.write_weights(tmp_path / "model.safetensors", weights)
    again = StableDiffusionSafetyChecker.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(again[key], weight) for key, weight in ours.state_dict().items())
    assert again.keys() == ours.state_dict().keys()
