"""The evaluator: right about drawings, not sure of rubbish, and a comparison of sets of pictures as promised."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from minidiff import zoo
from minidiff.zoo import world
from minidiff.zoo.evaluator import (
    ANSWERS,
    Evaluator,
    evaluator,
    frechet_distance,
    interval,
    look,
    mean_and_covariance,
    named,
    nearest_distances,
    stream,
)
from minidiff.zoo.recipes import evaluator as recipe

FEW = 40  # drawings among which the nearest is looked for, where a test is about something else


@pytest.fixture(scope="module")
def drawings():
    """500 drawings that nothing was trained on: pictures in [0, 1], attributes."""
    pixels, attributes = world.training_set(500, seed=5, size=32)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255, attributes


@pytest.fixture(scope="module")
def verdict(drawings):
    pictures, attributes = drawings
    return zoo.evaluate(pictures, [world.caption(row) for row in attributes], drawings=FEW)


@pytest.fixture(scope="module")
def scenes():
    return recipe.as_floats(recipe.scenes(100, seed=5, first=1_000))


# ------------------------------------------------------------------------------------------------- what it answers


def test_it_is_right_about_unseen_drawings(drawings):
    pictures, attributes = drawings
    said = look(pictures)
    for name in world.ATTRIBUTES:
        right = [ANSWERS[name][k] == row[name] for k, row in zip(said[name].argmax(dim=1), attributes, strict=True)]
        assert np.mean(right) >= 0.995, name
    assert named(said).float().mean() >= 0.99


def test_it_is_right_about_combinations_that_nothing_was_trained_on():
    pictures, labels = recipe.held_out_drawings(2)
    found = recipe.accuracies(look(pictures), labels)
    assert found["all four"] >= 0.98


@pytest.mark.parametrize("sigma", [0.01, 0.03])
def test_a_little_noise_does_not_matter(drawings, sigma):
    noise = torch.randn(500, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert named(look((drawings[0] + sigma * noise).clamp(0, 1))).float().mean() >= 0.98


@pytest.mark.parametrize("kind", recipe.RUBBISH, ids=lambda kind: kind.__name__)
def test_it_is_not_sure_of_rubbish(scenes, kind):
    share, _, _ = recipe.share_named(kind(scenes, torch.Generator().manual_seed(0)), evaluator())
    assert share <= (0 if kind in (recipe.pure_noise, recipe.plain_colours) else 0.1)


def test_features_of_true_drawings_are_about_standard_and_bounded(drawings):
    features = look(drawings[0]).features
    mean, covariance = mean_and_covariance(features)
    assert features.shape == (500, 16) and mean.abs().max() < 0.7
    assert 0.1 < covariance.diag().min() and covariance.diag().max() < 1.6
    assert look(torch.rand(9, 3, 32, 32)).features.abs().max() <= 5


def test_its_weights_are_small_and_load_as_float32():
    folder = zoo.path("evaluator")
    assert (folder / "diffusion_pytorch_model.safetensors").stat().st_size <= 0.7 * 2**20
    network = Evaluator.from_pretrained(folder)
    assert network.dtype == torch.float32 and not network.training
    image = torch.rand(2, 3, 32, 32)
    assert [tuple(x.shape) for x in network(image, return_dict=False)] == [
        (2, 7),
        (2, 8),
        (2, 4),
        (2, 2),
        (2, 16),
        (2, 4),
    ]


def test_its_measures_lie_beside_the_weights():
    found = json.loads((zoo.path("evaluator") / "measures.json").read_text())
    assert set(found) == {"run", "measures"}
    assert min(found["measures"]["accuracy"].values()) >= 0.995
    assert (zoo.path("evaluator") / "README.md").read_text().startswith("# evaluator\n")


# -------------------------------------------------------------------------------------------------------- evaluate


def test_evaluate_answers_all(verdict):
    assert list(verdict) == ["images", "named", "prompt_accuracy", "frequencies", "frechet", "frechet_floor", "nearest",
                             "nearest_floor"]  # fmt: skip
    assert verdict["images"] == 500 and verdict["named"] >= 0.99 and verdict["prompt_accuracy"] >= 0.99
    assert list(verdict["frequencies"]) == list(world.ATTRIBUTES)
    for name, shares in verdict["frequencies"].items():
        assert tuple(shares) == ANSWERS[name] and sum(shares.values()) == pytest.approx(1)
        assert all(
            abs(share - 1 / len(world.ATTRIBUTES[name])) < 0.1 for value, share in shares.items() if value != "none"
        )
    json.dumps(verdict)  # what a recipe writes to a file


def test_prompt_accuracy_wants_all_four(drawings):
    pictures, attributes = drawings[0][:40], drawings[1][:40]
    true = [world.caption(row) for row in attributes]
    assert zoo.evaluate(pictures, drawings=FEW)["prompt_accuracy"] is None
    assert zoo.evaluate(pictures, true, drawings=FEW)["prompt_accuracy"] == 1
    assert zoo.evaluate(pictures[:1], true[0], drawings=FEW)["prompt_accuracy"] == 1
    for name, values in world.ATTRIBUTES.items():
        wrong = [row | {name: next(value for value in values if value != row[name])} for row in attributes[:20]]
        prompts = [world.caption(row) for row in wrong] + true[20:]
        assert zoo.evaluate(pictures, prompts, drawings=FEW)["prompt_accuracy"] == 0.5, name


def test_pil_images_and_tensors_and_larger_pictures_are_one(drawings):
    pictures = drawings[0][:30]
    as_pil = [Image.fromarray((255 * x).round().byte().permute(1, 2, 0).numpy()) for x in pictures]
    expected = zoo.evaluate(pictures, drawings=FEW)
    assert zoo.evaluate(as_pil, drawings=FEW) == expected
    assert zoo.evaluate(tuple(image.convert("RGBA") for image in as_pil), drawings=FEW) == expected
    doubled = zoo.evaluate(pictures.repeat_interleave(2, 2).repeat_interleave(2, 3), drawings=FEW)
    assert all(doubled[key] == expected[key] for key in ("named", "frequencies", "frechet"))


def test_smaller_pictures_are_enlarged(drawings):
    small = torch.nn.functional.avg_pool2d(drawings[0][:20], 2)
    large = small.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    frechet = [zoo.evaluate(images, drawings=FEW)["frechet"] for images in (small, large)]
    assert frechet[0] == frechet[1]


def test_drawings_of_64_pixels_are_named_too():
    images = [world.draw(seed, 64).image for seed in range(60)]
    verdict = zoo.evaluate(images, drawings=FEW)
    assert verdict["named"] >= 0.98 and verdict["frechet"] < 2 * verdict["frechet_floor"]


def test_the_seed_decides(drawings):
    pictures = drawings[0][:50]
    assert zoo.evaluate(pictures, drawings=FEW) == zoo.evaluate(pictures, drawings=FEW)
    other = zoo.evaluate(pictures, drawings=FEW, seed=1)
    same, floors = ("named", "frechet", "nearest"), ("frechet_floor", "nearest_floor")
    assert all(other[key] == zoo.evaluate(pictures, drawings=FEW)[key] for key in same)
    assert all(other[key] != zoo.evaluate(pictures, drawings=FEW)[key] for key in floors)


def test_one_picture_has_no_frechet_distance(drawings):
    verdict = zoo.evaluate(drawings[0][:1], drawings=FEW)
    assert math.isnan(verdict["frechet"]) and math.isnan(verdict["frechet_floor"]) and verdict["nearest"] > 0
    assert zoo.evaluate(drawings[0][:2], drawings=FEW)["frechet"] > 0


PICTURE = torch.full((2, 3, 32, 32), 0.5)


@pytest.mark.parametrize(
    "images, error, message",
    [
        ([], ValueError, "images is empty"),
        (torch.zeros(0, 3, 32, 32), ValueError, "images is empty"),
        (torch.zeros(3, 32, 32), ValueError, r"images is a tensor \(3, 32, 32\)"),
        (torch.zeros(2, 1, 32, 32), ValueError, r"\(B, 3, H, W\)"),
        (torch.zeros(2, 3, 32, 32, dtype=torch.uint8), ValueError, "uint8"),
        (torch.zeros(2, 3, 32, 48), ValueError, "48 x 32"),
        (2 * PICTURE - 1.5, ValueError, "images has values from -0.5 to -0.5"),
        (PICTURE / 0, ValueError, "images has values from inf"),
        (PICTURE * torch.nan, ValueError, "images has values from nan"),
        ([Image.new("RGB", (32, 32)), Image.new("RGB", (64, 64))], ValueError, "32 x 32, 64 x 64; allowed is one size"),
        ([Image.new("RGB", (32, 32)), "a cat"], TypeError, "images has an entry str"),
        ("a cat", TypeError, "images is a str"),
        (np.zeros((2, 32, 32, 3)), TypeError, "images is a ndarray"),
    ],
)
def test_images_that_are_none(images, error, message):
    with pytest.raises(error, match=message):
        zoo.evaluate(images, drawings=FEW)


CAPTION = "a yellow cat in front of mountains at sunset"


@pytest.mark.parametrize(
    "prompts, error, message",
    [
        ([CAPTION, CAPTION.replace("cat", "dog")], ValueError, r"prompts\[1\] is 'a yellow dog.*allowed are captions"),
        ([CAPTION], ValueError, "prompts has 1 entries; .* 2 images"),
        ([CAPTION, None], TypeError, r"prompts\[1\] is None"),
        (7, TypeError, "prompts is a int"),
    ],
)
def test_prompts_that_are_none(prompts, error, message):
    with pytest.raises(error, match=message):
        zoo.evaluate(PICTURE, prompts, drawings=FEW)


def test_other_arguments_out_of_range():
    with pytest.raises(ValueError, match="drawings must be from 1"):
        zoo.evaluate(PICTURE, drawings=0)
    with pytest.raises(TypeError, match="drawings must be an integer"):
        zoo.evaluate(PICTURE, drawings=0.5)
    with pytest.raises(ValueError, match="seed must be from 0"):
        zoo.evaluate(PICTURE, drawings=FEW, seed=-1)


# ---------------------------------------------------------------------------------------------------- the distances


def normal(mean, root, n, seed):
    """n numbers of N(mean, root root^T), exactly of that mean and covariance."""
    x = torch.randn(n, len(mean), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x = x - x.mean(dim=0)
    x = x @ torch.linalg.inv(torch.linalg.cholesky(x.T.cov())).T
    return mean + x @ root.T


def test_frechet_distance_of_normal_distributions():
    """Diagonal covariances have a closed form; turning both, and shifting both, changes nothing."""
    g = torch.Generator().manual_seed(1)
    m, m_w = torch.randn(2, 5, generator=g, dtype=torch.float64)
    s, s_w = torch.rand(2, 5, generator=g, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(5, 5, generator=g, dtype=torch.float64)).Q
    expected = ((m - m_w) ** 2).sum() + ((s - s_w) ** 2).sum()
    one = mean_and_covariance(normal(turn @ m, turn @ s.diag(), 50, seed=2))
    two = mean_and_covariance(normal(turn @ m_w, turn @ s_w.diag(), 70, seed=3))
    torch.testing.assert_close(frechet_distance(*one, *two), expected)
    torch.testing.assert_close(frechet_distance(*two, *one), expected)
    torch.testing.assert_close(frechet_distance(*one, *one), torch.zeros_like(expected))


def test_frechet_distance_of_covariances_that_do_not_commute():
    """The trace of the root of C C_w, by its eigenvalues; also where one covariance is singular."""
    g = torch.Generator().manual_seed(4)
    a, b = torch.randn(2, 6, 6, generator=g, dtype=torch.float64)
    zero = torch.zeros(6, dtype=torch.float64)
    for b in (b, b * (torch.arange(6) > 2)):
        C, C_w = a @ a.T, b @ b.T
        root = torch.linalg.eigvals(C @ C_w).real.clamp(min=0).sqrt().sum()
        torch.testing.assert_close(frechet_distance(zero, C, zero, C_w), C.trace() + C_w.trace() - 2 * root)


def test_frechet_distance_tells_bad_sets_from_good_ones(drawings, verdict):
    assert verdict["frechet_floor"] / 2 < verdict["frechet"] < 2 * verdict["frechet_floor"]
    pictures, attributes = drawings[0][:200], drawings[1][:200]
    g = torch.Generator().manual_seed(0)
    bad = {
        "blurred": recipe.blurred(pictures, torch.full((200, 1, 1, 1), 1.5)),
        "noisy": recipe.noisy(pictures, 0.1, g).clamp(0, 1),
        "bent": recipe.warped(pictures, torch.full((200, 1, 1, 1), 2.0), g),
        "cats": pictures[[row["object"] == "cat" for row in attributes]],
        "nights": pictures[[row["time"] == "night" for row in attributes]],
        "one": pictures[:1].repeat(200, 1, 1, 1),
    }
    for name, images in bad.items():
        found = zoo.evaluate(images.clamp(0, 1), drawings=FEW)
        assert found["frechet"] > 3 * found["frechet_floor"], name


def test_the_nearest_training_drawing_of_a_copy_is_itself():
    copies = torch.from_numpy(world.training_set(30, seed=0, size=32)[0]).permute(0, 3, 1, 2) / 255
    verdict = zoo.evaluate(copies, drawings=FEW)
    assert verdict["nearest"] == 0 and verdict["nearest_floor"] > 0.02
    large = [Image.fromarray(x) for x in world.training_set(30, seed=0, size=64)[0]]
    assert zoo.evaluate(large, drawings=FEW)["nearest"] == 0
    assert zoo.evaluate(copies, drawings=5)["nearest"] > 0.02  # of most of them the original is not among five


def test_nearest_distances_by_hand():
    g = torch.Generator().manual_seed(0)
    pictures, others = (torch.randint(256, (n, 3, 32, 32), generator=g).byte() for n in (7, 4_500))
    others[4_321] = pictures[2]
    others[2_000] = pictures[3] // 2
    all_distances = (((pictures[:, None] / 255 - others[None, -600:] / 255) ** 2).mean(dim=(2, 3, 4))) ** 0.5
    found = nearest_distances(pictures, others)
    assert found[2] == 0
    torch.testing.assert_close(found[3], ((pictures[3] / 255 - pictures[3] // 2 / 255) ** 2).mean() ** 0.5)
    torch.testing.assert_close(nearest_distances(pictures, others[-600:]), all_distances.min(dim=1).values)


def test_streams_are_apart():
    """What floors and reference are measured on is not what the networks were trained on."""
    first = [stream(seed, 3, 32) for seed in (0, 1, 2, 3)]
    assert all(not torch.equal(a, b) for k, a in enumerate(first) for b in first[:k])


# ---------------------------------------------------------------------------------------------------- the interval


def test_interval_covers_the_share_as_often_as_it_says():
    g = torch.Generator().manual_seed(0)
    intervals = [interval(torch.rand(100, generator=g) < 0.3, resamplings=200, seed=k) for k in range(100)]
    assert 88 <= sum(low <= 0.3 <= high for low, high in intervals) <= 99


def test_interval_by_hand():
    assert interval([1] * 20) == (1, 1)
    assert interval([0, 1] * 200) == interval([0, 1] * 200)
    low, high = interval([0, 1] * 200)
    assert low == pytest.approx(0.5 - 1.96 * 0.025, abs=0.008) and high == pytest.approx(0.5 + 1.96 * 0.025, abs=0.008)
    assert np.diff(interval([0, 1] * 200, level=0.5)) < high - low
    for values, level, message in (([], 0.95, "values"), ([[1]], 0.95, r"\(1, 1\)"), ([1], 1, "level is 1")):
        with pytest.raises(ValueError, match=message):
            interval(values, level)


# --------------------------------------------------------------------------------------------------------- the zoo


def test_the_zoo_knows_its_weights():
    assert "evaluator" in zoo.names() and zoo.names() == sorted(zoo.names())
    assert (zoo.path("evaluator") / "config.json").is_file()
    with pytest.raises(ValueError, match="name is 'elephant'; the zoo has .*evaluator"):
        zoo.path("elephant")
    assert zoo.recipes.recipe("evaluator").name == "evaluator" and zoo.world is world
    with pytest.raises(AttributeError, match="elephant"):
        zoo.elephant


def test_the_zoo_is_imported_without_torch():
    code = "import sys, minidiff.zoo as z; z.names(); sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# ------------------------------------------------------------------------------------------------------ the recipe


def test_a_recipe_trains_saves_measures_and_reports(tmp_path, monkeypatch):
    from minidiff.zoo.recipes.training import finish

    monkeypatch.setattr(recipe.Recipe, "drawings", 150)
    monkeypatch.setattr(
        recipe.Recipe, "measure", lambda self, folder, device: {"named, rubbish": {"torn": [0.5, 0.4, 0.625]}, "n": 3}
    )
    monkeypatch.setattr(recipe, "drawn", lambda n, seed: (torch.rand(40, 3, 32, 32), None))
    monkeypatch.setattr(recipe.Recipe, "steps", 2)
    measures = finish(zoo.recipes.recipe("evaluator"), tmp_path)
    assert measures["n"] == 3
    written = json.loads((tmp_path / "measures.json").read_text())
    assert written["measures"] == measures and written["run"]["steps"] == 2 and written["run"]["seed"] == 0
    text = (tmp_path / "README.md").read_text()
    assert "| named, rubbish: torn | 0.5 (0.4 to 0.625) |" in text and "minidiff train evaluator" in text
    features = look(torch.rand(4, 3, 32, 32), Evaluator.from_pretrained(tmp_path)).features
    assert features.isfinite().all()
