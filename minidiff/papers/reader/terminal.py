"""Code beside its equations as text: in two columns where there is room for them, else one above the other.

A long equation is broken before an operator, outside of brackets if that is possible, and never so that a symbol is
left alone on a line.
"""

import re
import textwrap

from minidiff.papers.tex.typeset import columns, unicode_text

WIDE = 150  # columns of a terminal in which two columns of text fit
STYLES = {"name": "1", "summary": "2", "source": "36", "rule": "2", "comment": "2", "value": "32"}  # of ANSI terminals
OPERATORS = ("+", "−", "·", "⊙")
RELATIONS = ("=", "←", "~")


def text(reading, width, colour=False):
    """A Reading as lines of text.

    Args:
        width: of the terminal; in two columns from WIDE on.
        colour: with the escape sequences of a terminal.
    """
    head = [[(reading.name, "name"), (f", {reading.step}" if reading.step else "", "")]]
    head += [[(line, "summary")] for line in reading.summary]
    show = two_columns if width >= WIDE else one_column
    lines, chapter = [*head, []], ""
    for part in reading.parts:
        if part.chapter != chapter:
            chapter = part.chapter
            lines += [[(chapter, "name")], []]
        if len(reading.parts) > 1:
            lines.append([(part.title, "name")])
        lines += [line for row in part.rows for line in show(row, width)] + [[]]
    return "\n".join(painted(line, colour).rstrip() for line in lines[:-1])


def painted(line, colour):
    """A line, [(text, style)], as a string."""
    return "".join(f"\033[{STYLES[style]}m{part}\033[0m" if colour and style else part for part, style in line if part)


def one_column(row, width):
    """Equations above their code, values below it; each line [(text, style)]."""
    margin = " " * (len(row.code) - len(row.code.lstrip()))
    rule = (f"{margin}│ ", "rule")
    above = [[rule, *line] for pair in row.pairs for line in equation(pair, max(width, 60) - len(margin) - 2)]
    return above + code(row, margin)


def two_columns(row, width):
    """Equations on the left of their code, values below it; each line [(text, style)]."""
    room = width * 2 // 5
    margin = " " * (len(row.code) - len(row.code.lstrip()))
    left = [line for pair in row.pairs for line in equation(pair, room)]
    right = code(row, margin, width - room - 3)
    height = max(len(left), len(right))
    left, right = (column + [[]] * (height - len(column)) for column in (left, right))
    return [[*a, (" " * (room - width_of(a)), ""), (" │ ", "rule"), *b] for a, b in zip(left, right, strict=True)]


def width_of(line):
    return sum(columns(part) for part, _ in line)


def equation(pair, width):
    """Where a pair's equation stands, and the equation, in lines of at most `width` columns."""
    formula = unicode_text(pair.tex)
    if columns(f"{pair.source}:  {formula}") <= width:
        return [[(f"{pair.source}:", "source"), (f"  {formula}", "")]]
    first, *more = broken(formula, width - 4)
    return [[(f"{pair.source}:", "source")], [(f"  {first}", "")], *([(f"    {line}", "")] for line in more)]


def code(row, margin, width=None):
    """A row's code, its comments apart, in lines of at most `width` columns; and the values."""
    lines = row.code.split("\n")
    if width:
        lines = [part for line in lines for part in wrapped(line, width)]
    split = (re.fullmatch(r"(.*?)((?:^|  )\s*# .*)?", line) for line in lines)
    said = [[(match[1], ""), (match[2] or "", "comment")] for match in split]
    return said + [[(f"{margin}→ {value}", "value")] for value in row.values]


def wrapped(line, width):
    margin = " " * (len(line) - len(line.lstrip()) + 8)
    options = {"subsequent_indent": margin, "break_long_words": False, "break_on_hyphens": False}
    return textwrap.wrap(line, width, **options) or [""]


def broken(formula, width):
    """A formula in lines of at most `width` columns, if its words allow it: of all ways to break it the cheapest."""
    words = re.split(r"(?<=\S) (?=\s*\S)", formula)  # the rest of a wide space stays with the equation that it begins
    depths = [0]  # of brackets, before each word
    for word in words:
        depths.append(depths[-1] + sum(map(word.count, "([{")) - sum(map(word.count, ")]}")))

    def of_break(k):  # the price of a break before word k
        if words[k].startswith(" ") or words[k] in RELATIONS:
            return words[k] in RELATIONS
        behind_sign = words[k - 1] in OPERATORS + RELATIONS
        return 4 * depths[k] + (2 if words[k] in OPERATORS else 60 if behind_sign else 30)

    def of_line(line):  # and of a line: each has one, of those too long or with a lone symbol a high one
        slack = width - columns(" ".join(line).strip())
        return 4 + (slack / width) ** 2 + 1000 * max(-slack, 0) + 100 * (len(line) == 1 < len(words))

    best = {len(words): (0, [])}  # the price of all from word k on, and its lines
    for k in reversed(range(len(words))):
        ways = []
        for end in range(k + 1, len(words) + 1):
            price = of_line(words[k:end]) + (of_break(end) if end < len(words) else 0) + best[end][0]
            ways.append((price, [" ".join(words[k:end]).strip(), *best[end][1]]))
        best[k] = min(ways)
    return best[0][1]
