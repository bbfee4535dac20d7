"""A Reading as HTML: for a notebook, and as a page of its own.

An untrusted notebook in JupyterLab, or one on GitHub, keeps tables, classes and inline style, and loses <style>,
<script> and MathML. So the cells hold text: the terminal's form of the equations, the code, the values of one step.
MathML, pictures and the values of all steps lie as JSON in the one script, which puts them in where it runs.
"""

import hashlib
import json
from functools import cache
from html import escape
from itertools import groupby
from pathlib import Path

from minidiff.papers.letters import explained
from minidiff.papers.reader.prose import documentation, with_letters
from minidiff.papers.reader.record import webp
from minidiff.papers.reader.source import JOINED
from minidiff.papers.reader.wrap import wrappable
from minidiff.papers.tex.mathml import letter_mathml, mathml
from minidiff.papers.tex.tokens import TexError
from minidiff.papers.tex.typeset import unicode_text

TABLE = "width:100%;table-layout:fixed;border-collapse:collapse;border:none"
CELL = "text-align:left;vertical-align:baseline;border:none;background:transparent"
PRE = "margin:0;background:transparent;color:inherit"
LEFT = 42  # percent of the width that the equations have
COLOURED = ("keyword", "string", "number", "defined", "comment", "decorator")
LONG = 60  # characters; a piece with a longer text is cut off where there is no room for it
PART = "\0"  # begins the id of a part until the page's own is known
NOT_REACHED = "not reached"  # at this step; the script says so too


def fragment(reading):
    """The Reading as an element <div class="minidiff-reader"> with its style and its script."""
    content = Content(reading)
    body = f"{head(reading)}{''.join(map(content.part, reading.parts))}"
    data = content.json()
    identity = hashlib.sha256(f"{body}{data}".encode()).hexdigest()[:10]  # the same in each build of a notebook
    body = body.replace(PART, f"r{identity}-")
    return (
        f'<div class="minidiff-reader" id="r{identity}" style="text-align:left"><style>{resource("reader.css")}</style>'
        f"{body}<script>{resource('reader.js')}(document.currentScript, {data});</script></div>"
    )


def whole_page(reading):
    """The Reading as an HTML document that asks nothing of the network."""
    return (
        '<!doctype html><html lang="en" class="minidiff-page"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{escape(reading.name)}</title></head>'
        f"<body>{fragment(reading)}</body></html>\n"
    )


@cache
def resource(name):
    """The text of a file beside this one."""
    return (Path(__file__).parent / name).read_text(encoding="utf8").strip()


def head(reading):
    """What it is, its paper, what is in it, and at which step the values were taken."""
    module = reading.name.removesuffix(reading.title).rstrip(".")
    summary = "".join(f'<div class="summary">{documentation(line)}</div>' for line in reading.summary)
    steps = f'<div class="steps"><output>{escape(reading.step)}</output></div>' if reading.recording else ""
    name = f'<div class="name">{escape(reading.title)} <small>{escape(module)}</small></div>'
    return name + summary + contents(reading.parts) + steps


def contents(parts):
    """The table of contents; nothing for a single part."""
    out = ""
    for chapter, numbered in groupby(enumerate(parts), key=lambda part: part[1].chapter):
        lines = "".join(
            f'<div><a href="#{PART}{k}">{escape(part.title)}</a>{equations_in(part)}</div>' for k, part in numbered
        )
        out += f"<div><b>{escape(chapter)}</b>{lines}</div>" if chapter else lines
    return f'<div class="contents">{out}</div>' if len(parts) > 1 else ""


def equations_in(part):
    count = sum(len(row.pairs) for row in part.rows)
    return f" · {count} equation{'s' * (count > 1)}" if count else ""


class Content:
    """Builds the parts, and gathers what the script puts into them.

    Attributes:
        variables: {Variable that a letter means: its number}.
        letters: for each of them [its first letter as MathML, its name in code, its line of the glossary].
        equations: MathML, in the order of the cells.
        values: [texts by step, pictures by step or None] of each line that shows one, in their order.
    """

    def __init__(self, reading):
        self.recording, self.several, self.chapter = reading.recording, len(reading.parts) > 1, ""
        self.number = 0  # of parts built
        self.left = LEFT if any(row.pairs for row in reading.rows) else 0
        self.variables, self.letters, self.values = {}, [], []
        self.equations = [
            self.equation(pair, part.names) for part in reading.parts for row in part.rows for pair in row.pairs
        ]

    def json(self):
        """An object for the script."""
        recording, steps = self.recording, None
        if recording:
            labels = [recording.label(step) for step in recording.kept]
            steps = {"labels": labels, "start": recording.kept.index(recording.start), "values": self.values}
        data = {"equations": self.equations, "letters": self.letters, "steps": steps}
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        return text.replace("</", "<\\/").replace("<!", "\\u003c!")  # which would end the script, or hide its end

    def part(self, part):
        title = ""
        if part.chapter != self.chapter:
            self.chapter = part.chapter
            title = f'<div class="chapter">{escape(part.chapter)}</div>'
        if self.several:
            own = f' <span class="summary">{documentation(part.summary[-1])}</span>' if part.summary[1:] else ""
            title += (
                f'<div class="part" id="{PART}{self.number}"><span class="title">{escape(part.title)}</span>{own}</div>'
            )
        self.number += 1
        kind = "" if any(row.pairs for row in part.rows) else ' class="plain"'
        widths = "".join(f'<col style="width:{width}%">' for width in (self.left, 100 - self.left))
        rows = "".join(map(self.row, part.rows))
        return f'{title}<table{kind} style="{TABLE}"><colgroup>{widths}</colgroup><tbody>{rows}</tbody></table>'

    def row(self, row):
        left = "".join(
            f'<div class="equation"><span class="source">{escape(pair.source)}</span> '
            f'<span class="tex">{escape(unicode_text(pair.tex))}</span></div>'
            for pair in row.pairs
        )
        lines = "".join(self.line(line) for line in row.lines if not line.is_documentation)
        right = f'<pre style="{PRE}">{lines}</pre>{self.values_of(row)}' if lines else ""
        kind = ' class="pair"' if row.pairs else ""
        return f'<tr{kind}><td style="{CELL}">{left}</td><td style="{CELL}">{right}</td></tr>'

    # -- code

    def line(self, line):
        """A line in pieces between which it may wrap; its next lines hang."""
        hang = line.indent + (8 if line.tokens[:1] == [JOINED] else 4)
        text = "".join(self.piece(tokens) + (space or "<wbr>") for tokens, space in wrappable(line.tokens))
        return f'<span class="line" style="--hang:{hang}ch">{text.removesuffix("<wbr>")}\n</span>'

    def piece(self, tokens):
        text = "".join(token.text for token in tokens).strip()
        is_long = len(text) > LONG and any(token.in_string for token in tokens)
        kind = f' class="long" title="{escape(text)}"' if is_long else ""
        return f"<span{kind}>{''.join(map(self.token, tokens))}</span>"

    def token(self, token):
        text = escape(token.text, quote=False)
        if token.variable in self.variables:
            return f'<span class="v-{self.variables[token.variable]}">{text}</span>'
        return f'<span class="{token.kind}">{text}</span>' if token.kind in COLOURED else text

    # -- equations

    def equation(self, pair, names):
        """A pair's MathML, its letters marked with their variables."""

        lefts = {str(equation.left) for equation in pair.equations} if len(pair.equations) == 1 else set()

        def mark(letter):
            variable = names.variable(letter, pair.where.line, str(letter) in lefts)
            if variable not in self.variables:
                self.variables[variable] = len(self.variables)
                meaning = with_letters(explained(letter, pair.key))
                self.letters.append([letter_mathml(letter), names.in_code(variable), meaning])
            return f'class="v-{self.variables[variable]}"'

        try:
            return '<span class="also"></span>'.join("<wbr>".join(pieces) for pieces in mathml(pair.tex, mark))
        except TexError:  # a line that is only shown may hold any command
            return escape(unicode_text(pair.tex))

    # -- values

    def values_of(self, row):
        """A line for each value of a paired statement, as it is at the step shown first."""
        if not self.recording or not row.place:
            return ""
        kept, out = self.recording.kept, ""
        steps = [self.recording.steps[step].get(row.place, []) for step in kept]
        for k in range(max(map(len, steps))):
            values = [step[k] if k < len(step) else None for step in steps]
            texts = [str(value) if value else None for value in values]
            pictures = [webp(value.picture) if value and value.picture else None for value in values]
            self.values.append([texts, pictures if any(pictures) else None])
            first = texts[kept.index(self.recording.start)] or NOT_REACHED
            out += f'<div class="value" style="--indent:{row.lines[0].indent}ch">{escape(first)}</div>'
        return out
