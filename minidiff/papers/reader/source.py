"""What is read: the lines of a function, its pairs, and which variable each of its names and letters is."""

import ast
import functools
import inspect
import itertools
import textwrap
import types
from bisect import bisect_right
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from pygments.lexers import PythonLexer
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, String

from minidiff.papers.pairs import STATEMENTS, Pair, Where, find_pairs

KINDS = {  # the first that holds; what is none of these has the kind ""
    Comment: "comment",
    Keyword.Constant: "number",
    Keyword: "keyword",
    Operator.Word: "keyword",
    Operator: "operator",
    Punctuation: "bracket",
    String: "string",
    Number: "number",
    Name.Function: "defined",
    Name.Class: "defined",
    Name.Decorator: "decorator",
    Name.Builtin.Pseudo: "self",
}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
INNER = {  # what is made around a function: where it keeps it
    property: "fget",
    functools.cached_property: "func",
    functools.partial: "func",
    functools.partialmethod: "func",
    classmethod: "__func__",
    staticmethod: "__func__",
    types.MethodType: "__func__",
}
FOR_TOOLS = ("# fmt:", "# noqa")  # comments that no reader needs
SIGNATURE = 88  # columns that a signature may fill in a terminal


class Variable(NamedTuple):
    """A variable of the code: a local one of a function, or an attribute of `self`, whose scope is its class."""

    scope: str
    name: str


class Token(NamedTuple):
    """A piece of code: its kind, see KINDS, its text, the Variable that it names, whether it lies in a string."""

    kind: str
    text: str
    variable: Variable | None = None
    in_string: bool = False


@dataclass
class Line:
    """A line of code, with its indentation; `is_documentation`: of the object that is read, which its head shows."""

    tokens: list[Token]
    is_documentation: bool = False

    def __str__(self):
        return "".join(token.text for token in self.tokens)

    @property
    def indent(self):
        return len(str(self)) - len(str(self).lstrip())


@dataclass
class Row:
    """Some lines of code: a statement with its pairs, or lines without.

    Attributes:
        lines: of the page.
        pairs: above the statement.
        place: (file, line) of the statement, None without pairs.
        values: what it computed, as text.
    """

    lines: list[Line]
    pairs: list[Pair] = field(default_factory=list)
    place: tuple[str, int] | None = None
    values: list[str] = field(default_factory=list)

    @property
    def code(self):
        """The lines as text; a signature that was put into one is wrapped."""
        return "\n".join(wrapped(str(line)) if line.tokens[:1] == [JOINED] else str(line) for line in self.lines)


JOINED = Token("", "")  # begins a line that was several


def wrapped(line):
    margin = line[: len(line) - len(line.lstrip())]
    layout = {"initial_indent": margin, "subsequent_indent": margin + " " * 8, "break_on_hyphens": False}
    return "\n".join(textwrap.wrap(line.strip(), SIGNATURE, **layout))


class Source:
    """The source of an object, and the pairs in it.

    Args:
        obj: a module, class, function, method or property.
        owner: the class whose attributes `self` has; for a method that it inherits, the heir.
    Attributes:
        name, title: of the object with its module, and without.
        summary: the first lines of its module's and of its own documentation.
        filename: of the file it lies in, as its code knows it.
        first: its first line in that file.
        lines: its text.
        pairs: {line in the file: pairs above the statement there}.
        failures: list of Failure, comments that were meant as pairs and are none.
        statements: {line in the file: ast statement}, of the paired ones.
    Raises:
        TypeError: `obj` is none of these.
        OSError: its source cannot be found.
    """

    def __init__(self, obj, owner=None):
        target = readable(obj)
        try:
            lines, first = inspect.getsourcelines(target)
            self.filename = inspect.getsourcefile(target) or inspect.getfile(target)
            margin = len(lines[0]) - len(lines[0].lstrip())
            lines = "".join(lines).rstrip("\n").split("\n")
            self.lines = [line if line[:margin].strip() else line[margin:] for line in lines]  # a string may begin at 0
            text = "\n".join(self.lines)
            self.tree = ast.parse(text)
        except (OSError, TypeError, SyntaxError):
            raise OSError(
                f"the source of {obj!r} is not to be found; it must lie in a file, or in a cell of this notebook, and "
                "be a statement of its own, as a lambda in a dict is not"
            ) from None
        self.first, self.pairs = max(first, 1), {}
        pairs, failures = find_pairs(text, self.filename)
        for pair in pairs:
            self.pairs.setdefault(self.in_file(pair.where.line), []).append(pair)
        self.failures = [replace(f, where=Where(self.filename, self.in_file(f.where.line))) for f in failures]
        starts = {self.in_file(n.lineno): n for n in ast.walk(self.tree) if isinstance(n, STATEMENTS)}
        self.statements = {line: starts[line] for line in self.pairs}
        self.name, self.title, self.summary = described(target)
        self.names = Names(self.tree, self.name, owner.__qualname__ if owner else None)

    def in_file(self, line):
        return line + self.first - 1

    def rows(self):
        """list of Row."""
        rows, between, tokens = [], [], tokens_of(self.lines, self.tree, self.names.at)
        number, gone, signatures, documentation = 1, self.left_out(), self.signatures(), self.docstrings()
        while number <= len(self.lines):
            line = self.in_file(number)
            if line in self.pairs:
                end = self.statements[line].end_lineno
                statement = [Line(tokens[k]) for k in range(number, end + 1)]
                rows += [Row(between), Row(statement, self.pairs[line], (self.filename, line))]
                between, number = [], end
            elif number in signatures:
                end = signatures[number]
                between.append(Line(joined([tokens[k] for k in range(number, end + 1)])))
                number = end
            elif number in documentation:
                more = [Token("string", ' ..."""')] * (documentation[number] > number)
                between.append(Line(tokens[number] + more, is_documentation=number == min(documentation)))
            elif number not in gone:
                between.append(Line(tokens[number]))
            number += 1
        return [row for row in map(without_empty_ends, [*rows, Row(between)]) if row.lines]

    def left_out(self):
        """Numbers of lines that are not shown: the comments of pairs, and of a docstring all but its first line."""
        comments = {k for pairs in self.pairs.values() for p in pairs for k in range(p.comment[0], p.comment[1] + 1)}
        return comments | {k for first, last in self.docstrings().items() for k in range(first + 1, last + 1)}

    def signatures(self):
        """{first line: last line} of those that have a line for each argument and no comments: they become one line."""
        found = {}
        for node in ast.walk(self.tree):
            if isinstance(node, FUNCTIONS):
                first, last = node.lineno, node.body[0].lineno - 1
                lines = self.lines[first - 1 : last]
                if len(lines) > 3 and lines[0].endswith("(") and not any("#" in line for line in lines):
                    found[first] = last
        return found

    def docstrings(self):
        """{first line: last line}."""
        found = {}
        for node in ast.walk(self.tree):
            body = getattr(node, "body", None)
            first = body[0] if isinstance(body, list) and body else None
            if isinstance(first, ast.Expr) and isinstance(getattr(first.value, "value", None), str):
                found[first.lineno] = first.end_lineno
        return found


def tokens_of(lines, tree, variables):
    """{number of a line: its tokens}; `variables` by line and column in bytes."""
    found, line, column, strings = {k: [] for k in range(1, len(lines) + 1)}, 1, 0, string_spans(tree)
    for kind, text in PythonLexer(stripnl=False, ensurenl=False).get_tokens("\n".join(lines)):
        kind = next((word for known, word in KINDS.items() if kind in known), "")
        for k, part in enumerate(text.split("\n")):
            line, column = (line + 1, 0) if k else (line, column)
            if kind == "comment" and part.startswith(FOR_TOOLS):
                while found[line] and found[line][-1].text.isspace():
                    found[line].pop()
            elif part:
                at = line, len(lines[line - 1][:column].encode())
                found[line].append(Token(kind, part, variables.get(at), inside(at, strings)))
            column += len(part)
    return found


def without_empty_ends(row):
    """The row without the empty lines that it begins and ends with."""
    empty = lambda line: not str(line).strip()
    lines = list(itertools.dropwhile(empty, row.lines))[::-1]
    row.lines = list(itertools.dropwhile(empty, lines))[::-1]
    return row


def joined(lines):
    """The tokens of several lines in one, as if they had been written so."""
    tokens = [JOINED, *lines[0]]
    for before, line in zip(lines, lines[1:]):
        content = [token for k, token in enumerate(line) if k or token.text.strip()]
        if content[0].text.startswith(")"):
            tokens = tokens[:-1] if tokens[-1].text == "," else tokens
        elif before[-1].text != "(":
            tokens.append(Token("", " "))
        tokens += content
    return tokens


def string_spans(tree):
    """Sorted [(start, end)], each (line, column in bytes), of the strings."""
    if isinstance(tree, ast.JoinedStr) or isinstance(getattr(tree, "value", None), str):
        return [((tree.lineno, tree.col_offset), (tree.end_lineno, tree.end_col_offset))]
    return sorted(span for child in ast.iter_child_nodes(tree) for span in string_spans(child))


def inside(at, spans):
    k = bisect_right(spans, (at, (10**9, 0)))
    return k > 0 and at < spans[k - 1][1]


class Names:
    """Which variable each name in the code is, and each letter above it.

    Attributes:
        at: {(line, column in bytes): Variable}.
        attributes: those Variables that are attributes of `self`.
        targets: {line of a statement: the Variable that it assigns to, where that is one}.
    """

    def __init__(self, tree, name, owner):
        self.at, self.attributes, self.targets, self.owner = {}, set(), {}, owner
        self.functions = []  # (first line, last line, scopes from the innermost to the outermost)
        self.visit(tree, [(name, set())], owner or name)

    def visit(self, node, scopes, owner):
        if isinstance(node, ast.JoinedStr):  # where its names stand, Python knows only since 3.12
            return
        if isinstance(node, ast.ClassDef):
            owner = self.owner or node.name
        if isinstance(node, (*FUNCTIONS, ast.Lambda)):
            scopes = [(f"{scopes[0][0]}.{getattr(node, 'name', node.lineno)}", bound_in(node)), *scopes]
        if isinstance(node, FUNCTIONS):
            self.functions.append((node.lineno, node.end_lineno, scopes, owner))
        name, at = last_name(node)
        if isinstance(node, ast.Name | ast.arg):
            if scope := next((scope for scope, bound in scopes if name in bound), None):
                self.at[at] = Variable(scope, name)
        elif name and ast.unparse(node.value) in ("self", "self.config"):
            self.at[at] = Variable(owner, name)
            self.attributes.add(self.at[at])
        for child in ast.iter_child_nodes(node):
            self.visit(child, scopes, owner)
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            if target := self.at.get(last_name(node.targets[0])[1]):
                self.targets[node.lineno] = target

    def variable(self, letter, line, is_left=False):
        """What a letter above the statement in that line is: a Variable, made up where the code has none.

        Args:
            is_left: it stands on the left of the equation, so it is what the statement assigns to, as in a draw the x_T
                of `x_t = noise`.
        """
        if is_left and line in self.targets:
            return self.targets[line]
        inner = [function for function in self.functions if function[0] <= line <= function[1]]
        scopes, owner = (inner[-1][2:]) if inner else ([("", set())], self.owner or "")
        for name in candidates(letter):
            for scope, bound in scopes:
                if name in bound:
                    return Variable(scope, name)
            if (attribute := Variable(owner, name)) in self.attributes:
                return attribute
        return Variable(scopes[0][0], str(letter))

    def in_code(self, variable):
        """The variable as the code writes it; "" where it does not appear there."""
        if variable in self.attributes:
            return f"self.{variable.name}"
        return variable.name if variable in self.at.values() else ""


def last_name(node):
    """The name that a variable, an argument or an attribute ends with, and where it begins; (None, None) for others."""
    name = next((getattr(node, kind) for kind in ("id", "arg", "attr") if hasattr(node, kind)), None)
    if name is None or isinstance(node, ast.keyword):
        return None, None
    if isinstance(node, ast.Attribute):
        return name, (node.end_lineno, node.end_col_offset - len(name.encode()))
    return name, (node.lineno, node.col_offset)


def candidates(letter):
    """The names that a letter may have in code, the likeliest first: alpha_bar_t, then alpha_bar, whose entry it is."""
    table = "_".join([letter.base, *letter.accents]) + "_prime" * letter.primes
    return list(dict.fromkeys(filter(None, [letter.name, letter.plain, table])))


def bound_in(function):
    """Names of the arguments and local variables of a function, without those of functions inside it."""
    a = function.args
    names = {arg.arg for arg in [*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg] if arg}
    waiting = list(function.body) if isinstance(function.body, list) else [function.body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (*FUNCTIONS, ast.ClassDef, ast.Lambda)):
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        waiting += ast.iter_child_nodes(node)
    return names


def bare(obj):
    """The function behind a method, a property, a partial or a decorator; what is none of these as it is."""
    while kept := next((name for kind, name in INNER.items() if isinstance(obj, kind)), None):
        obj = getattr(obj, kept)
    if not callable(obj) or inspect.isclass(obj) or (inner := inspect.unwrap(obj)) is obj:
        return obj
    return bare(inner)


def readable(obj):
    """The module, class or function that `obj` is, freed from decorators."""
    obj = bare(obj)
    if inspect.ismodule(obj) or inspect.isclass(obj) or inspect.isfunction(obj):
        return obj
    hint = (
        f"; its class or one of its methods can, as in read({type(obj).__name__})" if not inspect.isroutine(obj) else ""
    )
    raise TypeError(
        f"{obj!r:.60} cannot be read: allowed is a module, a class, a function or a method written in Python, "
        f"or a name such as 'ddim'{hint}"
    )


def is_notebook(module):
    """bool: whether it is that of a notebook's cells: its documentation is IPython's, its classes' source not found."""
    return not hasattr(module, "__file__")


def described(target):
    """(name, title, summary) of Source; the first line of a module's documentation is its paper."""
    module = target if inspect.ismodule(target) else inspect.getmodule(target)
    title = target.__name__.rpartition(".")[2] if module is target else target.__qualname__
    name = target.__name__ if module is target else f"{getattr(module, '__name__', '?')}.{title}"
    documents = [None if is_notebook(module) else module.__doc__, None if module is target else target.__doc__]
    firsts = [inspect.cleandoc(document).split("\n")[0] for document in documents if document]
    return name, title, list(dict.fromkeys(firsts))
