r"""Shows the TeX of a pair: as pictures, which look the same in every notebook viewer, or as Unicode text for a
terminal.

Pictures, since neither MathJax nor inline SVG survives everywhere: an untrusted notebook in JupyterLab, or one on
GitHub, keeps of an HTML output little more than tables and images. They bring their own white ground along, so that
they can be read in a dark theme too.
"""

import base64
import functools
import html
import io

import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import MathTextParser
from PIL import Image

from minidiff.papers.tex.tokens import BRACKETS, Group, TexError, nest, tex

PIXELS_PER_INCH = 192  # twice as many as are shown, for fine screens
FONT = FontProperties(size=12, math_fontfamily="dejavuserif")  # its thin strokes survive where pixels are large
MARGIN = 8  # pixels of white around a formula
LINE = 860  # pixels; a longer formula is broken before a +, a - or a relation
GREYS = 8

ONE_ARGUMENT = {
    r"\sqrt": r"\sqrt",
    r"\mathcal": r"\mathcal",
    r"\mathrm": r"\mathrm",
    r"\mathbf": r"\mathbf",
    r"\text": r"\mathrm",
    r"\operatorname": r"\mathrm",
    r"\overline": r"\overline",
}
FRACTIONS = {r"\frac", r"\tfrac"}
INSTEAD = {r"\lVert": r"\Vert ", r"\rVert": r"\Vert ", r"\lvert": "|", r"\rvert": "|", r"\qquad": r"\quad\quad "}
NOT_NEEDED = {r"\big", r"\Big", r"\bigl", r"\bigr"}
BREAK_BEFORE = {"+", "-", "=", r"\leftarrow", r"\sim"}


def picture(source):
    r"""TeX as HTML: one `<img>` a line that holds its data, and the formula as text for those who cannot see it.

    What cannot be typeset stands there as it is written.
    """
    try:
        lines = [(line, *png(mathtext(line))) for line in broken(nest(source, spaces=True))]
    except (TexError, ValueError):
        return f"<code>{html.escape(source)}</code>"
    return "<br>".join(
        f'<img src="data:image/png;base64,{data}" width="{width}" height="{height}" alt="{html.escape(plain(line))}" '
        f'style="max-width:100%;height:auto;margin:1px 0">'
        for line, data, width, height in lines
    )


@functools.lru_cache(maxsize=1000)
def png(formula):
    """(base64, width, height) of a formula in matplotlib's own TeX, black on white; shown at that size."""
    coverage = np.asarray(rasterised(formula).image)
    grey = 255 - np.pad(coverage, MARGIN)
    levels = (np.rint(grey / 255 * (GREYS - 1)) * (255 / (GREYS - 1))).astype("uint8")
    data = io.BytesIO()
    Image.fromarray(levels).quantize(GREYS).save(data, "PNG", optimize=True)
    height, width = levels.shape
    return base64.b64encode(data.getvalue()).decode(), width // 2, height // 2


@functools.cache
def parser():
    return MathTextParser("agg")


def rasterised(formula):
    return parser().parse(f"${formula}$", PIXELS_PER_INCH, FONT)


def broken(tokens):
    """The tokens in as few lines as fit into LINE, each but the first begun with white space."""
    lines = [[]]
    for piece in pieces(tokens):
        if lines[-1] and rasterised(mathtext(lines[-1] + piece)).width > LINE:
            lines.append([r"\quad", " "])
        lines[-1] += piece
    return lines


def pieces(tokens):
    """The tokens cut before each +, - and relation that stands outside brackets."""
    cut = [[]]
    for token in tokens:
        before = tex(cut[-1]).strip()
        if isinstance(token, str) and token in BREAK_BEFORE and before and not before.endswith(("=", "^", "_")):
            cut.append([])
        cut[-1].append(token)
    return cut


def mathtext(tokens, fraction=r"\dfrac"):
    r"""Nested tokens as the TeX that matplotlib reads: arguments in braces, its own names for some commands.

    Args:
        fraction: \dfrac, at full size, or \frac, small, inside of another one and in exponents.
    """
    out, rest = "", list(tokens)
    while rest:
        token = rest.pop(0)
        if isinstance(token, Group):
            opening, closing = (INSTEAD.get(b, b) for b in (token.open, BRACKETS[token.open]))
            small = out.endswith(("^", "_"))
            out += opening + mathtext(token, r"\frac" if small else fraction) + closing
        elif token in FRACTIONS:
            out += fraction + braced(rest, r"\frac") + braced(rest, r"\frac")
        elif token in ONE_ARGUMENT:
            out += ONE_ARGUMENT[token] + braced(rest, fraction)
        elif token not in NOT_NEEDED:
            token = INSTEAD.get(token, token)
            out += token + " " * (token[-1].isalpha() and token.startswith("\\") and token not in (r"\left", r"\right"))
    return out


def argument(rest):
    """Takes the argument of a command off the tokens: a group in braces, or one token; of a number one digit."""
    while rest and isinstance(rest[0], str) and rest[0].isspace():
        rest.pop(0)
    if not rest:
        raise TexError("the formula ends where an argument should stand")
    token = rest.pop(0)
    if isinstance(token, Group):
        return list(token) if token.open == "{" else [token]
    if token.isdigit() and token[1:]:
        rest.insert(0, token[1:])
        token = token[0]
    return [token]


def braced(rest, fraction):
    return "{" + mathtext(argument(rest), fraction) + "}"


NAMES = (  # in the order of the alphabet
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho varsigma sigma tau "
    "upsilon phi chi psi omega"
)
SIGNS = (
    {f"\\{name}": chr(ord("α") + k) for k, name in enumerate(NAMES.split())}
    | {f"\\{name.capitalize()}": chr(ord("Α") + k) for k, name in enumerate(NAMES.split()) if k != 17}
    | {
        r"\varepsilon": "ε",
        r"\epsilon": "ϵ",
        r"\varphi": "φ",
        r"\vartheta": "ϑ",
        r"\ell": "ℓ",
        r"\cdot": "·",
        r"\odot": "⊙",
    }
    | {
        r"\sum": "∑",
        r"\prod": "∏",
        r"\int": "∫",
        r"\leftarrow": "←",
        r"\sim": "~",
        r"\ne": "≠",
        r"\mid": "|",
        r"\top": "ᵀ",
        "-": "−",
    }
    | {
        r"\quad": "   ",
        r"\qquad": "      ",
        r"\,": " ",
        r"\;": " ",
        r"\:": " ",
        r"\ ": " ",
        r"\!": "",
        "'": "′",
        r"\_": "_",
    }
    | dict.fromkeys((r"\left", r"\right", *NOT_NEEDED), "")
)
ACCENTS = {r"\bar": "\u0304", r"\tilde": "\u0303", r"\hat": "\u0302"}
RAISED = dict(zip("0123456789+−()ni", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱ")) | {"ᵀ": "ᵀ"}
LOWERED = dict(zip("0123456789+−()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ"))


def unicode_text(source):
    r"""TeX as one line of Unicode text: `\bar\alpha_{t-1}` is ᾱₜ₋₁. What cannot be read stays as it is written."""
    try:
        return plain(nest(source, spaces=True))
    except TexError:
        return source


def plain(tokens):
    """Nested tokens as text."""
    out, rest = "", list(tokens)
    while rest:
        token = rest.pop(0)
        if isinstance(token, Group):
            inner = plain(token)
            out += {"{": inner, r"\lVert": f"‖{inner}‖", r"\lvert": f"|{inner}|"}.get(
                token.open, f"{token.open}{inner}{BRACKETS[token.open]}"
            )
        elif token in FRACTIONS:
            out += f"{in_brackets(plain(argument(rest)))}/{in_brackets(plain(argument(rest)))}"
        elif token == r"\sqrt":
            out += f"√{in_brackets(plain(argument(rest)))}"
        elif token == r"\overline":
            out += f"mean({plain(argument(rest))})"
        elif token in ACCENTS:
            letter = plain(argument(rest))
            out += letter[:1] + ACCENTS[token] + letter[1:]
        elif token in ONE_ARGUMENT:
            out += plain(argument(rest))
        elif token == "_":
            out += moved(plain(argument(rest)), LOWERED, "_")
        elif token == "^":
            out += moved(plain(argument(rest)), RAISED, "^")
        else:
            out += SIGNS.get(token, " " if token.isspace() else token.removeprefix("\\"))
    return " ".join(out.split()) if "   " not in out else out.strip()


def moved(text, signs, mark):
    """Text as small signs below or above the line, where Unicode has them all; else behind a mark."""
    text = text.replace(" ", "")
    if all(c in signs for c in text):
        return "".join(signs[c] for c in text)
    return mark + (text if len(text) == 1 else f"{{{text}}}")


def columns(text):
    """How wide the text is in a terminal, where an accent takes no room."""
    return sum(not "\u0300" <= sign <= "\u036f" for sign in text)


def in_brackets(text):
    """Brackets around what is more than one letter with what hangs on it."""
    if text.startswith("√(") and text.find(")") == len(text) - 1:
        return text
    return f"({text})" if any(sign in text for sign in " +−·/=") or "√" in text[1:] else text
