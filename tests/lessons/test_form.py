"""The form of a lesson, so that a learner finishes it and a teacher can plan with it.

A lesson begins with its title, then says what one needs before, what may be skipped and, in a table, the minutes of
each section. Text comes in small portions. There is a diagram: its cell calls a function of that name, or is so tagged.
Code that only draws is folded: its cell has `jupyter={"source_hidden": true}`. Exercises have two hints and a solution,
folded below them.
"""

import re
from pathlib import Path

import jupytext
import nbformat
import pytest

LESSONS = Path(__file__).parents[2] / "lessons"
SOURCES = sorted(LESSONS.glob("[0-9][0-9]_*.py"))
WORDS_A_CELL, WORDS_A_LESSON = 60, 1800

every_lesson = pytest.mark.parametrize("source", SOURCES, ids=[source.stem for source in SOURCES])
FOLDED = re.compile(r"<details><summary>(.*?)</summary>(.*?)</details>", re.DOTALL)


def cells_of(source, kind=None):
    return [cell for cell in jupytext.read(source).cells if kind in (None, cell.cell_type)]


def outputs_of(source):
    """[(cell, output)] of the executed notebook."""
    notebook = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    return [(cell, output) for cell in notebook.cells for output in cell.get("outputs", ())]


def words(text):
    """How many words one reads: no code in fences, a formula for none if it stands alone and for one in a line, a link
    for its text; a word holds a letter."""
    text = re.sub(r"```.*?```|\$\$.*?\$\$|<[^>]*>", " ", text, flags=re.DOTALL)
    text = re.sub(r"\$[^$]*\$", " formula ", text)
    text = re.sub(r"\]\([^)]*\)", "] ", text)
    return sum(bool(re.search("[^\\W\\d_]", word)) for word in text.split())


def head(source):
    """The text before the first section."""
    return re.split(r"^## ", "\n".join(cell.source for cell in cells_of(source, "markdown")), flags=re.MULTILINE)[0]


def sections(source):
    return [title for cell in cells_of(source, "markdown") for title in re.findall(r"^## (.+)$", cell.source, re.M)]


def is_folded(cell):
    return cell.metadata.get("jupyter", {}).get("source_hidden", False)


def test_words_are_counted_as_one_reads_them():
    text = "Take $x_0 = 2$, [a link](https://a.org/b), 12 times.\n$$a = b$$\n```python\na = b\n```\n**Bold** words."
    assert words(text) == len("Take formula a link times Bold words".split())


@every_lesson
def test_text_comes_in_small_portions(source):
    portions = []
    for cell in cells_of(source, "markdown"):
        portions += [FOLDED.sub("", cell.source), *(folded for _, folded in FOLDED.findall(cell.source))]
    assert [(words(text), text) for text in portions if words(text) > WORDS_A_CELL] == []
    assert sum(map(words, portions)) <= WORDS_A_LESSON


@every_lesson
def test_the_head_says_what_one_needs_what_to_skip_and_how_long_each_section_takes(source):
    for word in ("need", "skip"):
        assert re.search(rf"\b{word}\b", head(source)), word
    minutes = dict(re.findall(r"^\| ([^|]+?) \| (\d+) \|", head(source), re.MULTILINE))
    rows = ", ".join(minutes).lower()  # a row may join several sections
    assert [title for title in sections(source) if title.lower() not in rows and title != "Where to read on"] == []
    assert all(int(number) > 0 for number in minutes.values())


@every_lesson
def test_there_is_a_drawn_diagram(source):
    kinds = {"image/png", "image/svg+xml", "text/html", "application/vnd.jupyter.widget-view+json"}
    draws = lambda cell: re.search(r"\bdiagram\(", cell.source) or "diagram" in cell.metadata.get("tags", ())
    drawn = [out for cell, out in outputs_of(source) if draws(cell)]
    assert [out for out in drawn if kinds & set(out.get("data", ()))]


@every_lesson
def test_code_that_only_draws_is_folded(source):
    drawing = [
        cell for cell in cells_of(source, "code") if re.search(r"^\s*\w*axes.*\.\w+\(|plt\.sub", cell.source, re.M)
    ]
    assert [cell.source for cell in drawing if not is_folded(cell)] == []


@every_lesson
def test_the_notebook_keeps_what_is_folded(source):
    notebook = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    folded = [cell.source for cell in notebook.cells if is_folded(cell)]
    assert folded == [cell.source for cell in cells_of(source, "code") if is_folded(cell)]


@every_lesson
def test_exercises_have_two_hints_and_a_solution(source):
    cells = cells_of(source)
    tasks, found = [], []
    for task, cell, answer in zip(cells, cells[1:], cells[2:]):
        if cell.cell_type == "code" and "print(exercises." in cell.source:
            tasks += re.findall(r"^\*\*(\d\. .+?)\*\*", task.source, re.MULTILINE)
            found.append([summary for summary, text in FOLDED.findall(answer.source) if text.strip()])
    assert [task[:2] for task in tasks] == ["1.", "2.", "3."], tasks
    assert found == [["Hint 1", "Hint 2", "Solution"]] * 3
    assert [task for task in tasks if re.search("on paper|open", task, re.IGNORECASE)], tasks


@every_lesson
def test_a_question_is_asked_and_no_page_shows_its_answer(source):
    sources = [cell.source for cell in cells_of(source, "code")]
    assert [code for code in sources if re.search(r"^questions\.\w+\(.*\)$", code, re.MULTILINE)]
    assert [code for code in sources if re.search(r"\bask\(", code)] == []


@every_lesson
def test_numbers_are_printed_for_people(source):
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for _, output in outputs_of(source)]
    assert [text for text in texts if re.search(r"[{\[]['\"{]|tensor\(", text)] == [], (
        "a dictionary, a list or a tensor"
    )


@every_lesson
def test_every_place_to_read_on_can_be_reached(source):
    last = cells_of(source, "markdown")[-1].source
    assert "## Where to read on" in last
    entries = re.split(r"^\* ", last, flags=re.MULTILINE)[1:]
    assert entries and [entry for entry in entries if not re.search(r"\]\(|`", entry)] == []
