"""Rewrites a source file so that its paired statements report what they compute.

`x = e` becomes `x = __pair__(line, __before__(locals()), globals(), e)`: the equation sees the variables as they were
before the statement. Arithmetic without a pair reports its value alone, since what yields whole Python numbers needs
no pair.
"""

import ast
import copy
import types
from dataclasses import dataclass, field

from minidiff.papers.check.mutants import changes_in_place, is_arithmetic, mutants
from minidiff.papers.pairs import STATEMENTS, Failure, Pair, Where, find_pairs
from minidiff.papers.tex.equations import DRAWN, EQUALS

WIDER = {"float32": "float64", "float16": "float64", "bfloat16": "float64", "half": "double", "float": "double"}


class Widen(ast.NodeTransformer):
    """float64 also where the code asks for less: `torch.float32`, `x.float()`."""

    def visit_Attribute(self, node):
        self.generic_visit(node)
        if isinstance(node.ctx, ast.Load) and getattr(node.value, "id", "") != "self":
            node.attr = WIDER.get(node.attr, node.attr)
        return node


@dataclass
class Statement:
    """A paired statement, or one with arithmetic, and what was seen of it.

    Attributes:
        where: its first line.
        text: its source in one line, as Python writes it.
        arithmetic: whether it does any.
        pairs: above it.
        targets: what it assigns to, see `target_names`; empty for a return.
        indices: {name of a list: compiled index} of targets such as `c[j]`.
        augmented: the assigned expression of `x += e`, compiled, else None.
        mutants: {text: code} of those that nothing has told apart yet; `made`: how many there were.
        runs: how often it ran.
        values: the kinds of values of an unpaired statement, True for whole Python numbers.
        draws: for each pair that is a draw, the numbers drawn, in units of the stated distribution.
        repeats: whether a draw held one number several times.
        failures: of its equations, the first of each.
    """

    where: Where
    text: str
    arithmetic: bool
    pairs: list[Pair] = field(default_factory=list)
    targets: list = field(default_factory=list)
    indices: dict = field(default_factory=dict)
    augmented: types.CodeType | None = None
    mutants: dict = field(default_factory=dict)
    made: int = 0
    runs: int = 0
    values: set = field(default_factory=set)
    draws: list = field(default_factory=list)
    repeats: bool = False
    failures: dict = field(default_factory=dict)

    def equations(self, relation):
        """[(pair, equation)] of that relation."""
        return [(pair, e) for pair in self.pairs for e in pair.equations if e.relation == relation]

    @property
    def yields_whole_numbers(self):
        return self.values == {True}


@dataclass
class File:
    """A source file, ready to run.

    Attributes:
        path: what messages call it, relative to the package's folder.
        code: compiled, with its statements reporting.
        statements: {line: Statement}.
        failures: pairs that could not be read.
    """

    path: str
    code: types.CodeType
    statements: dict[int, Statement]
    failures: list[Failure]


def instrument(source, path, filename):
    """Read a file's pairs and compile it so that they are seen at work.

    Args:
        source: its text.
        path: what messages call it.
        filename: what tracebacks call it.
    Returns:
        File.
    Raises:
        SyntaxError: it is no Python.
    """
    pairs, failures = find_pairs(source, path)
    rewriter = Rewriter(pairs, path, filename)
    tree = ast.fix_missing_locations(Widen().visit(rewriter.rewrite(ast.parse(source))))
    return File(path, compile(tree, filename, "exec"), rewriter.statements, failures + rewriter.failures)


class Rewriter(ast.NodeTransformer):
    def __init__(self, pairs, path, filename):
        self.path, self.filename = path, filename
        self.waiting = {}
        for pair in pairs:
            self.waiting.setdefault(pair.where.line, []).append(pair)
        self.statements, self.failures, self.modules = {}, [], set()

    def rewrite(self, tree):
        self.modules = {
            alias.asname or alias.name.split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        return self.visit(tree)

    def visit(self, node):
        if isinstance(node, STATEMENTS):
            return self.statement(node)
        if changes_in_place(node):
            self.keep(node)
        return self.generic_visit(node)

    def keep(self, node, **more):
        where = Where(self.path, node.lineno)
        text = ast.unparse(node)
        self.statements[node.lineno] = Statement(where, text, **{"arithmetic": True} | more)
        return self.statements[node.lineno]

    def statement(self, node):
        pairs = self.waiting.pop(node.lineno, [])
        arithmetic = node.value is not None and (
            isinstance(node, ast.AugAssign) and is_operator(node.op) or is_arithmetic(node.value)
        )
        second = node.lineno in self.statements  # on its line, so that it can have no pair
        if second or node.value is None or not (pairs or arithmetic):
            return self.generic_visit(node)
        kept = self.keep(node, arithmetic=arithmetic, pairs=pairs)
        return self.paired(node, kept) if pairs else self.unpaired(node)

    def unpaired(self, node):
        call = ast.parse(f"__value__({node.lineno}, {isinstance(node, ast.AugAssign)}, 0)", mode="eval").body
        call.args[-1], node.value = node.value, call
        return self.generic_visit(node)

    def paired(self, node, kept):
        value = node.value
        targets = getattr(node, "targets", None) or ([node.target] if hasattr(node, "target") else [])
        if isinstance(node, ast.AugAssign):
            value = ast.BinOp(as_value(node.target), node.op, value)
            kept.augmented = self.compile(as_value(node.target))
        kept.targets = [target_names(t) for t in targets]
        kept.indices = {name_of(t): self.compile(t.slice) for t in targets if isinstance(t, ast.Subscript)}
        if kept.equations(EQUALS):
            self.refuse_if(value, kept)
            codes = {ast.unparse(m): m for m in mutants(value, self.modules)}
            codes.pop(ast.unparse(value), None)
            kept.mutants = {text: self.compile(m) for text, m in codes.items()}
            kept.made = len(kept.mutants)
        kept.draws = [[] for _ in kept.equations(DRAWN)]
        call = ast.parse(f"__pair__({node.lineno}, __before__(locals()), globals(), 0)", mode="eval").body
        call.args[-1] = value
        if isinstance(node, ast.AugAssign):
            node = ast.copy_location(ast.Assign(targets, call), node)
        node.value = call
        return node

    def compile(self, expression):
        tree = Widen().visit(copy.deepcopy(ast.Expression(expression)))
        return compile(ast.fix_missing_locations(tree), self.filename, "eval")

    def refuse_if(self, value, kept):
        if any(isinstance(n, ast.IfExp) for n in ast.walk(value)):
            what = "a paired statement holds no `if` expression: write an `if` statement, with a pair in each arm"
            self.failures.append(Failure(kept.where, what, (str(kept.pairs[0]), kept.text)))


def is_operator(op):
    return not isinstance(op, ast.FloorDiv | ast.Mod | ast.BitOr | ast.BitAnd | ast.BitXor | ast.LShift | ast.RShift)


def as_value(target):
    return ast.parse(ast.unparse(target), mode="eval").body


def target_names(target):
    """A variable's or attribute's name; "c[]" for an element of c; a list of these for a tuple."""
    if isinstance(target, ast.Tuple | ast.List):
        return [target_names(t) for t in target.elts]
    return name_of(target) + "[]" * isinstance(target, ast.Subscript)


def name_of(target):
    if isinstance(target, ast.Subscript | ast.Starred):
        return name_of(target.value)
    return getattr(target, "attr", getattr(target, "id", ""))
