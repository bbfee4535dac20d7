r"""TeX as MathML, which browsers set themselves: `\frac{x_t}{2}` is <mfrac><msub>...</msub><mn>2</mn></mfrac>.

MathML breaks no lines. So a formula comes in pieces, cut before each + and - that stands outside brackets; the page
puts them side by side and lets them wrap like words.
"""

from functools import partial
from html import escape

from minidiff.papers.tex.equations import Reader
from minidiff.papers.tex.formula import FUNCTIONS
from minidiff.papers.tex.tokens import BRACKETS, CODE_NAMES, FONTS, GREEK, SPACES, Group, name, nest, split
from minidiff.papers.tex.typeset import SIGNS

THIN = {r"\,": ".17em", r"\:": ".22em", r"\;": ".28em", r"\ ": ".25em", r"\!": "0"}
FENCES = {r"\lVert": "‖", r"\rVert": "‖", r"\lvert": "|", r"\rvert": "|"}
ACCENTS = {"bar": "¯", "hat": "ˆ", "tilde": "˜"}
BINARY = {"+": "+", "-": "−", "=": "=", "/": "/", r"\leftarrow": "←", r"\sim": "∼", r"\ne": "≠"}
BINARY |= {r"\cdot": "⋅", r"\odot": "⊙", r"\mid": "|", "|": "|"}
RELATIONS = {"=", r"\leftarrow", r"\sim", r"\ne"}
SEPARATORS = {",": ",", ";": ";"}
BIG = {r"\sum": "∑", r"\prod": "∏", r"\int": "∫"}
TALL = ("<mfrac", "<munder", "<msqrt", "<mover>")  # brackets around these grow with them
LETTERS_OF_CODE = {code: f"\\{tex}" for tex, code in CODE_NAMES.items()}
UPRIGHT = {r"\mathrm", r"\text", r"\operatorname"}
MANY = 3  # terms
SCRIPT = dict(zip("BEFHILMR", "ℬℰℱℋℐℒℳℛ"))  # the capitals whose script form is older than the others' block in Unicode


def mathml(source, mark=lambda letter: ""):
    r"""TeX as MathML.

    Args:
        source: without dollar signs; \quad between the equations of a tuple.
        mark: makes the attributes of a letter's elements of its Letter: `class="v-3"`.
    Returns:
        list of equations, each a list of strings <math>...</math> between which a line may break.
    Raises:
        TexError: a bracket is not closed, or there is a command that no pair may hold.
    """
    tokens = without_blanks(nest(source, spaces=True))
    return [pieces(part, mark) for part in split(tokens, {r"\quad", r"\qquad"})]


def letter_mathml(letter):
    """A Letter alone, without its arguments."""
    return f"<math>{scripts(*Setter([], mark=None).parts(letter))}</math>"


def without_blanks(tokens, drop=SPACES - THIN.keys()):
    """The tokens without those that leave no trace in MathML, in brackets too."""
    kept = (without_blanks(t, drop) if isinstance(t, Group) else t for t in tokens)
    return Group(tokens.open, (t for t in kept if isinstance(t, Group) or not (t.isspace() or t in drop)))


def pieces(tokens, mark):
    """One equation; what stands left of its first relation stays with the first term."""
    return [f'<math displaystyle="true"><mrow>{piece}</mrow></math>' for piece in terms(tokens, mark)]


def terms(tokens, mark):
    """Its MathML, cut where a line may break: between terms, and in brackets around MANY of them if none is tall."""
    setter, cut, related = Setter(tokens, mark), [""], False
    while setter.rest:
        term_ends = setter.at("+", "-") and setter.last not in {"", *BINARY}
        if term_ends or (related and setter.at(*RELATIONS)):
            cut.append("")
        related = related or setter.at(*RELATIONS)
        first, *more = many_terms(setter) or [setter.item()]
        cut[-1] += first
        cut += more
    return cut


def many_terms(setter):
    """The brackets that come next, cut into their terms; None where they stay whole."""
    if setter.at_group("(") and setter.rest[1:2] != ["^"]:
        inner = terms(setter.rest[0], setter.mark)
        if len(inner) >= MANY and not any(tall in "".join(inner) for tall in TALL):
            setter.last = setter.next().open
            left, right = (f'<mo form="{form}" stretchy="false">' for form in ("prefix", "postfix"))
            inner[0], inner[-1] = f"{left}(</mo>{inner[0]}", f"{inner[-1]}{right})</mo>"
            return inner


class Setter(Reader):
    """Sets a list of tokens one after another; what a letter is, it knows from Reader.

    Attributes:
        last: the token that was set before, "" at the start.
    """

    def __init__(self, tokens, mark):
        super().__init__(tokens)
        self.mark, self.last = mark, ""

    def row(self):
        """All of them, as one element."""
        items = []
        while self.rest:
            items.append(self.item())
        return items[0] if len(items) == 1 else f"<mrow>{''.join(items)}</mrow>"

    def set(self, tokens, mark=None):
        return Setter(tokens, self.mark if mark is None else mark).row()

    def item(self):
        """The next token, with its arguments and with what stands above and below it."""
        before, token = self.last, self.rest[0]
        self.last = token.open or "{" if isinstance(token, Group) else token
        if isinstance(token, Group):
            return self.scripted(self.brackets(self.next()))
        if self.at_number():
            return self.scripted(f"<mn>{self.next()}</mn>")
        if token in THIN:
            return f'<mspace width="{THIN[self.next()]}"/>'
        if token in SEPARATORS:
            return f'<mo separator="true">{self.next()}</mo>'
        if token in BINARY:
            form = "infix" if before and before not in BINARY | SEPARATORS else "prefix"
            tight = ' lspace="0" rspace="0"' if token == "/" else ""
            return f'<mo form="{form}" stretchy="false"{tight}>{BINARY[self.next()]}</mo>'
        if self.accept(r"\frac", r"\tfrac"):
            small = ' displaystyle="false"' if token == r"\tfrac" else ""
            return self.scripted(f"<mfrac{small}>{self.set(self.braced())}{self.set(self.braced())}</mfrac>")
        if self.accept(r"\sqrt"):
            return self.scripted(f"<msqrt>{self.set(self.braced())}</msqrt>")
        if self.accept(r"\overline"):
            inner = self.set(self.braced())
            return self.scripted(f'<mover>{inner}<mo stretchy="true">‾</mo></mover>')
        if token in BIG:
            sides = token == r"\int"  # its ends stand beside it
            return self.scripted(f'<mo largeop="true">{BIG[self.next()]}</mo>', limits=not sides)
        if self.accept(r"\arg"):
            function = self.next().removeprefix("\\")
            return self.scripted(f'<mrow><mi>arg</mi><mspace width=".17em"/><mi>{function}</mi></mrow>', limits=True)
        if self.accept(r"\top"):
            return "<mo>⊤</mo>"
        return self.letter_or_function()

    def brackets(self, group):
        inner = self.set(group)
        if group.open in ("{", ""):
            return inner
        stretchy = "true" if any(tall in inner for tall in TALL) else "false"
        left, right = (FENCES.get(sign, sign) for sign in (group.open, BRACKETS[group.open]))
        return (
            f'<mrow><mo form="prefix" fence="true" stretchy="{stretchy}">{left}</mo>{inner}'
            f'<mo form="postfix" fence="true" stretchy="{stretchy}">{right}</mo></mrow>'
        )

    def letter_or_function(self):
        font = self.rest[0] if self.at(*FONTS) else None
        letter = self.letter()
        if letter.base in FUNCTIONS:
            function = self.scripted(f"<mi>{letter.base}</mi>")
            return function + ("<mo>&#x2061;</mo>" if self.at_group("(") else "")
        base, below, primes = self.parts(letter, font)
        marked = partial(with_attributes, attributes=self.mark(letter))
        if not self.accept("^"):
            return marked(scripts(base, below, primes))
        power = self.set(self.braced())  # no part of the letter, but above what is below it
        return scripts(marked(base), below and marked(below), f"<mrow>{primes}{power}</mrow>" if primes else power)

    def parts(self, letter, font=None):
        """The letter with its accents, what is below it, and its primes."""
        base = glyph(letter.base, font)
        for accent in letter.accents:
            base = f'<mover accent="true">{base}<mo stretchy="false">{ACCENTS[accent]}</mo></mover>'
        below = f"<mn>{letter.digits}</mn>" if letter.digits else self.subscript(letter)
        return base, below, f'<mo lspace="0" rspace="0">{"′" * letter.primes}</mo>' if letter.primes else ""

    def subscript(self, letter):
        if letter.indices is None:  # a word
            return f"<mi>{escape(name(letter.subscript))}</mi>"
        return self.set(letter.subscript, mark=lambda letter: "") if letter.subscript else ""

    def scripted(self, base, limits=False):
        """`base` with the _ and ^ that follow it."""
        below = self.set(self.braced()) if self.accept("_") else ""
        above = self.set(self.braced()) if self.accept("^") else ""
        return scripts(base, below, above, limits)


def scripts(base, below, above, limits=False):
    if not (below or above):
        return base
    kinds = ("munder", "mover", "munderover") if limits else ("msub", "msup", "msubsup")
    kind = kinds[2 if below and above else 0 if below else 1]
    return f"<{kind}>{base}{below}{above}</{kind}>"


def with_attributes(element, attributes):
    return element.replace(">", f" {attributes}>", 1) if attributes else element


def glyph(base, font):
    r"""The letter of that name in code: `eps` is ϵ; a word stays as it is, upright."""
    sign = SIGNS.get(LETTERS_OF_CODE.get(base, f"\\{base}" if base in GREEK else ""), base)
    if font == r"\mathcal" and len(sign) == 1 and sign.isascii() and sign.isupper():
        sign = SCRIPT.get(sign) or chr(0x1D49C + ord(sign) - ord("A"))
    if len(sign) == 1 and (font in UPRIGHT or sign in "ΓΔΘΛΞΠΣΥΦΨΩ"):
        return f'<mi mathvariant="normal">{sign}</mi>'
    bold = ' style="font-weight:bold"' if font == r"\mathbf" else ""
    return f"<mi{bold}>{escape(sign)}</mi>"
