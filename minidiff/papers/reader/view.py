r"""Code beside its equations: `minidiff.read(DDIMScheduler)`.

In a notebook and in a browser a page of two columns, in a terminal text. With a function that samples, the lines show
their values at its steps.
"""

import numbers
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path

from minidiff import files
from minidiff.papers.reader import terminal
from minidiff.papers.reader.names import named
from minidiff.papers.reader.page import fragment, whole_page
from minidiff.papers.reader.record import Recording, record
from minidiff.papers.reader.source import Names, Row, described, readable
from minidiff.papers.reader.whole import chapters, pipeline_class
from minidiff.zoo.catalogue import PIPELINES


def read(obj, run=None, step=None):
    """Show code beside its equations.

    Args:
        obj: a function, method or property, of this package or your own; a class or module, of which the paired
            functions are shown; or a name: a pipeline's in the catalogue, such as "ddim", which gives its loop, and,
            where its weights are in the zoo, its scheduler's step and its networks' blocks; or that of a class, a
            method or a module, such as "DDIMScheduler.step".
        run: a function without arguments that makes the code run, such as `lambda: pipe(num_inference_steps=20)`; then
            each paired line shows what it computed, and a slider goes through the steps of the run.
        step: which step is shown first, from 0. A step is a call of the scheduler's `step`, or of the outermost
            function that is called several times; where there is none, a pass of its loop.
    Returns:
        Reading, which shows itself in a notebook, prints as text, and saves itself as a page.
    Raises:
        TypeError: `obj` is none of these, or `run` cannot be called.
        OSError: the source of `obj` cannot be found.
        ValueError: there is nothing of that name; `step` without `run`; `obj` has no paired line, or `run` did not
            reach one; `step` is not one of its steps.

    Warns of comments that were meant as pairs and are none.
    """
    if run is None and step is not None:
        raise ValueError(
            "step is given without run: pass a function that samples, as in read(obj, run=lambda: pipe(), step=3)"
        )
    if run is not None and not callable(run):
        raise TypeError(
            f"run is a {type(run).__name__}; allowed is a function without arguments, such as lambda: pipe()"
        )
    start = 0 if step is None else step
    if isinstance(start, bool) or not isinstance(start, numbers.Integral) or start < 0:
        raise ValueError(f"step is {step!r}; allowed is a whole number from 0")
    if isinstance(obj, str):
        obj = obj.lower() if obj.lower() in PIPELINES else named(obj)
    shown = chapters(obj)
    name, title, summary = described(pipeline_class(obj) if isinstance(obj, str) else readable(obj))
    sources = [source for chapter in shown for source in chapter.sources]
    failures = [failure for source in sources for failure in source.failures]
    if run and not any(source.pairs for source in sources):
        raise ValueError("; ".join([f"{name} has no pair, whose values run could show", *map(str, failures)]))
    for failure in failures:
        warnings.warn(str(failure), stacklevel=2)
    recording = record(sources, run, int(start), name) if run else None
    parts = [
        Part(chapter.title, source.title, source.summary, source.names, rows_of(source, recording))
        for chapter in shown
        for source in chapter.sources
    ]
    return Reading(name, title, summary, parts, recording)


def rows_of(source, recording):
    rows, values = source.rows(), recording.steps[recording.start] if recording else {}
    for row in rows:
        row.values = [str(value) for value in values.get(row.place, [])]
    return rows


@dataclass
class Part:
    """One function of a Reading.

    Attributes:
        chapter: it belongs to, "" where there is only one.
        title, summary, names: see Source.
        rows: list of Row.
    """

    chapter: str
    title: str
    summary: list[str]
    names: Names
    rows: list[Row]


@dataclass(repr=False)
class Reading:
    """Code beside its equations, as `read` returns it.

    Attributes:
        name, title: of the object, with its module and without.
        summary: the first lines of its module's and of its own documentation.
        parts: list of Part.
        recording: Recording of the run, or None.
    """

    name: str
    title: str
    summary: list[str]
    parts: list[Part]
    recording: Recording | None = None

    @property
    def rows(self):
        """list of Row: those of all parts."""
        return [row for part in self.parts for row in part.rows]

    @property
    def step(self):
        """At which step the values were taken, in words, or ""."""
        return self.recording.label(self.recording.start) if self.recording else ""

    def __str__(self):
        return self.text(shutil.get_terminal_size().columns)

    __repr__ = __str__

    def text(self, width=100, colour=False):
        """As text, see `terminal.text`."""
        return terminal.text(self, width, colour)

    def _repr_html_(self):
        return fragment(self)

    def save(self, path):
        """Write one HTML file that holds all it needs; returns its Path.

        Raises:
            ValueError: `path` does not end in .html.
            OSError: it cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"path is {str(path)!r}; allowed is a name that ends in .html")
        files.replace(path, whole_page(self).encode())
        return path
