r"""Code beside its equations: as HTML, as text, with the values of a run."""

import functools
import inspect
import re
import sys

import pytest
import torch

import minidiff
from minidiff.papers.bibliography import BIBLIOGRAPHY
from minidiff.papers.pairs import find_pairs
from minidiff.papers.reader import view
from minidiff.papers.reader.terminal import WIDE, broken
from minidiff.papers.reader.view import Reading, read
from minidiff.papers.tex.mathml import mathml
from minidiff.papers.tex.typeset import columns, unicode_text
from minidiff.schedulers import ddim
from minidiff.schedulers.ddim import DDIMScheduler


def halve(x_t, steps):
    """Halves x again and again.

    Not shown.
    """
    for i in range(steps):
        # DDPM (7)  x_{t-1} = \frac{x_t}{2}
        x_prev = x_t / 2
        x_t = x_prev
        if i == 1:
            # DDPM (8)  a = i + 1,\quad b = \lvert i \rvert
            a, b = i + 1, abs(i)
            assert (a, b) == (2, 1)
    # DDPM (9)  y = x_t
    #           + 1
    return (
        x_t
        + 1
    )  # fmt: skip


class Doubler:
    """Doubles."""

    @functools.lru_cache
    def __call__(self, x):
        # DDPM (7)  y = \sum_{k=0}^1 x
        self.y = sum(x for k in range(2))
        return self.y

    @property
    def half(self):
        # DDPM (7)  h = \frac{y}{2}
        return self.y / 2

    def greet(self):
        return """Two lines,
of which the second begins at the margin."""


def texts(reading):
    return [value for row in reading.rows for value in row.values]


def test_rows_hold_every_line_once():
    rows = read(halve).rows
    assert [row.code.strip().split("\n")[0] for row in rows if row.pairs] == [
        "x_prev = x_t / 2",
        "a, b = i + 1, abs(i)",
        "return (",
    ]
    assert rows[-1].code.count("\n") == 3, "a statement of several lines stays whole"
    code = "\n".join(row.code for row in rows)
    assert "# DDPM" not in code and "#           + 1" not in code, "the pairs stand on the left"
    assert '"""Halves x again and again. ..."""' in code and "Not shown" not in code
    for line in ("def halve(x_t, steps):", "for i in range(steps):", "x_t = x_prev", "if i == 1:"):
        assert code.count(line) == 1


def test_a_method_may_hold_text_that_begins_at_the_margin():
    assert read(Doubler.greet).rows[-1].code.endswith('\nof which the second begins at the margin."""')


def spread_out(
    x_t,
    steps=(1, 2),
    *,
    name="x",
):
    return x_t


def spread_out_and_explained(
    x_t,  # the sample
    steps,
    name,
):
    return x_t


def test_a_signature_takes_few_lines_unless_it_holds_comments():
    (row,) = read(spread_out).rows
    assert row.code == 'def spread_out(x_t, steps=(1, 2), *, name="x"):\n    return x_t'
    (row,) = read(spread_out_and_explained).rows
    assert row.code.count("\n") == 5 and "# the sample" in row.code
    signature, _, body = read(DDIMScheduler.step).rows[0].code.partition("):\n")
    assert body.startswith('    r"""One step') and signature.count("\n") == 1


def test_the_head_names_the_paper():
    reading = read(DDIMScheduler.step)
    assert reading.name == "minidiff.schedulers.ddim.DDIMScheduler.step"
    assert reading.summary[0].startswith("DDIM: Denoising Diffusion Implicit Models")
    assert reading.summary[1] == "One step x_t -> x_{t-1}."


@pytest.mark.parametrize(
    "obj", [ddim, DDIMScheduler, DDIMScheduler.step, DDIMScheduler().step, halve, Doubler, Doubler.half]
)
def test_what_can_be_read(obj):
    reading = read(obj)
    assert isinstance(reading, Reading) and any(row.pairs for row in reading.rows)
    assert repr(reading) == str(reading) and "<table" in reading._repr_html_()


def test_public_name():
    assert minidiff.read is read


@pytest.mark.parametrize("obj", [3, DDIMScheduler(), torch.exp, len, None])
def test_what_cannot_be_read(obj):
    with pytest.raises(TypeError, match="allowed is a module, a class, a function or a method"):
        read(obj)


def test_source_that_is_not_to_be_found():
    with pytest.raises(OSError, match="must lie in a file, or in a cell"):
        read(eval("lambda x: x"))


def test_html_escapes_code():
    def f(a):
        # DDPM (7)  y = a
        y = "<b>&" if a < 3 else a
        return y

    page = read(f)._repr_html_()
    assert "<b>&" not in page and "&lt;b&gt;&amp;" in page and "&lt;</span> <span>" in page


def test_a_remark_stands_beside_the_place():
    def f(a):
        # DDPM (7), guarded  y = \max(a, 0)
        y = max(a, 0)
        return y

    assert "DDPM (7), guarded:  y = max(a, 0)" in str(read(f)) and "DDPM (7), guarded<" in read(f)._repr_html_()


def test_text_in_one_column_and_in_two():
    reading = read(halve)
    narrow, wide = reading.text(100).split("\n"), reading.text(WIDE).split("\n")
    line = narrow.index("        x_prev = x_t / 2")
    assert narrow[line - 1] == "        │ DDPM (7):  xₜ₋₁ = xₜ/2"
    (line,) = [line for line in wide if "x_prev = x_t / 2" in line]
    assert re.fullmatch(r"DDPM \(7\):  xₜ₋₁ = xₜ/2 +│         x_prev = x_t / 2", line)
    bars = {columns(line.split("│")[0]) for line in wide if "│" in line}
    assert len(bars) == 1, "the columns are straight"


def test_long_lines_of_code_keep_the_columns_straight():
    lines = read(DDIMScheduler.step).text(WIDE).split("\n")[4:]
    assert {columns(line.partition("│")[0]) for line in lines} == {WIDE * 2 // 5 + 1}
    assert max(map(columns, lines)) <= WIDE


def test_colour():
    reading = read(halve, lambda: halve(8.0, 1))
    plain, coloured = reading.text(WIDE), reading.text(WIDE, colour=True)
    assert "\033" not in plain and re.sub(r"\033\[\d*m", "", coloured) == plain
    for sign, said in ((1, view.read(halve).name), (36, "DDPM (7):"), (32, "        → x_prev = 4")):
        assert f"\033[{sign}m{said}\033[0m" in coloured


def test_a_long_equation_is_broken_at_its_operators():
    whole = "x = a b + c (d − e) + f g"
    assert broken(whole, 30) == [whole]
    assert broken(whole, 20) == ["x = a b", "+ c (d − e) + f g"], "lines much alike"
    assert broken(whole, 12) == ["x = a b", "+ c (d − e)", "+ f g"]
    assert broken("x = a,   y = b + c", 12) == ["x = a,", "y = b + c"], "two equations"
    assert broken("x = a (b + c d) e", 14) == ["x = a (b", "+ c d) e"], "only inside brackets"
    assert broken("xₜ = a b c d e f", 12) == ["xₜ = a b", "c d e f"], "no operator at all"


@pytest.mark.parametrize("width", (40, 56, 72))
def test_no_symbol_of_this_package_is_left_alone_on_a_line(width):
    for tex in every_pair():
        lines = broken(unicode_text(tex), width)
        assert " ".join(" ".join(lines).split()) == " ".join(unicode_text(tex).split())
        assert max(map(columns, lines)) <= width and (len(lines) == 1 or all(" " in line for line in lines)), lines
        assert all(re.match("[+−·←=~]", line) for line in lines[1:]), lines


def test_values_of_the_first_step_and_of_others():
    run = lambda: halve(torch.full((2, 3), 8.0), 3)
    assert texts(read(halve, run)) == ["x_prev = (2, 3), mean 4, std 0"]
    assert texts(read(halve, run, 1)) == ["x_prev = (2, 3), mean 2, std 0", "a = 2", "b = 1"]
    reading = read(halve, run, step=2)
    assert texts(reading) == ["x_prev = (2, 3), mean 1, std 0", "(2, 3), mean 2, std 0"]
    assert "step 2 of 0 to 2" in str(reading) and "x_prev = (2, 3), mean 1, std 0" in reading._repr_html_()


def test_a_call_begins_a_step():
    def run():
        for x in (8.0, 16.0, torch.tensor(24.0)):
            halve(x, 1)

    assert texts(read(halve, run, 1)) == ["x_prev = 8", "9"]
    assert texts(read(halve, run, 2)) == ["x_prev = 12", "13"]


def test_values_of_methods_and_properties():
    doubler = Doubler()
    assert texts(read(Doubler.__call__, lambda: doubler(3.0))) == ["self.y = 6"]
    assert texts(read(Doubler, lambda: (doubler(4.0), doubler.half))) == ["self.y = 8", "4"]


def test_values_of_a_scheduler():
    scheduler = DDIMScheduler()
    scheduler.set_timesteps(5)

    def run():
        x = torch.randn(1, 3, 4, 4)
        for t in scheduler.timesteps:
            x = scheduler.step(torch.randn_like(x), t, x).prev_sample

    reading = read(DDIMScheduler.step, run, 4)
    assert any(re.fullmatch(r"x_prev = \(1, 3, 4, 4\), mean -?[\d.e-]+, std [\d.]+", value) for value in texts(reading))
    assert "sigma_t = 0" in texts(reading)


@pytest.mark.parametrize("step", [-1, 3, 1.5, True, "1"])
def test_a_step_that_the_run_did_not_take(step):
    with pytest.raises(ValueError, match="allowed is"):
        read(halve, lambda: halve(1.0, 3), step)


def test_a_negative_step_is_refused_before_the_run():
    with pytest.raises(ValueError, match="step is -1; allowed is a whole number from 0"):
        read(halve, lambda: pytest.fail("it ran"), -1)


def test_bad_runs():
    with pytest.raises(ValueError, match="step is given without run"):
        read(halve, step=1)
    with pytest.raises(TypeError, match="without arguments"):
        read(halve, run=3)
    with pytest.raises(ValueError, match="did not reach a paired line"):
        read(halve, lambda: None)


def mistyped(beta_t):
    """Its pair has a key that no paper has."""
    # DDMP (7)  y = \beta_t
    y = beta_t
    return y


class Mixed:
    def right(self, x):
        # DDPM (7)  y = x
        y = x
        return y

    def wrong(self, x):
        # DDPM (7)  y = \betta_t
        y = x
        return y


def test_a_mistyped_pair_is_no_fault_of_the_run():
    line = mistyped.__code__.co_firstlineno + 2
    said = rf"test_view.py:{line}: the key 'DDMP' is not in the bibliography; did you mean DDPM"
    with pytest.raises(ValueError, match=f"mistyped has no pair, whose values run could show; .*{said}"):
        read(mistyped, lambda: pytest.fail("it ran"))
    with pytest.warns(UserWarning, match=said):
        assert "# DDMP (7)" in str(read(mistyped))
    with pytest.warns(UserWarning, match="betta"):
        assert [part.title for part in read(Mixed).parts] == ["Mixed.right", "Mixed.wrong"]


def test_code_of_a_notebook():
    """Its module's documentation is none, and Python finds no source of its classes, but that of their methods."""
    from IPython.core.interactiveshell import InteractiveShell

    code = "class Plain:\n    def f(self):\n        return 1\n\n    def g(self):\n        return 2"
    before = sys.modules["__main__"]
    shell = InteractiveShell()
    try:
        sys.modules["__main__"] = shell.user_module
        assert shell.run_cell(code).success and "IPython" in shell.user_module.__doc__
        Plain = shell.user_ns["Plain"]
        reading = read(Plain)
        assert reading.summary == [] and [part.title for part in reading.parts] == ["Plain.f", "Plain.g"]
        assert read(Plain.f).summary == [] and "return 1" in str(read(Plain.f))
    finally:
        sys.modules["__main__"] = before


def test_nothing_stays_behind_even_if_the_run_fails():
    tracer = lambda *arguments: None
    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        with pytest.raises(ZeroDivisionError):
            read(halve, lambda: 1 / 0)
        left = sys.gettrace()
    finally:
        sys.settrace(before)
    assert left is tracer


def test_a_failing_line_shows_no_value():
    def f(a):
        try:
            # DDPM (7)  y = \frac{1}{a}
            y = 1 / a
        except ZeroDivisionError:
            y = 0
        # DDPM (7)  z = y + 1
        z = y + 1
        return z

    assert texts(read(f, lambda: f(0))) == ["z = 1"]


def every_pair():
    """The TeX of all pairs in the package's sources."""
    from pathlib import Path

    root = Path(minidiff.__file__).parent
    return sorted({p.tex for path in root.rglob("*.py") for p in find_pairs(path.read_text(), str(path))[0]})


@pytest.mark.parametrize("tex", every_pair())
def test_every_formula_of_the_package_can_be_typeset(tex):
    assert mathml(tex)
    assert "\\" not in unicode_text(tex) and "{" not in re.sub(r"[_^]\{", "", unicode_text(tex))


@pytest.mark.parametrize(
    "tex, text",
    [
        (r"\bar\alpha_{t-1}", "ᾱₜ₋₁".replace("ᾱ", "α\u0304")),
        (r"\hat{x}_0", "x\u0302₀"),
        (r"\frac12 a", "1/2 a"),
        (r"\frac{a + b}{c}", "(a + b)/c"),
        (r"\sqrt{1 - b}\, x", "√(1 − b) x"),
        (r"\epsilon_\theta(x_t, t)", "ϵ_θ(xₜ, t)"),
        (r"z \sim \mathcal N(0, \sigma^2 I)", "z ~ N(0, σ² I)"),
        (r"\mathrm{softmax}\left(\frac{QK^\top}{\sqrt d}\right) V", "softmax(QKᵀ/√d) V"),
        (r"\lVert x \rVert", "‖x‖"),
        (r"x_T^{1/\rho}", "x_T^{1/ρ}"),
        (r"\sum_{j=0}^{k-1} c_j", "∑_{j=0}^{k−1} cⱼ"),
        ("not < tex", "not < tex"),
        (r"t \in [0, \log T]", "t ∈ [0, log T]"),
        (r"\mathbb{E}[a] \approx a", r"\mathbb{E}[a] \approx a"),
    ],
)
def test_unicode(tex, text):
    assert unicode_text(tex) == text


def test_documented():
    for name in ("TypeError", "OSError", "ValueError"):
        assert name in inspect.getdoc(view.read)
    assert BIBLIOGRAPHY["DDIM"].arxiv in read(ddim).summary[0]
