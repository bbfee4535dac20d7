r"""What `minidiff pairs` prints, and when it fails."""

import re

import pytest

from minidiff.papers.check import report as reports
from minidiff.papers.check.checker import check
from minidiff.papers.letters import GLOSSARY, glossary, is_word, key, unexplained
from minidiff.papers.pairs import find_pairs

MODULE = r"""
import torch

def f(x):
    # DDPM (7)  y = 2 x
    y = 2 * x
    z = y + 1
    n = len(x) + 1
    # DDPM (4)  \epsilon \sim \mathcal N(0, I)
    eps = torch.randn(50, 60)
    # DDPM Alg. 1, line 6  \mathrm{until\ converged}
    return z
"""


@pytest.fixture
def checked(tmp_path, monkeypatch):
    """Checks a package of one module in a folder `schedulers`."""

    def run(module=MODULE, name="reported"):
        folder = tmp_path / name / "schedulers"
        folder.mkdir(parents=True)
        (folder.parent / "__init__.py").write_text("")
        (folder / "__init__.py").write_text("")
        (folder / "m.py").write_text(module)
        import torch

        return check(name, {f"{name}.schedulers.m": lambda m: m.f(torch.randn(3))})

    monkeypatch.syspath_prepend(tmp_path)
    return run


def test_counts(checked):
    report = checked()
    (line,) = [line for line in reports.text(report).split("\n") if line.startswith("reported/schedulers/m.py ")]
    assert re.split(r"\s\s+", line) == ["reported/schedulers/m.py", "2", "1", "1", "1", "1", "2 of 2"]
    assert "reported/schedulers/m.py: lines 7" in reports.text(report)
    assert reports.text(report).endswith("Every pair holds.")


def test_summary(checked):
    assert reports.summary(checked()) == "3 pairs, 0 failures; 2 of 2 misprints noticed"
    wrong = checked(MODULE.replace("y = 2 * x\n    z", "y = 3 * x\n    z"), "wrong")
    assert reports.summary(wrong).startswith("3 pairs, 1 failures; ")


def test_remarks_are_counted(checked):
    assert "Of 3 pairs 0 differ from the print." in reports.text(checked())
    marked = MODULE.replace("DDPM (7)", "DDPM (7), scaled").replace("DDPM (4)", "DDPM (4), shifted")
    marked += "\ndef g(x):\n    # DDPM (7), shifted  y = x\n    y = x\n    return y\n"
    assert "Of 4 pairs 3 differ from the print: 1 scaled, 2 shifted." in reports.text(checked(marked, "marked"))


def test_unpaired_arithmetic_fails_where_all_has_pairs_unless_it_is_listed(checked):
    report = checked()
    assert reports.unpaired_failures(report, ("models/",), {}) == []
    (failure,) = reports.unpaired_failures(report, ("schedulers/",), {})
    assert (failure.where.line, failure.details) == (7, ("'schedulers/m.py: z = y + 1'",))
    assert "put a pair above it, or list it" in failure.what
    assert reports.unpaired_failures(report, ("schedulers/",), {"schedulers/m.py: z = y + 1": "for a test"}) == []


@pytest.mark.parametrize("entry", ["schedulers/m.py: y = 2 * x", "schedulers/m.py: gone = 1 + 2"])
def test_a_listed_statement_that_is_paired_or_gone_fails(checked, entry):
    listed = {"schedulers/m.py: z = y + 1": "for a test", entry: "no longer"}
    (failure,) = reports.unpaired_failures(checked(), ("schedulers/",), listed)
    assert "remove it" in failure.what and entry in failure.details[0]


def test_failures_stand_at_the_end(checked):
    printed = reports.text(checked(MODULE.replace("y = 2 * x", "y = 3 * x"), "failing"))
    assert printed.endswith("1 failures.")
    assert (
        "failing/schedulers/m.py:6: the statement and its equation differ\n    DDPM (7)  y = 2 x\n    y = 3 * x"
        in printed
    )


def test_exit_status(monkeypatch, capsys, checked):
    monkeypatch.setattr(reports, "check_package", checked)
    assert reports.run() == 0
    monkeypatch.setattr(reports, "check_package", lambda: checked(MODULE.replace("2 * x", "x"), "failing"))
    assert reports.run() == 1
    assert "failures." in capsys.readouterr().out


def test_glossary_as_text():
    lines = glossary(100).split("\n")
    assert all(len(line) <= 110 for line in lines)
    (line,) = [line for line in lines if "alpha_bar_t" in line]
    assert "product" in line and "ᾱₜ" in line.replace("α\u0304", "ᾱ")
    assert "Elsewhere: DDIM alpha_t" in " ".join("\n".join(lines).split())


def test_glossary_has_no_letter_twice_for_one_paper():
    for entry in GLOSSARY:
        others = [e for e in GLOSSARY if e is not entry and key(e.letter) == key(entry.letter)]
        for other in others:
            assert bool(entry.papers) or bool(other.papers), entry
            assert not set(entry.papers) & set(other.papers), entry


def test_letters_that_the_glossary_lacks():
    (pair,), _ = find_pairs("# DDPM (7)  \\Xi_t = \\beta_t + v + \\mathrm{word}\ny = 1\n", "m.py")
    assert unexplained(pair) == ["Xi_t", "v"], "v has a meaning in another paper alone"
    assert [is_word(letter) for letter in pair.equations[0].letters() if str(letter) in ("word", "v")] == [False, True]
