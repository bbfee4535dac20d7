"""One entry of the ledger."""

import re
import textwrap
from dataclasses import dataclass, fields

from minidiff.papers.tex.typeset import unicode_text

LABEL = 11  # characters, "diffusers" and two more


@dataclass(frozen=True)
class Mismatch:
    """Where paper, original code and diffusers disagree. TeX in the texts stands between dollars.

    Attributes:
        name: what the entry is called.
        paper, original, diffusers: what each of the three says; the original is the authors' code.
        effect: why it matters, with a measured number.
        default: which side this package takes if nothing is said.
        switch: the code that takes the other side; empty where nobody can want it.
        test: the test that demonstrates the difference, "tests/FILE.py::NAME".
    """

    name: str
    paper: str
    original: str
    diffusers: str
    effect: str
    default: str
    switch: str
    test: str

    def __str__(self):
        return self.text()

    def text(self, width=100):
        """The entry for a terminal: its name, then a paragraph for each of the others."""
        rows = [(field.name, getattr(self, field.name)) for field in fields(self)[1:]]
        paragraphs = [paragraph(label, readable(value), width) for label, value in rows if value]
        return "\n".join([self.name, *paragraphs])


def paragraph(label, value, width):
    indent = " " * (LABEL + 2)
    return textwrap.fill(
        value,
        width,
        initial_indent=f"  {label:<{LABEL}}",
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def readable(value):
    """The text with its TeX as Unicode."""
    return re.sub(r"\$([^$]+)\$", lambda match: unicode_text(match[1]), value)
