r"""The formulas that TeX is read into, and their values.

A formula is a tree of nodes. Its value is computed in a Scope, the variables of the code beside it, in float64. What
an operation does is said here once: `Product` says when two capitals multiply as matrices, `Letter` says which
variable a letter is.
"""

import math
import operator
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields

import numpy as np
import torch
from torch.nn import functional as F

from minidiff.papers.tex import tokens

GAUSS_POINTS, GAUSS_WEIGHTS = np.polynomial.legendre.leggauss(20)  # exact for polynomials up to degree 39


class ValueMissing(LookupError):
    """A formula has no value: a letter without a variable, an index outside its table, a word that has two meanings."""


def number(value):
    """`value`, a number, an array, a tensor or a list of them, as a float64 tensor without gradient."""
    if isinstance(value, list | tuple):
        return torch.stack([number(v) for v in value])
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(value.copy())  # torch takes no array that runs backwards
    if isinstance(value, torch.Tensor):
        if value.is_complex():
            raise ValueMissing("a complex number: pairs compare real ones; pair its real and imaginary parts")
        return value.detach().to("cpu", torch.float64)
    return torch.as_tensor(value, dtype=torch.float64)


def sum_of_each_sample(x):
    """Over all dimensions but the first, which is the batch; of a vector, over its only one."""
    x = number(x)
    return x.sum(dim=tuple(range(min(1, x.ndim - 1), x.ndim)), keepdim=x.ndim > 1) if x.ndim else x


FUNCTIONS = {
    "exp": torch.exp,
    "log": torch.log,
    "ln": torch.log,
    "sin": torch.sin,
    "cos": torch.cos,
    "tanh": torch.tanh,
    "erf": torch.erf,
    "atan2": torch.atan2,
    "max": torch.maximum,
    "min": torch.minimum,
    "clip": torch.clamp,
    "round": torch.round,
    "floor": torch.floor,
    "softmax": lambda x: torch.softmax(x, dim=-1),
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "gelu": F.gelu,
    "sg": lambda x: x,  # stop-gradient: the value is the same
}
ARGUMENTS = {"atan2": 2, "max": 2, "min": 2, "clip": 3}  # the other functions have one
WRAPPERS = {
    r"\sqrt": lambda x: number(x) ** 0.5,
    r"\overline": lambda x: number(x).mean(),
    r"\lVert": lambda x: sum_of_each_sample(number(x) ** 2) ** 0.5,
    r"\lvert": lambda x: number(x).abs(),
    r"\sum": sum_of_each_sample,
}


class Scope:
    """Where letters are looked up: local variables, then attributes of `self`, then of `self.config`.

    Args:
        variables: mapping of the local variables.
        bound: the values of the indices of sums, products, integrals and left sides.
    """

    def __init__(self, variables, bound=None):
        self.variables, self.bound = variables, dict(bound or {})
        self.arguments = {}  # letter -> the argument list it has been written with
        self.lengths = {}  # index -> the lengths of what it ran over

    def bind(self, **indices):
        inner = Scope(self.variables, self.bound | indices)
        inner.arguments, inner.lengths = self.arguments, self.lengths
        return inner

    def find(self, name):
        """The value of that name, or None."""
        for variables in (self.variables.get, self.attribute, self.config):
            value = variables(name)
            if value is not None and not isinstance(value, str):
                return value
        return None

    def attribute(self, name):
        return getattr(self.variables.get("self"), name, None)

    def config(self, name):
        return getattr(self.attribute("config"), name, None)


class Node(ABC):
    """A formula. `matrix`: written with single capitals, so that beside another such one it multiplies as a matrix."""

    matrix = False

    @abstractmethod
    def value(self, scope):
        """What the formula is worth with the variables in `scope`, a Scope."""

    def letters(self):
        """All Letters in the formula, those in subscripts and arguments too."""
        for part in (getattr(self, f.name) for f in fields(self)):
            for node in part if isinstance(part, tuple) else (part,):
                if isinstance(node, Node):
                    yield from node.letters()


@dataclass
class Number(Node):
    number: int | float

    def value(self, scope):
        return self.number


@dataclass
class Sum(Node):
    left: Node
    sign: str
    right: Node

    def __post_init__(self):
        self.matrix = self.left.matrix or self.right.matrix

    def value(self, scope):
        plus_or_minus = operator.add if self.sign == "+" else operator.sub
        return plus_or_minus(self.left.value(scope), self.right.value(scope))


@dataclass
class Negative(Node):
    node: Node

    def __post_init__(self):
        self.matrix = self.node.matrix

    def value(self, scope):
        return -self.node.value(scope)


@dataclass
class Product(Node):
    r"""Two factors. Only those that stand side by side, without a sign between them, can be matrices to multiply."""

    left: Node
    right: Node
    side_by_side: bool

    def __post_init__(self):
        self.matrix = self.left.matrix or self.right.matrix

    def value(self, scope):
        left, right = self.left.value(scope), self.right.value(scope)
        dimensions = sorted(map(np.ndim, (left, right)))
        if not (self.side_by_side and self.left.matrix and self.right.matrix) or dimensions[0] == 0:
            return left * right
        if dimensions[0] == 1:
            raise ValueMissing(
                r"two capitals side by side multiply as matrices, and one of these is a vector: write \odot for entries"
            )
        return left @ right


@dataclass
class Quotient(Node):
    top: Node
    bottom: Node
    slash: bool

    def __post_init__(self):
        self.matrix = self.top.matrix

    def value(self, scope):
        return self.top.value(scope) / self.bottom.value(scope)


@dataclass
class Power(Node):
    base: Node
    exponent: Node

    def value(self, scope):
        base = number(self.base.value(scope))
        if self.base.matrix and base.ndim > 1:
            raise ValueMissing(
                r"the power of a matrix can be read two ways: write A^\top for the transpose, A \odot A for the entries"
            )
        return base ** self.exponent.value(scope)


@dataclass
class Transposed(Node):
    node: Node
    matrix = True

    def value(self, scope):
        return number(self.node.value(scope)).mT


@dataclass
class Function(Node):
    name: str
    args: tuple

    def __post_init__(self):
        self.matrix = self.name == "softmax" and self.args[0].matrix

    def value(self, scope):
        return FUNCTIONS[self.name](*(number(a.value(scope)) for a in self.args))


@dataclass
class Wrapper(Node):
    """A root, a mean, a norm, an absolute value, or a sum over each sample."""

    kind: str
    node: Node

    def value(self, scope):
        return WRAPPERS[self.kind](self.node.value(scope))


@dataclass
class Concatenation(Node):
    parts: tuple

    def value(self, scope):
        parts = [number(p.value(scope)) for p in self.parts]
        return torch.cat(parts, dim=min(1, parts[0].ndim - 1))


@dataclass
class Reduction(Node):
    r"""`\sum_{j=a}^b`, `\prod_{m=a, m \ne j}^b`, `\sum_j`, `\arg\min_j`: `kind` of `body` for each value of `index`.

    Without bounds, `low` is None and the index runs over all entries of what it indexes.
    """

    kind: str
    index: str
    low: Node | None
    high: Node | None
    without: Node | None
    body: Node

    def value(self, scope):
        terms = [number(self.body.value(scope.bind(**{self.index: j}))) for j in self.values_of_index(scope)]
        if self.kind == r"\arg":
            return torch.stack(terms).argmin(dim=0)
        return sum(terms) if self.kind == r"\sum" else math.prod(terms)

    def values_of_index(self, scope):
        if self.low is None:
            return range(self.common_length(scope))
        left_out = None if self.without is None else self.without.value(scope)
        low, high = (whole(end.value(scope), f"a bound of {self.kind}") for end in (self.low, self.high))
        return [j for j in range(low, high + 1) if j != left_out]

    def common_length(self, scope):
        scope.lengths[self.index] = set()
        self.body.value(scope.bind(**{self.index: 0}))
        lengths = scope.lengths[self.index]
        if len(lengths) != 1:
            found = f"tables of {sorted(lengths)} entries" if lengths else "no table at all"
            raise ValueMissing(f"{self.kind}_{self.index} without bounds runs over {found}: write its bounds")
        return lengths.pop()


@dataclass
class Integral(Node):
    low: Node
    high: Node
    variable: str
    body: Node

    def value(self, scope):
        low, high = float(self.low.value(scope)), float(self.high.value(scope))
        middle, half = (low + high) / 2, (high - low) / 2
        return sum(
            weight * half * self.body.value(scope.bind(**{self.variable: middle + half * point}))
            for point, weight in zip(GAUSS_POINTS.tolist(), GAUSS_WEIGHTS.tolist())
        )


@dataclass
class Letter(Node):
    r"""A letter of the paper, as in `\hat x_0`, `\bar\alpha_{t-1}`, `d_i'`.

    Attributes:
        base: the letter's name in code, without anything on it.
        digits: of the subscript, where it holds nothing else.
        accents: from the inside out.
        subscript: its tokens, where it is no digits.
        indices: the subscript read as formulas, one for each entry of its list; None where it is a word.
        primes: how many.
        arguments: formulas in the parentheses after it, or None; `argument_list`: their TeX.
    """

    base: str
    digits: str = ""
    accents: tuple = ()
    subscript: list = field(default_factory=list)
    indices: tuple | None = ()
    primes: int = 0
    arguments: tuple | None = None
    argument_list: str = ""

    def __post_init__(self):
        self.matrix = len(self.base) == 1 and self.base.isupper()

    def letters(self):
        yield self
        yield from super().letters()

    @property
    def plain(self):
        """The name without subscript: alpha_bar, x_0_hat, d_prime. So is the table called that an index looks into."""
        return "_".join(filter(None, [self.base, self.digits, *self.accents])) + "_prime" * self.primes

    @property
    def name(self):
        """The variable it names: alpha_bar_prev, eps_next2, d_i_prime; None where a subscript can only be an index."""
        words = subscript_in_code(self.subscript)
        if words is None:
            return None
        return "_".join(filter(None, [self.base, self.digits, *self.accents, words])) + "_prime" * self.primes

    def __str__(self):
        return self.name or f"{self.plain}[{tokens.name(self.subscript)}]"

    def value(self, scope):
        value = self.found(scope)
        if callable(value) and not isinstance(value, torch.Tensor):
            if self.arguments is None:
                raise ValueMissing(
                    f"{self} is a function: write its arguments, a list or one letter, right behind it in parentheses"
                )
            return value(*(a.value(scope) for a in self.arguments))
        if self.arguments is not None:
            self.remember_arguments(scope)
        return value if isinstance(value, int) else number(value)

    def found(self, scope):
        """The variable or the entry of a table that this letter is."""
        if not self.subscript and self.plain in scope.bound:
            return scope.bound[self.plain]
        if self.name and not self.has_bound_index(scope) and (value := scope.find(self.name)) is not None:
            return value
        if self.subscript and self.indices and (table := scope.find(self.plain)) is not None:
            for index in self.indices:
                table = self.entry(table, index, scope)
            return table
        if (
            self.digits
            and (table := scope.find("_".join([self.base, *self.accents]) + "_prime" * self.primes)) is not None
        ):
            return self.entry(table, Number(int(self.digits)), scope)
        if self.plain == "pi":
            return math.pi
        raise ValueMissing(f"the letter {self} has no variable of that name, here, in self or in self.config")

    def has_bound_index(self, scope):
        return any(letter.plain in scope.bound for index in self.indices or () for letter in index.letters())

    def entry(self, table, index, scope):
        place = number(index.value(scope))
        try:
            length = len(table)
        except TypeError:
            raise ValueMissing(
                f"{self} has no variable of that name, and {self.plain} is no table to take an entry of"
            ) from None
        if isinstance(index, Letter) and index.plain in scope.lengths:
            scope.lengths[index.plain].add(length)
        outside = (place != place.round()) | (place < 0) | (place >= length)
        if outside.any():
            entry = place[outside].flatten()[0].item()
            raise ValueMissing(f"{self} looks at entry {entry:g} of {self.plain}, which has 0 to {length - 1}")
        return table[int(place)] if place.ndim == 0 else number(table)[place.long()]

    def remember_arguments(self, scope):
        before = scope.arguments.setdefault(str(self), self.argument_list)
        if before != self.argument_list:
            raise ValueMissing(f"{self} is one variable with two argument lists, ({before}) and "
                               f"({self.argument_list}): "
                               "give the two values two letters, as in \\epsilon_c and \\epsilon_u")  # fmt: skip


def subscript_in_code(subscript):
    r"""t-1 is prev, t+2\delta next2, t-\delta/2 mid, \theta theta, i,j i_j; None for what no variable can be called."""
    word = tokens.name(subscript).replace(",", "_")
    if step := re.fullmatch(r"[a-zA-Z]([-+])(\d*)(delta)?", word):
        sign, count, delta = step.groups()
        if count or delta:
            return {"-": "prev", "+": "next"}[sign] + ("" if count in ("", "1") else count)
    if re.fullmatch(r"[a-zA-Z][-+](delta|1)/2", word):
        return "mid"
    return word if re.fullmatch(r"\w*", word) else None


def whole(value, what):
    """`value` as an int. Raises ValueMissing where it is not one; `what` is what the message calls it."""
    if float(value) != round(float(value)):
        raise ValueMissing(f"{what} is {float(value):g}, not a whole number")
    return round(float(value))
