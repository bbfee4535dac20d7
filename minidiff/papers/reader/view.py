r"""Code beside its equations: `minidiff.read(DDIMScheduler.step)`.

In a notebook a table of two columns, the equations typeset on the left; in a terminal text. With a function that
samples, the lines show their values at one of its steps.
"""

import ast
import html
import inspect
import numbers
import shutil
import sys
import textwrap
from dataclasses import dataclass, field

import torch

from minidiff.papers.pairs import STATEMENTS, Pair, find_pairs
from minidiff.papers.reader import terminal
from minidiff.papers.tex.typeset import picture


def read(obj, run=None, step=None):
    """Show code beside its equations.

    Args:
        obj: a module, class, function, method or property, of this package or your own.
        run: a function without arguments that makes the code run, such as `lambda: pipe(num_inference_steps=20)`; then
            each paired line shows what it computed.
        step: at which of the times that the code ran through its lines, from 0, the first; a call begins a new one,
            and so does a line that is reached again, as in a loop.
    Returns:
        Reading, which shows itself in a notebook and prints as text.
    Raises:
        TypeError: `obj` is none of these, or `run` cannot be called.
        OSError: the source of `obj` cannot be found.
        ValueError: `step` without `run`; `run` did not reach a paired line of `obj`; `step` is not one of its steps.
    """
    code = Source(obj)
    if run is None:
        if step is not None:
            raise ValueError(
                "step is given without run: pass a function that samples, as in read(obj, run=lambda: pipe(), step=3)"
            )
        return Reading(code.name, code.summary, code.rows())
    if not callable(run):
        raise TypeError(
            f"run is a {type(run).__name__}; allowed is a function without arguments, such as lambda: pipe()"
        )
    values, count = values_at(code, run, 0 if step is None else step)
    return Reading(code.name, code.summary, code.rows(values), f"step {step or 0} of 0 to {count - 1}")


@dataclass
class Row:
    """Some lines of code: a statement with its pairs, or lines without.

    Attributes:
        code: the lines.
        pairs: above the statement.
        values: what it computed, as text.
    """

    code: str
    pairs: list[Pair] = field(default_factory=list)
    values: list[str] = field(default_factory=list)


@dataclass(repr=False)
class Reading:
    """Code beside its equations, as `read` returns it.

    Attributes:
        name: of the object, with its module.
        summary: the first lines of its module's and of its own documentation.
        rows: list of Row.
        step: at which the values were taken, in words, or "".
    """

    name: str
    summary: list[str]
    rows: list[Row]
    step: str = ""

    def __str__(self):
        return self.text(shutil.get_terminal_size().columns)

    __repr__ = __str__

    def text(self, width=100, colour=False):
        """As text, see `terminal.text`."""
        return terminal.text(self, width, colour)

    def _repr_html_(self):
        head = "".join(f"<div>{html.escape(line)}</div>" for line in self.summary)
        step = f", {html.escape(self.step)}" if self.step else ""
        rows = "".join(map(html_row, self.rows))
        return (
            f'<div style="text-align:left"><div><b>{html.escape(self.name)}</b>{step}</div>{head}'
            f'<table style="width:100%;table-layout:fixed;border-collapse:collapse;margin:6px 0">'
            f'<colgroup><col style="width:38%"><col style="width:62%"></colgroup><tbody>{rows}</tbody></table></div>'
        )


CELL = "text-align:left;vertical-align:top;background:transparent;padding:3px 8px;border:none"
CODE = (
    "margin:0;padding:0;white-space:pre-wrap;overflow-wrap:anywhere;background:transparent;color:inherit;"
    "font-size:12px;line-height:1.4"
)


def html_row(row):
    line = ";border-top:1px solid rgba(128,128,128,.35)" if row.pairs else ""
    left = "".join(
        f'<div style="font-size:11px;opacity:.75">{html.escape(pair.source)}</div>{picture(pair.tex)}'
        for pair in row.pairs
    )
    values = "".join(f'<div style="font-size:12px"><i>→ {html.escape(value)}</i></div>' for value in row.values)
    return (
        f'<tr style="background:transparent"><td style="{CELL}{line}">{left}</td>'
        f'<td style="{CELL}{line}"><pre style="{CODE}">{html.escape(row.code.rstrip())}</pre>{values}</td></tr>'
    )


class Source:
    """The source of an object, and the pairs in it.

    Attributes:
        name, summary: see Reading.
        filename: of the file it lies in, as its code knows it.
        first: its first line in that file.
        lines: its text.
        pairs: {line in the file: pairs above the statement there}.
        statements: {line in the file: ast statement}, of the paired ones.
    """

    def __init__(self, obj):
        target = readable(obj)
        try:
            lines, first = inspect.getsourcelines(target)
            self.filename = inspect.getsourcefile(target) or inspect.getfile(target)
        except (OSError, TypeError):
            raise OSError(
                f"the source of {obj!r} is not to be found; it must lie in a file, or in a cell of this notebook"
            ) from None
        self.first = max(first, 1)
        margin = len(lines[0]) - len(lines[0].lstrip())
        lines = "".join(lines).rstrip("\n").split("\n")
        self.lines = [line if line[:margin].strip() else line[margin:] for line in lines]  # a string may begin at 0
        self.tree = ast.parse("\n".join(self.lines))
        found, _ = find_pairs("\n".join(self.lines), self.filename)
        self.pairs = {}
        for pair in found:
            self.pairs.setdefault(self.in_file(pair.where.line), []).append(pair)
        starts = {self.in_file(n.lineno): n for n in ast.walk(self.tree) if isinstance(n, STATEMENTS)}
        self.statements = {line: starts[line] for line in self.pairs}
        self.name, self.summary = described(target)

    def in_file(self, line):
        return line + self.first - 1

    def rows(self, values=()):
        """list of Row; `values` are texts by the line of their statement."""
        values, rows, between = dict(values), [], []
        number, gone, signatures = 1, self.left_out(), self.signatures()
        while number <= len(self.lines):
            line = self.in_file(number)
            if line in self.pairs:
                rows += [Row("\n".join(between))] if any(map(str.strip, between)) else []
                end = self.statements[line].end_lineno
                rows.append(Row("\n".join(self.lines[number - 1 : end]), self.pairs[line], values.get(line, [])))
                between, number = [], end
            elif number in signatures:
                number, signature = signatures[number]
                between += signature
            elif number not in gone:
                between.append(
                    self.lines[number - 1] + ' ..."""' * (number + 1 in gone and number in self.docstrings())
                )
            number += 1
        rows += [Row("\n".join(between))] if any(map(str.strip, between)) else []
        return [
            Row(row.code.strip("\n") + "\n" * (row.code.endswith("\n") and row is not rows[-1]), row.pairs, row.values)
            for row in rows
        ]

    def left_out(self):
        """Numbers of lines that are not shown: the comments of pairs, and of a docstring all but its first line."""
        comments = {k for pairs in self.pairs.values() for p in pairs for k in range(p.comment[0], p.comment[1] + 1)}
        return comments | {k for first, last in self.docstrings().items() for k in range(first + 1, last + 1)}

    def signatures(self):
        """{first line: (last line, [lines])}: those that have a line for each argument, in fewer lines."""
        found = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef):
                lines = self.lines[node.lineno - 1 : node.body[0].lineno - 1]
                if len(lines) > 3 and not any("#" in line for line in lines):
                    text = " ".join(map(str.strip, lines)).replace("( ", "(", 1).replace(", )", ")")
                    margin = " " * node.col_offset
                    wrapped = textwrap.wrap(
                        text, 88, initial_indent=margin, subsequent_indent=margin + " " * 8, break_on_hyphens=False
                    )
                    found[node.lineno] = node.body[0].lineno - 1, wrapped
        return found

    def docstrings(self):
        """{first line: last line}."""
        found = {}
        for node in ast.walk(self.tree):
            body = getattr(node, "body", None)
            first = body[0] if isinstance(body, list) and body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                found[first.lineno] = first.end_lineno
        return found


def readable(obj):
    """The module, class or function that `obj` is, freed from decorators."""
    if isinstance(obj, property):
        obj = obj.fget
    if callable(obj) and not inspect.isclass(obj):
        obj = inspect.unwrap(obj)
    if inspect.ismodule(obj) or inspect.isclass(obj):
        return obj
    if inspect.isfunction(obj) or inspect.ismethod(obj):
        return getattr(obj, "__func__", obj)
    hint = (
        f"; its class or one of its methods can, as in read({type(obj).__name__})" if not inspect.isroutine(obj) else ""
    )
    raise TypeError(
        f"{obj!r:.60} cannot be read: allowed is a module, a class, a function or a method written in Python{hint}"
    )


def described(target):
    """(name, summary): the first line of the module's documentation, which is its paper, and of the object's own."""
    module = target if inspect.ismodule(target) else inspect.getmodule(target)
    name = target.__name__ if module is target else f"{getattr(module, '__name__', '?')}.{target.__qualname__}"
    documents = (
        [inspect.getdoc(module)] if module is target or module is None else [inspect.getdoc(module), target.__doc__]
    )
    firsts = [inspect.cleandoc(document).split("\n")[0] for document in documents if document]
    return name, list(dict.fromkeys(firsts))


def values_at(code, run, step):
    """({line: texts of the values that its statement computed at that step}, how many steps there were)."""
    if isinstance(step, bool) or not isinstance(step, numbers.Integral) or step < 0:
        raise ValueError(f"step is {step!r}; allowed is a whole number from 0")
    recorder = Recorder(code)
    before = sys.gettrace()
    sys.settrace(recorder.enter)
    try:
        run()
    finally:
        sys.settrace(before)
    count = max(map(len, recorder.steps.values()), default=0)
    if not count:
        raise ValueError(f"run() did not reach a paired line of {code.name}: let it call what it is to show")
    if step >= count:
        raise ValueError(
            f"step is {step}; the run went through {code.name} {count} times, so allowed is 0 to {count - 1}"
        )
    found = {}
    for steps in recorder.steps.values():
        found |= steps[step] if step < len(steps) else {}
    return found, count


class Recorder:
    """Follows the frames of some code, and notes what its paired statements computed.

    Attributes:
        steps: {code object: a list with a dict for each step, {line: texts}}.
    """

    def __init__(self, code):
        self.filename = code.filename
        self.statement_of = {}  # every line of a paired statement: (its first line, the texts of its targets)
        for line, statement in code.statements.items():
            targets = getattr(statement, "targets", None) or [getattr(statement, "target", None)]
            names = [ast.unparse(t) for target in targets if target for t in getattr(target, "elts", [target])]
            last = line + statement.end_lineno - statement.lineno
            self.statement_of |= dict.fromkeys(range(line, last + 1), (line, names))
        self.lines = range(code.first, code.in_file(len(code.lines)) + 1)
        self.steps = {}

    def enter(self, frame, event, arg):
        """What Python calls when a function begins; what it returns is called at each of the function's lines."""
        code = frame.f_code
        if code.co_filename != self.filename or code.co_firstlineno not in self.lines or code.co_name in COMPREHENSIONS:
            return None
        steps = self.steps.setdefault(code, [])
        begun = False  # the call's first step, which is counted when it reaches a paired line
        waiting = None

        def note(value_of):
            nonlocal begun
            line, names = waiting
            if not begun or line in steps[-1]:
                steps.append({})
                begun = True
            steps[-1][line] = value_of(names)

        def follow(frame, event, arg):
            nonlocal waiting
            here = self.statement_of.get(frame.f_lineno)
            if event == "exception":
                waiting = None
            elif waiting and event == "return":
                note(lambda names: [f"{name} = {shown(look(name, frame))}" for name in names] or [shown(arg)])
                waiting = None
            elif event == "line":
                if waiting and here != waiting:
                    note(lambda names: [f"{name} = {shown(look(name, frame))}" for name in names])
                waiting = here
            return follow

        return follow


COMPREHENSIONS = {"<lambda>", "<genexpr>", "<listcomp>", "<setcomp>", "<dictcomp>"}


def look(name, frame):
    return eval(name, frame.f_globals, frame.f_locals)


def shown(value):
    """A value in a few words: a number, or a tensor's shape with its mean and standard deviation."""
    if isinstance(value, torch.Tensor) and value.ndim == 0:
        value = value.item()
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, torch.Tensor) or hasattr(value, "__array__"):
        numbers_of = torch.as_tensor(value).detach().double()
        if not numbers_of.numel():
            return f"{tuple(numbers_of.shape)}"
        std = numbers_of.std(correction=0).item()
        return f"{tuple(numbers_of.shape)}, mean {numbers_of.mean().item():.3g}, std {std:.3g}"
    if isinstance(value, list | tuple) and len(value) > 4:
        return f"{len(value)} values"
    if isinstance(value, list | tuple):
        return "; ".join(map(shown, value))
    return f"{value!r:.60}"
