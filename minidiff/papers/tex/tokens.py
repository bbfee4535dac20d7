r"""TeX cut into tokens and nested by its brackets: `nest(r"\sqrt{1 - b}")` is [\sqrt, {1 - b}]."""

import re

TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|\d+\.\d+|\d+|[a-zA-Z]|[-+/^_={}()\[\],;'|]|\s+")
BRACKETS = {"(": ")", "[": "]", "{": "}", r"\lVert": r"\rVert", r"\lvert": r"\rvert"}
SPACES = {r"\,", r"\;", r"\!", r"\:", r"\ ", r"\left", r"\right", r"\big", r"\Big", r"\bigl", r"\bigr"}
FONTS = {r"\mathrm", r"\text", r"\operatorname", r"\mathbf", r"\mathcal"}
ACCENTS = {r"\bar", r"\tilde", r"\hat"}
GREEK = {
    *"alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu".split(),
    *"nu xi pi rho sigma tau upsilon phi varphi chi psi omega ell".split(),
    *"Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega".split(),
}
CODE_NAMES = {"epsilon": "eps", "varepsilon": "vareps", "lambda": "lamda"}  # the letters whose name in code is another


class TexError(ValueError):
    """The TeX of a pair cannot be read, or could be read in two ways."""


class Group(list):
    """The tokens between two brackets; `open` is the left one."""

    def __init__(self, opening, tokens=()):
        super().__init__(tokens)
        self.open = opening


def nest(tex, spaces=False):
    r"""The tokens of `tex`, those between two brackets as one Group.

    Args:
        tex: without dollar signs.
        spaces: keep white space, `\,`, `\left` and what else changes only the looks.
    Returns:
        Group whose `open` is "".
    Raises:
        TexError: a bracket is not closed, or a character is none of the TeX that pairs are written in.
    """
    tokens = TOKEN.findall(tex)
    if "".join(tokens) != tex:
        strange = next((c for c in tex if not TOKEN.match(c) and c != "\\"), "\\")
        raise TexError(
            f"cannot read {strange!r}; allowed are letters, digits, + - / ^ _ = ( ) [ ] {{ }} , ; ' | and TeX commands"
        )
    stack = [Group("")]
    for token in tokens:
        if token in BRACKETS:
            stack.append(Group(token))
        elif token in BRACKETS.values():
            opening = stack[-1].open
            if BRACKETS.get(opening) != token:
                raise TexError(f"{token} closes {opening or 'nothing'}: brackets stand in pairs")
            stack[-2].append(stack.pop())
        elif spaces or not (token.isspace() or token in SPACES):
            stack[-1].append(token)
    if len(stack) > 1:
        raise TexError(f"{stack[-1].open} is not closed")
    return stack[0]


def split(tokens, marks):
    """Lists of the tokens between the `marks`."""
    parts = [[]]
    for token in tokens:
        if isinstance(token, str) and token in marks:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def tex(tokens):
    """The tokens as TeX again, to be shown in messages."""
    words = ("".join((t.open, tex(t), BRACKETS[t.open])) if isinstance(t, Group) else t for t in tokens)
    return " ".join(words).strip()


def name(tokens):
    r"""The tokens as they stand in the name of a variable: `{\max}` is max, `t+2\delta` is t+2delta."""
    words = (
        name(t) if isinstance(t, Group) else t.removeprefix("\\")
        for t in tokens
        if isinstance(t, Group) or t not in FONTS
    )
    return "".join(CODE_NAMES.get(word, word) for word in words)
