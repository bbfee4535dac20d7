"""Plain text with the letters in it as Unicode, for documentation and glossary."""

import re
from html import escape

from minidiff.papers.tex.tokens import GREEK
from minidiff.papers.tex.typeset import unicode_text

TEX = re.compile(r"\\(?:bar|hat|tilde) ?\\?\w+(?:\{[^}]*\})?|[A-Za-z]_\{[^}]*\}|\\[a-z]+(?:_\w|_\{[^}]*\})?")
NAMES = "|".join(sorted(GREEK))
LETTER = re.compile(
    rf"\b(?P<base>{NAMES}|[A-Za-z])(?P<accent>-bar|-hat)?"
    rf"(?P<subscript>_(?:{NAMES}|\{{[^}}]*\}}|[A-Za-z0-9]))?(?![\w{{])"
)


def documentation(text):
    r"""A line of documentation as HTML: its `names` as code, its \eta and x_{t-1} as Unicode."""
    text = with_letters(TEX.sub(lambda match: unicode_text(match[0]), text.replace("->", "→")))
    return re.sub("`(.+?)`", r"<code>\1</code>", escape(text, quote=False))


def with_letters(text):
    """Text whose alpha-bar_t is ᾱₜ and whose x_0 is x₀; what stands in backticks stays."""

    def letter(match):
        base, accent, subscript = match["base"], match["accent"], (match["subscript"] or "")[1:]
        if len(base) == 1 and not (accent or subscript):
            return match[0]
        base, subscript = (f"\\{name}" if name in GREEK else name for name in (base, subscript))
        accented = f"\\{accent[1:]}{{{base}}}" if accent else base
        return unicode_text(f"{accented}_{subscript}" if subscript else accented)

    parts = re.split("(`.+?`)", text)
    return "".join(part if part.startswith("`") else LETTER.sub(letter, part) for part in parts)
