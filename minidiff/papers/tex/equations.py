r"""The TeX of a pair, read into equations.

    equations(r"\beta_t = 1 - \alpha_t")  ->  [Equation(left=Letter beta_t, relation="=", rights=[1 - alpha_t])]

The grammar is smaller than TeX's on purpose: what a reader could take in two ways is refused, not guessed.

    expression  [-] product { (+ | -) product }
    product     power { [/ | \cdot | \odot] power }       after a/b nothing more
    power       atom [^ exponent]
    atom        number | letter | function(...) | (...) | [..., ...] | \frac{}{} | \sqrt{} | \overline{} | \lVert \rVert
                | \sum | \prod | \arg\min | \int
"""

from dataclasses import dataclass

from minidiff.papers.tex.formula import (
    ARGUMENTS,
    FUNCTIONS,
    Concatenation,
    Function,
    Integral,
    Letter,
    Negative,
    Node,
    Number,
    Power,
    Product,
    Quotient,
    Reduction,
    Sum,
    Transposed,
    Wrapper,
)
from minidiff.papers.tex.tokens import ACCENTS, CODE_NAMES, FONTS, GREEK, Group, TexError, name, nest, split, tex

EQUALS, DRAWN, SHOWN = "=", "~", ""
RELATIONS = {"=": EQUALS, r"\leftarrow": EQUALS, r"\sim": DRAWN}


@dataclass
class Equation:
    r"""One equation of a pair.

    Attributes:
        left: the letter on its left, None for a line that is only shown.
        relation: EQUALS, DRAWN or SHOWN.
        rights: formulas; of a chain a = b = c two, of a draw its mean and its variance.
    """

    left: Letter | None
    relation: str
    rights: list[Node]

    def letters(self):
        """All Letters of the equation."""
        for node in filter(None, [self.left, *self.rights]):
            yield from node.letters()


def equations(source):
    r"""Read TeX.

    Args:
        source: one equation, or several with \quad between them.
    Returns:
        list of Equation.
    Raises:
        TexError: it is not the TeX described above; the message says where, and what to write instead.
    """
    parts = split(nest(source), {r"\quad", r"\qquad"})
    return [read_equation(part[:-1] if part[-1:] == [","] else part) for part in parts]


def read_equation(tokens):
    if not tokens:
        raise TexError("an equation is empty")
    found = [RELATIONS[t] for t in tokens if isinstance(t, str) and t in RELATIONS]
    if not found:
        return Equation(None, SHOWN, [])
    left, *rights = split(tokens, RELATIONS)
    if DRAWN in found:
        if len(found) > 1:
            raise TexError(r"\sim and another relation in one equation: write two, with \quad between them")
        return Equation(read_left(left), DRAWN, read_normal(rights[0]))
    return Equation(read_left(left), EQUALS, [Reader(r).whole() for r in rights])


def read_left(tokens):
    """The letter on the left; arguments behind it are dropped."""
    advice = (
        f"the left side is {tex(tokens)!r}; allowed is one letter: solve the formula for what the statement computes"
    )
    try:
        reader = Reader(tokens)
        letter = reader.letter()
    except TexError:
        raise TexError(advice) from None
    if reader.at_group("("):
        reader.next()
    if reader.rest or letter.base in FUNCTIONS:
        raise TexError(advice)
    return letter


def read_normal(tokens):
    r"""The mean and the variance in `\mathcal N(mean, variance I)`."""
    font, letter, *rest = [*tokens, "", ""]
    parameters = rest[0] if rest else ""
    normal = font == r"\mathcal" and letter in ("N", ["N"]) and isinstance(parameters, Group) and not any(rest[1:])
    parts = split(parameters, {","}) if normal else []
    if len(parts) != 2:
        raise TexError(rf"found \sim {tex(tokens)}; the only draw that is checked is \sim \mathcal N(mean, variance I)")
    mean, variance = parts
    return [Reader(mean).whole(), Reader([t for t in variance if t != "I"] or ["1"]).whole()]


class Reader:
    """Recursive descent over a list of tokens; `rest` is what has not been read yet."""

    def __init__(self, tokens):
        self.rest = list(tokens)

    def at(self, *tokens):
        return bool(self.rest) and isinstance(self.rest[0], str) and self.rest[0] in tokens

    def at_group(self, opening):
        return bool(self.rest) and isinstance(self.rest[0], Group) and self.rest[0].open == opening

    def at_number(self):
        return bool(self.rest) and isinstance(self.rest[0], str) and self.rest[0][0].isdigit()

    def accept(self, *tokens):
        """The next token if it is one of these, else None."""
        return self.rest.pop(0) if self.at(*tokens) else None

    def next(self, wanted=None):
        if not self.rest:
            raise TexError(f"the formula ends where {wanted or 'more'} should stand")
        if wanted and not self.at(wanted):
            raise TexError(f"{wanted} should stand before {tex(self.rest)!r}")
        return self.rest.pop(0)

    def whole(self):
        """All tokens as one formula."""
        node = self.expression()
        if self.rest:
            raise TexError(f"cannot read {tex(self.rest)!r}")
        return node

    def expression(self):
        sign = self.accept("-", "+")
        node = self.product()
        node = Negative(node) if sign == "-" else node
        while sign := self.accept("+", "-"):
            node = Sum(node, sign, self.product())
        return node

    def product(self):
        node = self.power()
        while self.rest and not self.at("+", "-"):
            if isinstance(node, Quotient) and node.slash:
                raise TexError(rf"{tex(self.rest)!r} behind a/b can be read two ways: use \frac or parentheses")
            sign = self.accept("/", r"\cdot", r"\odot")
            if sign is None and self.at_number():
                raise TexError(
                    rf"the number {self.rest[0]} stands behind another factor: put it first, or write \cdot between"
                )
            factor = self.power()
            node = (
                Quotient(node, factor, slash=True) if sign == "/" else Product(node, factor, side_by_side=sign is None)
            )
        return node

    def power(self):
        node = self.atom()
        if not self.accept("^"):
            return node
        if self.accept(r"\top"):
            return Transposed(node)
        exponent = self.braced()
        if len(exponent) == 1 and isinstance(exponent[0], Group) and exponent[0].open == "(":
            raise TexError(
                f"the superscript {tex(exponent)} looks like an index: write that as a subscript, a power without ( )"
            )
        return Power(node, Reader(exponent).whole())

    def atom(self):
        if self.rest and isinstance(self.rest[0], Group):
            return self.bracketed(self.next())
        if self.at_number():
            value = float(self.next())
            return Number(int(value) if value == int(value) else value)
        if self.accept(r"\frac", r"\tfrac"):
            return Quotient(self.argument(), self.argument(), slash=False)
        if wrapper := self.accept(r"\sqrt", r"\overline"):
            return Wrapper(wrapper, self.argument())
        if self.at(r"\sum") and self.rest[1:2] != ["_"]:
            return Wrapper(self.next(), self.product())
        if kind := self.accept(r"\sum", r"\prod", r"\arg"):
            return self.reduction(kind)
        if self.accept(r"\int"):
            return self.integral()
        letter = self.letter()
        return self.function(letter.base) if letter.base in FUNCTIONS else self.with_arguments(letter)

    def bracketed(self, group):
        if group.open == "[":
            return Concatenation(tuple(Reader(part).whole() for part in split(group, {","})))
        node = Reader(group).whole()
        return Wrapper(group.open, node) if group.open in (r"\lVert", r"\lvert") else node

    def braced(self):
        """The tokens of a group in braces, or one token; of a number that is one digit, as in TeX."""
        if self.rest and isinstance(self.rest[0], Group) and self.rest[0].open != "{":
            raise TexError(f"found {tex(self.rest[:1])} where a group in braces or one token should stand")
        token = self.next("a group in braces or one token") if not self.rest else self.next()
        if isinstance(token, Group):
            return token
        if token.isdigit() and token[1:]:
            self.rest.insert(0, token[1:])
        return [token[0] if token.isdigit() else token]

    def argument(self):
        return Reader(self.braced()).whole()

    def function(self, function):
        r"""`\cos(x)`, `\cos^2(x)`, `\max(a, b)`."""
        exponent = self.braced() if self.accept("^") else None
        if exponent is not None and not (len(exponent) == 1 and exponent[0] in "23456789"):
            raise TexError(
                f"{function}^{tex(exponent)} can be read two ways: put the function in parentheses before its power"
            )
        if not self.at_group("("):
            raise TexError(f"the argument of {function} stands in parentheses, as in \\{function}(x)")
        args = tuple(Reader(a).whole() for a in split(self.next(), {","}))
        if len(args) != ARGUMENTS.get(function, 1):
            raise TexError(f"{function} has {len(args)} arguments here; it takes {ARGUMENTS.get(function, 1)}")
        node = Function(function, args)
        return node if exponent is None else Power(node, Number(int(exponent[0])))

    def with_arguments(self, letter):
        r"""`(x, t)`, `(x; \sigma)` and `(t)`, a list or one letter, are arguments; `(1 - b)` is the next factor."""
        if not self.at_group("("):
            return letter
        parts = split(self.rest[0], {",", ";", "|", r"\mid"})
        if len(parts) > 1 or is_letter(parts[0]):
            letter.argument_list = tex(self.next())
            letter.arguments = tuple(Reader(part).whole() for part in parts)
        return letter

    def reduction(self, kind):
        if kind == r"\arg":
            self.next(r"\min")
        self.next("_")
        (index, *start), *conditions = split(self.braced(), {","})
        low = high = without = None
        if start[:1] == ["="]:
            low = Reader(start[1:]).whole()
            self.next("^")
            high = self.argument()
        elif start:
            raise TexError(
                rf"under {kind} stands an index, or an index = its first value; found {tex([index, *start])!r}"
            )
        for condition in conditions:
            if condition[:2] != [index, r"\ne"] or without or low is None:
                raise TexError(rf"behind the first value may stand {index} \ne j; found {tex(condition)!r}")
            without = Reader(condition[2:]).whole()
        body = self.product()
        if kind == r"\prod" and isinstance(body, Quotient) and body.slash:
            raise TexError(r"a/b behind \prod can be read two ways: use \frac or parentheses")
        return Reduction(kind, name([index]), low, high, without, body)

    def integral(self):
        r"""`\int_a^b f\, d\tau`, the last of its group."""
        self.next("_")
        low = self.argument()
        self.next("^")
        high = self.argument()
        if self.rest[-2:-1] != ["d"]:
            raise TexError(r"an integral ends its group with its variable, as in d\tau")
        body, variable = Reader(self.rest[:-2]).whole(), name(self.rest[-1:])
        self.rest = []
        return Integral(low, high, variable, body)

    def letter(self):
        base, accents, subscript = self.accented()
        if self.accept("_"):
            subscript = self.braced()
        primes = 0
        while self.accept("'"):
            primes += 1
        if subscript and all(isinstance(t, str) and t.isdigit() for t in subscript):
            return Letter(base, "".join(subscript), accents, primes=primes)
        return Letter(base, "", accents, list(subscript), read_indices(subscript), primes)

    def accented(self):
        r"""The letter's name, its accents from the inside out, and a subscript below the accent: `\bar{\alpha_t}`."""
        token = self.next("a letter") if not self.rest else self.next()
        if isinstance(token, Group):
            raise TexError(f"found {tex([token])} where a letter should stand")
        if token in ACCENTS:
            inner = Reader(self.braced()) if self.at_group("{") else self
            base, accents, subscript = inner.accented()
            if inner is not self:
                subscript = inner.braced() if inner.accept("_") else subscript
                if inner.rest:
                    raise TexError(f"{token} stands over {tex(inner.rest)!r}: an accent stands over one letter")
            return base, (*accents, token[1:]), subscript
        if token in FONTS:
            return name(self.braced()), (), []
        if token.isalpha() or token[1:] in GREEK or token[1:] in FUNCTIONS:
            return CODE_NAMES.get(token.removeprefix("\\"), token.removeprefix("\\")), (), []
        known = (
            r"a command for this: write \mathrm{word} for a word"
            if token.startswith("\\")
            else "a letter, a number or a bracket"
        )
        raise TexError(f"cannot read {token!r} in {tex([token, *self.rest])!r}; it is not {known}")


def read_indices(subscript):
    r"""The subscript as formulas, one for each entry of its list; None for a word such as `min` or `\max`."""
    if not subscript:
        return ()
    parts = split(subscript, {","})
    if any(len(part) > 1 and all(isinstance(t, str) and t.isalpha() for t in part) for part in parts):
        return None
    try:
        return tuple(Reader(part).whole() for part in parts)
    except TexError:
        return None


def is_letter(tokens):
    """Whether the tokens are one letter and nothing else."""
    reader = Reader(tokens)
    try:
        return reader.letter().base not in FUNCTIONS and not reader.rest
    except TexError:
        return False
