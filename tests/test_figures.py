"""Every picture that is shown was made by a command that stands beside it, and shows something."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
FIGURES = sorted((ROOT / "figures").glob("*.png"))
SHOWN = (ROOT / "README.md").read_text() + "".join(file.read_text() for file in (ROOT / "lessons").glob("*.py"))


def test_what_the_readme_shows_is_there():
    shown = re.findall(r"!\[[^\]]+\]\((figures/[^)]+)\)", SHOWN)
    assert len(shown) >= 2
    assert {ROOT / name for name in shown} <= set(FIGURES)


@pytest.mark.parametrize("figure", FIGURES, ids=lambda file: file.name)
def test_a_figure_is_shown_explained_and_small(figure):
    made_by = (ROOT / "figures/README.md").read_text()
    assert f"`{figure.name}`" in made_by
    assert re.search(rf"^    .*figures/{figure.name}", made_by, re.MULTILINE)
    assert f"figures/{figure.name}" in SHOWN
    assert figure.stat().st_size < 1_000_000
    assert np.asarray(Image.open(figure).convert("L")).std() > 10
