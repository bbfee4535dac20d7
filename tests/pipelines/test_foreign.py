"""Tokenizers and image processors of the transformers library, as components of a pipeline."""

import pytest
from latent_pipelines import tiny_tokenizer

from minidiff import DiffusionPipeline
from minidiff.files import Repository
from minidiff.pipelines.base import component_class
from minidiff.pipelines.foreign import Foreign


class Words(DiffusionPipeline):
    def __init__(self, tokenizer):
        self.register_modules(tokenizer=tokenizer)


def test_they_are_saved_and_loaded(tmp_path):
    pipe = Words(tiny_tokenizer(tmp_path))
    pipe.save_pretrained(tmp_path / "saved")
    loaded = Words.from_pretrained(tmp_path / "saved")
    assert loaded.tokenizer("a yellow cat").input_ids == pipe.tokenizer("a yellow cat").input_ids


def test_only_small_files_are_asked_for(tmp_path):
    tiny_tokenizer(tmp_path).save_pretrained(tmp_path / "tokenizer")
    (tmp_path / "tokenizer" / "model.safetensors").write_bytes(b"large")
    names = Foreign("BertTokenizer").weight_files(Repository(tmp_path), "tokenizer")
    assert "tokenizer/tokenizer.json" in names and "tokenizer/tokenizer_config.json" in names
    assert all(name.endswith((".json", ".txt")) for name in names)


@pytest.mark.parametrize(
    "entry", [["transformers", "AutoModel"], ["transformers", ["BertTokenizer"]], ["os", "system"]]
)
def test_nothing_else_of_transformers_is_loaded(entry):
    with pytest.raises(ValueError, match="model_index.json names .* as tokenizer, which minidiff does not have"):
        component_class("tokenizer", entry)


def test_a_folder_that_lacks_its_config(tmp_path):
    Words(tiny_tokenizer(tmp_path)).save_pretrained(tmp_path / "saved")
    (tmp_path / "saved" / "tokenizer" / "tokenizer_config.json").unlink()
    with pytest.raises(FileNotFoundError, match="tokenizer/tokenizer_config.json"):
        Words.from_pretrained(tmp_path / "saved")
