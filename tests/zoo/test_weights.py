"""The trained weights that ship: small, in float16, measured, and as good as their measures say."""

import json

import pytest
import torch
from safetensors.torch import load_file

from minidiff import DDIMPipeline, zoo
from minidiff.zoo import evaluator
from minidiff.zoo.recipes import recipe, training

MB = 2**20


def test_weights_are_small():
    sizes = {file: file.stat().st_size for name in zoo.names() for file in zoo.path(name).rglob("*") if file.is_file()}
    assert max(sizes.values()) <= 5 * MB and sum(sizes.values()) <= 52 * MB


@pytest.mark.parametrize("name", zoo.names())
def test_weights_are_half_precision_and_come_with_a_report(name, tmp_path):
    files = list(zoo.path(name).rglob("*.safetensors"))
    assert files and {tensor.dtype for file in files for tensor in load_file(file).values()} == {torch.float16}
    measures = json.loads((zoo.path(name) / "measures.json").read_text())
    assert {"seed", "steps", "device", "minutes"} <= set(measures["run"])
    training.write_report(tmp_path, recipe(name), **measures)
    for file in ("README.md", "measures.json"):
        assert (zoo.path(name) / file).read_text(encoding="utf-8") == (tmp_path / file).read_text(encoding="utf-8")


def test_storybook_ddpm_is_what_its_recipe_makes():
    report = json.loads((zoo.path("storybook-ddpm") / "measures.json").read_text())
    chosen = recipe("storybook-ddpm")
    assert [report["run"][key] for key in ("seed", "steps", "batch_size")] == [
        chosen.seed,
        chosen.steps,
        chosen.batch_size,
    ]
    assert "claims" not in report["measures"]  # those lie with the course


def test_storybook_ddpm_is_good():
    quality = zoo.measures("storybook-ddpm")
    assert (quality["images"], quality["steps"]) == (2_000, 50)
    assert quality["named"] >= 0.9
    for attribute in ("object", "colour", "time"):
        assert 0.6 <= quality["evenness"][attribute]["least"] <= quality["evenness"][attribute]["most"] <= 1.6
    assert quality["frechet"] <= 4 * quality["frechet_floor"]
    assert quality["nearest"] >= 0.9 * quality["nearest_floor"]


def test_its_measures_are_those_of_these_weights():
    quality = zoo.measures("storybook-ddpm")
    pipe = DDIMPipeline.from_pretrained(zoo.path("storybook-ddpm"))
    pipe.set_progress_bar_config(disable=True)
    pictures = pipe(100, torch.Generator().manual_seed(0), num_inference_steps=50, output_type="pt").images
    named = evaluator.share(evaluator.named(evaluator.look(evaluator.as_pictures(pictures)[0])))
    share = quality["named"]
    assert abs(named - share) <= 4 * (share * (1 - share) / 100) ** 0.5
