"""Every pair of this package holds, and no scenario is too weak to find a misprint."""

from pathlib import Path

import pytest

import minidiff
from minidiff.papers.check import report as reports
from minidiff.papers.letters import unexplained
from minidiff.papers.tex.equations import DRAWN, EQUALS


@pytest.fixture(scope="module")
def report():
    return reports.check_package()


@pytest.fixture(scope="module")
def pairs(report):
    return [pair for file in report.files for statement in file.statements.values() for pair in statement.pairs]


def test_no_failures(report):
    assert "\n\n".join(map(str, report.failures)) == ""


def test_all_pairs_were_seen(report):
    statements = [s for file in report.files for s in file.statements.values() if s.pairs]
    assert statements and all(s.runs for s in statements)
    assert sum(s.made for s in statements) > 500
    assert (
        sum(len(s.equations(EQUALS)) for s in statements) > 40 and sum(len(s.equations(DRAWN)) for s in statements) >= 5
    )


def test_every_mutant_left_is_listed_with_a_reason(report):
    left = {
        (str(s.where), text) for file in report.files for s in file.statements.values() if s.runs for text in s.mutants
    }
    assert left == {(str(s.where), text) for s, text, reason in report.equivalent if reason}


def test_every_letter_is_in_the_glossary(pairs):
    missing = {f"{pair.where}: {pair.key}": unexplained(pair) for pair in pairs if unexplained(pair)}
    assert missing == {}, "add them to minidiff/papers/letters.py"


CITATIONS = {
    "beta_end ** 0.5, T, dtype=table_dtype()) ** 2": "Spacing Table 1",
    "x_0_hat.clamp(-1, 1)": "DDPMcode",
    "(eps_next + eps_t) / 2": "AB §III.1",
    "clamp(max=0.999)": "IDDPM §3.2, shifted",
    "(h + x) / scale": "SDE app. H.1, scaled",
    "(F_x + W_s_x) / scale": "SDE app. H.1, scaled",
    "d = ((m - m_w) ** 2).sum()": "FID (6), squared",
    "(w * (eps - eps_theta.float()) ** 2).mean()": "DDPM (14), weighted",
    "x_prev = mu_tilde_t + sigma_t * z": "DDPM Alg. 2, line 4, rearranged",
    "(1 - alpha_bar_prev - sigma_t ** 2).clamp(min=0)": "DDIM (12), guarded",
    "x_t = alpha_bar_t ** 0.5 * x_0 + (1 - alpha_bar_t) ** 0.5 * eps": "DDIM (4)",
}


def test_what_was_once_cited_wrongly_or_differs_from_the_print(report):
    """By a full text of each paper."""
    statements = [s for file in report.files for s in file.statements.values()]
    for code, source in CITATIONS.items():
        assert {pair.source for s in statements if code in s.text for pair in s.pairs} == {source}, code


MISPRINTS = {
    "schedulers/ddim.py": [("* (1 - alpha_bar_t / alpha_bar_prev)", "* (1 - alpha_bar_prev / alpha_bar_t)")],
    "schedulers/ddpm.py": [
        ("sigma_t = beta_tilde_t**0.5", "sigma_t = beta_tilde_t"),
        (r"\sigma_t = \sqrt{\beta_t}", r"\sigma_t = \beta_t"),
    ],
    "schedulers/pndm.py": [("(55 * eps_t", "(54 * eps_t"), (r"59 \epsilon_{t+\delta}", r"59 \epsilon_{t+2\delta}")],
    "schedulers/base.py": [("torch.cumprod(alpha, dim=0)", "torch.cumsum(alpha, dim=0)")],
    "pipelines/guidance.py": [("(1 + w) * eps_c - w * eps_u", "w * eps_c - w * eps_u")],
    "models/resnet.py": [("(F_x + W_s_x) / scale", "(F_x - W_s_x) / scale")],
}


def test_misprints_in_code_and_comments_are_found(report):
    """One check of the package with a misprint in each of these files and places."""
    root, sources, lines = Path(minidiff.__file__).parent, {}, set()
    for path, misprints in MISPRINTS.items():
        sources[path] = (root / path).read_text()
        for right, wrong in misprints:
            assert sources[path].count(right) == 1, f"{path}: {right}"
            sources[path] = sources[path].replace(right, wrong)
    failures = reports.check_package(sources).failures
    for path, misprints in MISPRINTS.items():
        lines = {f.where.line for f in failures if f.where.path == f"minidiff/{path}" and "statement" in f.what}
        assert len(lines) >= len(misprints), f"{path}: {lines}"
