"""The notebooks are those that the sources make, executed, and small.

nbval runs them as they are, once; see pyproject.toml. The exercises are in course/test_exercises.py.
"""

import importlib.util
import re
from pathlib import Path

import jupytext
import nbformat
import pytest

from minidiff.zoo.catalogue import CATALOGUE

LESSONS = Path(__file__).parents[1] / "lessons"
SOURCES = sorted(LESSONS.glob("[0-9][0-9]_*.py"))
ids = [source.stem for source in SOURCES]


@pytest.fixture(scope="module")
def build():
    """lessons/build.py, which is no module of the package."""
    spec = importlib.util.spec_from_file_location("build", LESSONS / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def inputs(notebook):
    """What a source decides of each cell: kind, text, tags, and whether it is folded."""
    kept = lambda cell: {key: cell.metadata[key] for key in ("tags", "jupyter") if key in cell.metadata}
    return [(cell.cell_type, cell.source, kept(cell)) for cell in notebook.cells]


def notebook_of(source):
    return nbformat.read(source.with_suffix(".ipynb"), as_version=4)


def test_there_is_a_lesson_for_every_pipeline_that_names_one():
    assert {"00_start_here", *(entry.lesson for entry in CATALOGUE.values() if entry.lesson)} <= set(ids)
    assert CATALOGUE["ddim"].lesson == "03_ddim"


@pytest.mark.parametrize("source", SOURCES, ids=ids)
def test_source_and_notebook_are_in_step(source, build):
    assert inputs(notebook_of(source)) == inputs(build.read(source, build.repository()))


def test_the_address_is_read_from_one_place(build, tmp_path):
    project = tmp_path / "pyproject.toml"
    project.write_text('[project]\nname = "a"\n')
    assert build.repository(project) is None
    project.write_text('[project]\nname = "a"\n[project.urls]\nRepository = "https://github.com/a/b"\n')
    assert build.repository(project) == "https://github.com/a/b"


@pytest.mark.parametrize("source", SOURCES, ids=ids)
def test_without_an_address_nothing_claims_one(source, build):
    notebook = build.read(source)
    assert inputs(notebook) == inputs(jupytext.read(source))
    assert not re.search("colab|git\\+|github.com", "\n".join(cell.source for cell in notebook.cells).lower())


@pytest.mark.parametrize("source", SOURCES, ids=ids)
def test_with_an_address_every_lesson_has_badge_and_set_up(source, build):
    address = "https://github.com/someone/something"
    title, set_up, *rest = build.read(source, address).cells
    first, *others = jupytext.read(source).cells
    head, badge, _ = title.source.split("\n\n", 2)
    assert head == first.source.split("\n")[0]
    assert f"/github/someone/something/blob/main/lessons/{source.stem}.ipynb)" in badge
    assert title.source.replace(badge + "\n", "", 1).replace("\n\n\n", "\n\n") == first.source
    assert f'wanted = "minidiff[lessons] @ git+{address}"' in map(str.strip, set_up.source.splitlines())
    compile(set_up.source, "set_up", "exec")
    assert [cell.source for cell in rest] == [cell.source for cell in others]


def test_an_address_that_colab_cannot_open_is_refused(build):
    with pytest.raises(ValueError, match="the repository is 'https://example.org/a'; allowed is https://github.com/"):
        build.read(SOURCES[0], "https://example.org/a")


@pytest.mark.parametrize("source", SOURCES, ids=ids)
def test_the_notebook_was_run_from_top_to_bottom_without_an_error(source):
    cells = [cell for cell in notebook_of(source).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]
    assert not [output for cell in cells for output in cell.outputs if output.get("name") == "stderr"]


@pytest.mark.parametrize("source", SOURCES, ids=ids)
def test_a_checked_cell_has_something_to_check(source):
    checked = [cell for cell in notebook_of(source).cells if "nbval-check-output" in cell.metadata.get("tags", ())]
    assert checked
    assert all("text" in output for cell in checked for output in cell.outputs)
    assert all(cell.outputs for cell in checked)


@pytest.mark.parametrize("source", SOURCES, ids=ids)
def test_a_lesson_imports_the_package_and_names_its_kernel(source):
    text = source.read_text()
    assert re.search(r"^(from|import) minidiff", text, re.MULTILINE)
    assert "#     name: python3" in text


def shows_a_picture(cell):
    """Whether an output is a picture, or a widget that holds some."""
    kinds = {kind for output in cell.outputs for kind in output.get("data", {})}
    return bool(kinds & {"image/png", "image/jpeg", "application/vnd.jupyter.widget-view+json"})


@pytest.mark.parametrize("source", SOURCES, ids=ids)
def test_every_plot_cell_holds_a_picture(source):
    code = [cell for cell in notebook_of(source).cells if cell.cell_type == "code"]
    plots = [cell for cell in code if re.search(r"plt\.show\(|widgets\.(?!record|ask)\w+\(", cell.source)]
    assert plots and [cell.source for cell in plots if not shows_a_picture(cell)] == []
    bare = [
        output.data["text/plain"]
        for cell in code
        for output in cell.outputs
        if list(output.get("data", ())) == ["text/plain"]
    ]
    assert [text for text in bare if text.startswith(("<", "VBox("))] == [], "a picture's name, and no picture"


@pytest.mark.parametrize("source", SOURCES, ids=ids)
def test_axes_say_what_they_show(source):
    for cell in jupytext.read(source).cells:
        if "plt.subplots" in cell.source:
            named = "barh(" in cell.source or "ylabel=" in cell.source  # bars that lie have their names beside them
            assert "xlabel=" in cell.source and named, cell.source


def test_notebooks_are_small():
    sizes = {source.stem: source.with_suffix(".ipynb").stat().st_size for source in SOURCES}
    assert max(sizes.values()) <= 0.7 * 2**20, sizes
    assert sum(sizes.values()) <= 10 * 2**20
