"""`import minidiff` is cheap; everything else comes when it is asked for."""

import subprocess
import sys

import pytest

import minidiff


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_the_package_alone_loads_nothing_large():
    large = [
        "torch",
        "numpy",
        "transformers",
        "huggingface_hub",
        "diffusers",
        "PIL",
        "matplotlib",
        "tqdm",
        "safetensors",
    ]
    assert run(f"import minidiff, sys; print([name for name in {large} if name in sys.modules])") == "[]"


def test_pipelines_load_neither_the_hub_nor_transformers():
    code = "import minidiff, sys; minidiff.DDPMPipeline; print([n for n in {} if n in sys.modules])"
    assert run(code.format(["transformers", "huggingface_hub", "diffusers", "matplotlib", "ipywidgets"])) == "[]"


@pytest.mark.parametrize("name", minidiff.__all__)
def test_public_names(name):
    found = getattr(minidiff, name)
    assert found.__name__ in (name, f"minidiff.{name}") and name in dir(minidiff)


def test_unknown_names():
    with pytest.raises(AttributeError, match="'minidiff' has no attribute 'DDPMPipelin'"):
        minidiff.DDPMPipelin
    with pytest.raises(ImportError):
        from minidiff import nothing  # noqa: F401


def test_version():
    from importlib.metadata import version

    assert minidiff.__version__ == version("minidiff")
