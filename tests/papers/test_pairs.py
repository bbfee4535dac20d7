r"""Pairs are found where they stand; what was meant as one, and is none, is reported with what to do."""

import re

import pytest

from minidiff.papers.bibliography import BIBLIOGRAPHY
from minidiff.papers.pairs import REMARKS, find_pairs


def test_a_pair():
    (pair,), failures = find_pairs("x = 1\n# DDPM (15)  y = a + b\ny = a + b\n", "m.py")
    assert failures == []
    assert (pair.key, pair.place, pair.tex, str(pair.where), pair.comment) == (
        "DDPM",
        "(15)",
        "y = a + b",
        "m.py:3",
        (2, 2),
    )
    assert str(pair) == "DDPM (15)  y = a + b"


def test_continued_on_comment_lines():
    (pair,), failures = find_pairs(
        "# why\n# EDM Table 1  y = a\n#              + b\n#     + c\ny = a + b + c\n", "m.py"
    )
    assert failures == [] and pair.tex == "y = a + b + c" and pair.where.line == 5


def test_two_pairs_above_one_statement():
    pairs, failures = find_pairs("# DDPM (7)  y = a\n# DDIM (12)  y = a\ny = a\n", "m.py")
    assert failures == [] and [p.key for p in pairs] == ["DDPM", "DDIM"] and {p.where.line for p in pairs} == {3}


@pytest.mark.parametrize(
    "place",
    [
        "(15)",
        "(4.2)",
        "(5)-(6)",
        "§3.5",
        "§III.1",
        "Table 1",
        "Fig. 3",
        "app. B",
        "app. D.1",
        "Alg. 2",
        "Alg. 2, line 3",
        "Alg. 2, lines 3-4",
        "",
    ],
)
def test_places(place):
    (pair,), failures = find_pairs(f"# EDM {place}  y = a\ny = a\n".replace("EDM   y", "EDM  y"), "m.py")
    assert failures == [] and pair.place == place


@pytest.mark.parametrize("place", ["(15)", "§3.5", "Table 1", "app. D.1", "Alg. 2", "Alg. 2, line 3", ""])
@pytest.mark.parametrize("remark", REMARKS)
def test_remarks(place, remark):
    source = f"EDM {place}".strip() + f", {remark}"
    (pair,), failures = find_pairs(f"# {source}  y = a\n#   + b\ny = a + b\n", "m.py")
    assert failures == [] and (pair.place, pair.remark, pair.tex) == (place, remark, "y = a + b")
    assert pair.source == source and str(pair) == f"{source}  y = a + b"


@pytest.mark.parametrize("key", BIBLIOGRAPHY)
def test_keys(key):
    (pair,), failures = find_pairs(f"# {key} §1  y = a\ny = a\n", "m.py")
    assert failures == [] and pair.key == key


@pytest.mark.parametrize(
    "statement", ["y = a", "y: float = a", "y += a", "return a", "self.y[j], y = a, b", "y = (\n    a\n)"]
)
def test_statements_that_a_pair_can_stand_above(statement):
    source = "def f(self):\n    # DDPM (7)  y = a\n    " + statement.replace("\n", "\n    ") + "\n"
    pairs, failures = find_pairs(source, "m.py")
    assert len(pairs) == 1 and failures == []


@pytest.mark.parametrize(
    "source, line, words",
    [
        ("# DDPM (7)  y = a\n\ny = a", 1, "no blank line between"),
        ("# DDPM (7)  y = a\n# the sum\ny = a", 2, "prose between a pair and its statement"),
        ("# DDPM (7)  y = a\nif a:\n    y = a", 1, "'if'; allowed is an assignment or a return"),
        ("# DDPM (7)  y = a\nprint(y)", 1, "allowed is an assignment or a return"),
        ("# DDPM (7)  y = a\ny = a; x = a", 1, "give each its own line"),
        ("# DDPM (7)  y = a", 1, "no statement begins on the line below"),
        ("# DPPM (7)  y = a\ny = a", 1, "did you mean DDPM?"),
        ("# ddpm (7)  y = a\ny = a", 1, "'ddpm' is not in the bibliography"),
        ("# Foo  y = a\ny = a", 1, "'Foo' is not in the bibliography"),
        ("# DDPM (7) y = a\ny = a", 1, "with two spaces before the TeX"),
        ("# DDPM eq. 7  y = \\beta\ny = beta", 1, "begins like a pair but is none"),
        ("# DDPM, (7) y = a\ny = a", 1, "begins like a pair but is none"),
        ("# DDPM  (7)  y = a\ny = a", 1, "the left side is"),
        ("# DDPM (7), gaurded  y = a\ny = a", 1, "the remark 'gaurded' is not known; did you mean 'guarded'?"),
        ("# DDPM (7), mostly  y = a\ny = a", 1, "one of guarded, rearranged, weighted, scaled, squared, shifted, skip"),
        ("# DDPM (7) guarded  y = a\ny = a", 1, "`(15), guarded`, may follow one of guarded, rearranged"),
        ("# DDPM, mostly  y = a\ny = a", 1, "the remark 'mostly' is not known"),
        ("# here \\bar\\alpha is one\ny = a", 1, "TeX (\\bar) in a comment that is no pair"),
        ("y = a  # \\beta", 1, "TeX (\\beta) in a comment"),
        ("y = a  # DDPM (7)  y = \\beta", 1, "put the pair on its own line above the statement"),
        ("# DDPM (7)  3 a\ny = 3 * a", 1, "nothing can be checked"),
        ("# DDPM Alg. 2  3 a\ny = 3 * a", 1, "nothing can be checked"),
        ("# DDPM (7)  y = \\ln a\ny = a", 1, "stands in parentheses"),
        ("# DDPM (7)  y = a\n#   b\n# \\beta\ny = a", 3, "TeX (\\beta)"),
    ],
)
def test_what_is_no_pair_is_reported_with_what_to_do(source, line, words):
    pairs, (failure,) = find_pairs(source + "\n", "m.py")
    assert pairs == []
    assert failure.where == ("m.py", line) and words in failure.what, failure


def test_prose_is_left_alone():
    prose = [
        "# A comment.",
        "# DDPM (15) is used here, see the paper.",
        "# x = 3 is the default",
        "# NOTE: a = b",
        "# t-1 stands for the next timestep",
        "#: documented",
        "#",
        "#!shebang",
    ]
    source = (
        "".join(f"{comment}\n\n" for comment in prose)
        + "y = a  # (B, 3, H, W) = the shape\ns = '# DDPM (7) \\\\beta'\n"
    )
    assert find_pairs(source, "m.py") == ([], [])


def test_all_that_is_wrong_in_a_file_is_reported_at_once():
    source = "# DPPM (7)  y = a\ny = a\n# DDPM (7)  y = a\ny = a\n# \\beta\ny = b\n"
    pairs, failures = find_pairs(source, "m.py")
    assert [f.where.line for f in failures] == [1, 5] and [p.where.line for p in pairs] == [4]


def test_only_a_line_of_an_algorithm_may_go_without_a_relation():
    (pair,), failures = find_pairs("# DDPM Alg. 2, line 5  \\mathrm{end\\ for}\ny = a\n", "m.py")
    assert failures == [] and pair.equations[0].left is None


def test_papers_are_complete():
    for key, paper in BIBLIOGRAPHY.items():
        assert paper.title and paper.authors and 1900 < paper.year < 2030, key
        assert bool(paper.arxiv) != bool(paper.source), key
        assert not paper.arxiv or re.fullmatch(r"\d{4}\.\d{4,5}", paper.arxiv), key
        assert str(paper.year) in str(paper)
