"""What `pip install minidiff` brings along."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The names of the files in a wheel built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    (file,) = folder.glob("minidiff-*.whl")
    return set(zipfile.ZipFile(file).namelist())


def test_the_wheel_carries_every_module(wheel):
    modules = {str(file.relative_to(ROOT)) for file in (ROOT / "minidiff").rglob("*.py")}
    assert modules <= wheel


def test_the_wheel_carries_weights_and_lessons(wheel):
    weights = {str(file.relative_to(ROOT)) for file in (ROOT / "minidiff/zoo/weights").rglob("*") if file.is_file()}
    lessons = {f"minidiff/lessons/{file.name}" for file in (ROOT / "lessons").glob("*.ipynb")}
    assert weights and weights <= wheel
    assert lessons and lessons <= wheel


def test_the_wheel_carries_what_was_measured(wheel):
    measured = {str(file.relative_to(ROOT)) for file in (ROOT / "minidiff/course/claims/measured").iterdir()}
    assert measured and measured <= wheel


def test_the_wheel_carries_what_the_page_is_made_of(wheel):
    assert {"minidiff/papers/reader/reader.css", "minidiff/papers/reader/reader.js"} <= wheel


def test_the_wheel_carries_no_tests(wheel):
    assert not any(name.startswith("tests") for name in wheel)
