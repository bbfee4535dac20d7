r"""Finds the pairs in a source file: comments right above an assignment or a return.

    # DDIM (16)  \sigma_t = \eta \sqrt{\frac{1 - \bar\alpha_{t-1}}{1 - \bar\alpha_t}}
    #            \sqrt{1 - \frac{\bar\alpha_t}{\bar\alpha_{t-1}}}
    sigma_t = ...

A key of the bibliography, a place in the paper if there is one, two spaces, TeX; continued on comment lines that are
indented. Where the TeX differs from what is printed at that place, a remark says how: `DDIM (12), guarded  ...`.
"""

import ast
import difflib
import io
import re
import tokenize
from dataclasses import dataclass
from typing import NamedTuple

from minidiff.config import nearest
from minidiff.papers.bibliography import BIBLIOGRAPHY
from minidiff.papers.tex.equations import SHOWN, Equation, equations
from minidiff.papers.tex.tokens import TexError

STATEMENTS = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Return)
PLACE = r"\([\d.]+\)(?:[-–]\([\d.]+\))?|§[\w.]+|Table \d+|Fig\. \d+|app\. [\w.]+|Alg\. \d+(?:, lines? \d+(?:[-–]\d+)?)?"
REMARKS = {
    "guarded": "with a clamp or a maximum that the paper lacks",
    "rearranged": "solved for another letter than in the paper",
    "weighted": "with a weight that the paper lacks",
    "scaled": "with a factor that the paper lacks",
    "squared": "the paper has the square on the left",
    "shifted": "with other indices than the paper's",
    "skipping": "timesteps are left out where the paper takes neighbours",
}
PAIR = re.compile(rf"# (?P<key>[A-Za-z][\w+-]*)(?: (?P<place>{PLACE}))?(?:, (?P<remark>[\w-]+))?  (?P<tex>\S.*)")
LIKE_A_PAIR = re.compile(rf"# (?P<key>[A-Za-z][\w+-]*),?(?: +(?P<place>{PLACE}))?(?P<rest>.*)")
CONTINUED = re.compile(r"#\s{3,}(?P<tex>\S.*)")
TEX = re.compile(r"\\[a-zA-Z]+")
FORM = "a pair is `# KEY place  TeX`, as in `# DDPM (15)  y = a + b`, with two spaces before the TeX"


class Where(NamedTuple):
    """A line of a file."""

    path: str
    line: int

    def __str__(self):
        return f"{self.path}:{self.line}"


@dataclass
class Pair:
    """An equation of a paper above the statement that computes it.

    Attributes:
        key: of the bibliography.
        place: in the paper, such as "(15)", "§3.5", "Alg. 2, line 4"; "" where there is none.
        remark: how the TeX differs from the print, one of REMARKS; "" where it does not.
        tex: as written, its lines joined by spaces.
        equations: what was read from it.
        where: the first line of the statement.
        comment: the lines of the comment, first and last.
    """

    key: str
    place: str
    remark: str
    tex: str
    equations: list[Equation]
    where: Where
    comment: tuple[int, int]

    @property
    def source(self):
        """Where the equation stands, and how it differs from what stands there: "DDIM (12), guarded"."""
        return f"{self.key} {self.place}".strip() + (f", {self.remark}" if self.remark else "")

    def __str__(self):
        return f"{self.source}  {self.tex}"


@dataclass
class Failure:
    """Something wrong with a file, a statement or a pair: what, and what to do.

    Attributes:
        where: the line.
        what: one sentence or two.
        details: lines that stand below it, such as the equation and the two values.
    """

    where: Where
    what: str
    details: tuple = ()

    def __str__(self):
        return "\n    ".join([f"{self.where}: {self.what}", *self.details])


def find_pairs(source, path):
    """Read the pairs of a file.

    Args:
        source: the file's text.
        path: what messages call the file.
    Returns:
        (pairs, failures): a list of Pair in the order of the lines; a list of Failure, one for each comment that was
        meant as a pair and is none, and for each other comment that holds TeX.
    Raises:
        SyntaxError: the file is no Python.
    """
    statements = first_lines(ast.parse(source))
    pairs, failures = [], []
    for block in comment_blocks(source):
        try:
            pairs += read_block(block, path, statements)
        except BadComment as bad:
            failures.append(Failure(Where(path, bad.line), bad.message))
    return pairs, failures


class BadComment(Exception):
    def __init__(self, line, message):
        super().__init__(message)
        self.line, self.message = line, message


def comment_blocks(source):
    """Lists of (line, text, whether code stands before it) of comments on consecutive lines; behind code each alone."""
    blocks, last = [], None
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            line, behind_code = token.start[0], not token.line.lstrip().startswith("#")
            if behind_code or last != line - 1:
                blocks.append([])
            blocks[-1].append((line, token.string, behind_code))
            last = None if behind_code else line
    return blocks


def first_lines(tree):
    """{line: the statements that begin on it}."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt):
            found.setdefault(node.lineno, []).append(node)
    return found


def read_block(block, path, statements):
    """The pairs in a block of comment lines."""
    begun = []  # [key, place, remark, tex, first line, last line] of each pair so far
    for line, comment, behind_code in block:
        match = PAIR.fullmatch(comment)
        if match and match["key"] in BIBLIOGRAPHY and not behind_code:
            refuse_unknown_remark(match["remark"], line)
            begun.append([match["key"], match["place"] or "", match["remark"] or "", match["tex"].rstrip(), line, line])
        elif begun and (continued := CONTINUED.fullmatch(comment)):
            begun[-1][3] += " " + continued["tex"].rstrip()
            begun[-1][5] = line
        else:
            refuse_what_is_like_a_pair(comment, line, behind_code)
            if begun:
                raise BadComment(line, "prose between a pair and its statement: move it above the pair; "
                                 "or, if it continues the TeX, indent it by three spaces or more")  # fmt: skip
    if not begun:
        return []
    below = block[-1][0] + 1
    refuse_other_statements(statements.get(below, []), block[-1][0])
    return [read_pair(*pair, Where(path, below)) for pair in begun]


def refuse_unknown_remark(remark, line):
    if remark and remark not in REMARKS:
        raise BadComment(line, f"the remark {remark!r} is not known{nearest(remark, REMARKS)}; it has to be one of "
                         f"{', '.join(REMARKS)}")  # fmt: skip


def read_pair(key, place, remark, tex, first, last, where):
    try:
        found = equations(tex)
    except TexError as error:
        raise BadComment(first, f"{error}. The TeX is {tex!r}") from None
    if any(e.relation == SHOWN for e in found) and ", line" not in place:
        raise BadComment(first, rf"the TeX {tex!r} has no =, \leftarrow or \sim, so nothing can be checked; "
                         "only a line of an algorithm, such as `Alg. 2, line 3`, may go without")  # fmt: skip
    return Pair(key, place, remark, tex, found, where, (first, last))


def refuse_other_statements(statements, line):
    if not statements:
        raise BadComment(line, "no statement begins on the line below this pair: "
                         "put the pair right above an assignment or a return, with no blank line between")  # fmt: skip
    if len(statements) > 1:
        raise BadComment(
            line, f"{len(statements)} statements begin on the line below this pair: give each its own line"
        )
    if not isinstance(statements[0], STATEMENTS):
        kind = type(statements[0]).__name__.lower()
        raise BadComment(
            line, f"below this pair stands a statement of the kind {kind!r}; allowed is an assignment or a return"
        )


def refuse_what_is_like_a_pair(comment, line, behind_code):
    """A comment that was meant as a pair, or that holds TeX, is an error; any other is prose."""
    match = LIKE_A_PAIR.match(comment)
    command = TEX.search(comment)
    formula = command or re.search(r" (=|\\sim) ", comment)
    if match and formula and behind_code:
        if command:
            raise BadComment(
                line, f"TeX ({command[0]}) in a comment behind code: put the pair on its own line above the statement"
            )
    elif (
        match
        and formula
        and match["key"] in BIBLIOGRAPHY
        and (match["place"] or command or match["rest"].startswith("  "))
    ):
        raise BadComment(line, f"found {comment!r}, which begins like a pair but is none: {FORM}; a place is one of "
                         "(15), §3.5, Table 1, Fig. 2, app. B, Alg. 2, `Alg. 2, line 3`, "
                         f"and after it, as in `(15), guarded`, may follow one of {', '.join(REMARKS)}")  # fmt: skip
    elif match and formula and (match["place"] or match["rest"].startswith("  ")) and not CONTINUED.match(comment):
        near = difflib.get_close_matches(match["key"], BIBLIOGRAPHY, n=1, cutoff=0.5)
        meant = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(BIBLIOGRAPHY)}"
        raise BadComment(line, f"the key {match['key']!r} is not in the bibliography{meant}")
    if command:
        raise BadComment(
            line,
            f"TeX ({command[0]}) in a comment that is no pair: write it in words or code, or make it a pair. {FORM}",
        )
