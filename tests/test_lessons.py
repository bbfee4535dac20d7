"""The notebooks are those that the sources make, executed, and small, and the exercises can be solved.

nbval runs them as they are; see pyproject.toml.
"""

import re
from pathlib import Path

import jupytext
import nbclient
import nbformat
import pytest

from minidiff.zoo.catalogue import CATALOGUE

LESSONS = Path(__file__).parents[1] / "lessons"
SOURCES = sorted(LESSONS.glob("[0-9][0-9]_*.py"))
ids = [source.stem for source in SOURCES]


def inputs(notebook):
    return [(cell.cell_type, cell.source, tuple(cell.metadata.get("tags", ()))) for cell in notebook.cells]


def notebook_of(source):
    return nbformat.read(source.with_suffix(".ipynb"), as_version=4)


def test_there_is_a_lesson_for_every_pipeline_that_names_one():
    assert {"00_start_here", *(entry.lesson for entry in CATALOGUE.values() if entry.lesson)} <= set(ids)
    assert CATALOGUE["ddim"].lesson == "03_ddim"


@pytest.mark.parametrize("source", SOURCES, ids=ids)
def test_source_and_notebook_are_in_step(source):
    assert inputs(notebook_of(source)) == inputs(jupytext.read(source))


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


@pytest.mark.parametrize("source", SOURCES, ids=ids)
def test_every_exercise_is_open_and_its_solution_passes_the_check(source):
    """Runs the lesson with each solution, and the check again, put behind its exercise."""
    notebook, checks = jupytext.read(source), []
    for place, cell in reversed(list(enumerate(notebook.cells))):
        if solution := re.search(r"<summary>Solution</summary>\n\n```python\n(.*?)```", cell.source, re.DOTALL):
            exercise = notebook.cells[place - 1]
            check = exercise.source.splitlines()[-1]
            solved = nbformat.v4.new_code_cell(solution[1].replace(check, "") + "\n" + check)
            notebook.cells.insert(place, solved)
            checks.append((exercise, solved))
    assert len(checks) == 3
    where = {"metadata": {"path": str(source.parent)}}
    nbclient.NotebookClient(notebook, kernel_name="python3", timeout=300, resources=where).execute()
    for exercise, solved in checks:
        assert not exercise.outputs[-1].text.startswith("yes"), exercise.source
        assert solved.outputs[-1].text.startswith("yes"), solved.outputs[-1].text


def test_notebooks_are_small():
    sizes = {source.stem: source.with_suffix(".ipynb").stat().st_size for source in SOURCES}
    assert max(sizes.values()) <= 0.7 * 2**20, sizes
    assert sum(sizes.values()) <= 10 * 2**20
