"""A question with choices whose answer stays folded until somebody has chosen.

Plain HTML without a script, and each choice is a <details>, so it is alive wherever an output is shown at all: on a
static page, in a notebook without a kernel, and in one that JupyterLab does not trust, where fields and radio buttons
are dead.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from minidiff.papers.tex.typeset import unicode_text

MARKED = re.compile(r"\$([^$]+)\$|`([^`]+)`|\*\*(.+?)\*\*")  # TeX, code, bold
RIGHT, WRONG = "✓", "✗"
EDGE = "border:1px solid rgba(128,128,128,.5)"
FRAME = f"max-width:46em;padding:8px 14px 10px;{EDGE};border-radius:8px;text-align:left;line-height:1.5;color:inherit"
BUTTON = f"padding:4px 10px;margin:6px 0 0;{EDGE};border-radius:6px;cursor:pointer"
STYLE = """
.minidiff-ask summary:hover { background: rgba(128, 128, 128, .15); }
.minidiff-ask summary:focus-visible { outline: 2px solid #3572b0; outline-offset: 2px; }
"""


def ask(question, choices, right, because=""):
    r"""Ask before the page tells: each choice is a button that unfolds the answer.

    ask(
        "How many of 1,000 pictures can be named?",
        {"half": "So few it is after ten steps.", "nine of ten": "Counted: 94 %.", "all": "Some stay fog."},
        right="nine of ten",
        because="The longer the walk, the more.",
    )

    What unfolds: whether the choice is right, why, and what is said of the others, such as why they tempt. No script
    and no kernel is needed. The cell that asks holds the answer: keep the call in a module, or fold the cell
    (JupyterLab then still shows its first line). Ask for a number by choices too, a factor apart. All texts may hold
    `code`, **bold** and $\bar\alpha_t$, which becomes Unicode text; all else is shown as it is.

    Args:
        question: a sentence.
        choices: {choice: what is said of it}, or a list of choices; two or more.
        right: the right choice.
        because: what is said below the choices, such as what the notebook has just measured.
    Returns:
        Question: buttons in a notebook, question and choices as text in a terminal; its `.answer` is text.
    Raises:
        TypeError: a text is none, or `choices` are neither.
        ValueError: the question is empty, there are fewer than two choices, two are the same, or none of them is right.
    """
    if isinstance(choices, str) or not isinstance(choices, Mapping | list | tuple):
        raise TypeError(f"choices are a {type(choices).__name__}; allowed are a dict and a list of texts")
    said = dict(choices) if isinstance(choices, Mapping) else dict.fromkeys(choices, "")
    texts = {"question": question, "right": right, "because": because}
    texts |= {f"choice {k}": text for k, text in enumerate(said)} | {f"choices[{k!r}]": said[k] for k in said}
    for name, text in texts.items():
        if not isinstance(text, str):
            raise TypeError(f"{name} is {text!r}; allowed is a text")
    if not question.strip():
        raise ValueError("question is empty; allowed is a sentence")
    if len(said) < 2 or len(said) != len(choices):
        raise ValueError(f"choices are {list(choices)}; allowed are two or more, no two alike")
    if right not in said:
        raise ValueError(f"right is {right!r}; allowed is one of the choices, {', '.join(map(repr, said))}")
    return Question(question, said, right, because)


@dataclass(repr=False)
class Question:
    """What `ask` makes.

    Attributes:
        question: a sentence.
        choices: {choice: what is said of it}.
        right: one of them.
        because: what is said below.
    """

    question: str
    choices: dict
    right: str
    because: str = ""

    def __repr__(self):
        choices = [f"  ( ) {plain(choice)}" for choice in self.choices]
        return "\n".join([plain(self.question), *choices, "(The answer is in .answer)"])

    @property
    def answer(self):
        """As text: which choice is right, and what is said of each."""
        return "\n".join(plain(f"{sign} {words}") for sign, words in self.lines()) + plain(f"\n{self.because}").rstrip()

    def lines(self, first=None):
        """[(sign, choice and what is said of it)], without the choice `first`."""
        signs = {choice: RIGHT if choice == self.right else WRONG for choice in self.choices if choice != first}
        return [(signs[choice], f"**{choice}**" + f": {self.choices[choice]}".removesuffix(": ")) for choice in signs]

    def _repr_html_(self):
        name = hashlib.sha256(f"{self!r}{self.answer}".encode()).hexdigest()[:10]  # the same in each build
        buttons = "".join(
            f'<details name="ask-{name}"><summary style="{BUTTON}">{html(choice)}</summary>'
            f"{self.unfolded(choice)}</details>"
            for choice in self.choices
        )
        return (  # JupyterLab leaves the keys alone where the attribute says so: they choose and unfold
            f'<div class="minidiff-ask" style="{FRAME}" data-lm-suppress-shortcuts="true"><style>{STYLE}</style>'
            f"<div><b>{html(self.question)}</b></div><div>Choose one: the answer unfolds.</div>{buttons}</div>"
        )

    def unfolded(self, choice):
        """What its button unfolds: what is said of this choice, of the right one, of the others."""
        own = f"{RIGHT} **Yes.**" if choice == self.right else f"{WRONG} **No.**"
        others = sorted(self.lines(first=choice), key=lambda line: line[0] != RIGHT)
        texts = [f"{own} {self.choices[choice]}", *(" ".join(line) for line in others), self.because]
        return "".join(f'<div style="margin:6px 10px 0">{html(text)}</div>' for text in texts if text)


def html(text):
    """Text as HTML: its TeX as Unicode, its code and bold marked."""

    def marked(match):
        tex, code, bold = match.groups()
        if tex:
            return f"<i>{escape(unicode_text(tex))}</i>"
        return f"<code>{escape(code, quote=False)}</code>" if code else f"<b>{html(bold)}</b>"

    return replaced(text, marked, lambda between: escape(between, quote=False))


def plain(text):
    """Text for a terminal: its TeX as Unicode, without marks."""
    tex_code_or_bold = lambda match: unicode_text(match[1]) if match[1] else match[2] or plain(match[3])
    return replaced(text, tex_code_or_bold, str)


def replaced(text, marked, between):
    """Text with a function of each match of MARKED in its place, and one of what stands between them."""
    out, end = "", 0
    for match in MARKED.finditer(text):
        out += between(text[end : match.start()]) + marked(match)
        end = match.end()
    return out + between(text[end:])
