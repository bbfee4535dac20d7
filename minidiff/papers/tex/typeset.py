r"""Shows the TeX of a pair as Unicode text, for a terminal: `\bar\alpha_{t-1}` is ᾱₜ₋₁."""

from minidiff.papers.tex.formula import FUNCTIONS
from minidiff.papers.tex.tokens import BRACKETS, FONTS, Group, TexError, nest

FRACTIONS = {r"\frac", r"\tfrac"}
NOT_NEEDED = {r"\left", r"\right", r"\big", r"\Big", r"\bigl", r"\bigr"}


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
        r"\nabla": "∇",
        r"\in": "∈",
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
    | dict.fromkeys(NOT_NEEDED, "")
    | {f"\\{name}": name for name in (*FUNCTIONS, "arg")}
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
        elif token in FONTS:
            out += plain(argument(rest))
        elif token == "_":
            out += moved(plain(argument(rest)), LOWERED, "_")
        elif token == "^":
            out += moved(plain(argument(rest)), RAISED, "^")
        elif token.startswith("\\") and token not in SIGNS:
            raise TexError(f"{token} has no sign")
        else:
            out += SIGNS.get(token, " " if token.isspace() else token)
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
