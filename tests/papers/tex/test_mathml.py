r"""TeX as MathML."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import minidiff
from minidiff.papers.pairs import find_pairs
from minidiff.papers.tex.equations import equations
from minidiff.papers.tex.mathml import letter_mathml, mathml
from minidiff.papers.tex.tokens import TexError


def inner(tex, mark=lambda letter: ""):
    """The MathML of one equation in one piece, without its outermost elements."""
    ((piece,),) = mathml(tex, mark)
    return piece.removeprefix('<math displaystyle="true"><mrow>').removesuffix("</mrow></math>")


def shape(tex):
    """Tags and texts alone: msub(mi x, mi t)."""

    def of(node):
        text = f" {node.text}" if node.text else ""
        return f"{node.tag}{text}" + (f"({', '.join(map(of, node))})" if len(node) else "")

    return [of(node) for node in ET.fromstring(f"<mrow>{inner(tex)}</mrow>".replace("&#x2061;", "f"))]


@pytest.mark.parametrize(
    "tex, tree",
    [
        (r"\frac{x_t}{2}", ["mfrac(msub(mi x, mi t), mn 2)"]),
        (r"\frac12 a", ["mfrac(mn 1, mn 2)", "mi a"]),
        (r"\bar\alpha_{t-1}", ["msub(mover(mi α, mo ¯), mrow(mi t, mo −, mn 1))"]),
        (r"\hat{x}_0", ["msub(mover(mi x, mo ˆ), mn 0)"]),
        (r"\tilde{\beta_t}", ["msub(mover(mi β, mo ˜), mi t)"]),
        (r"\sigma_t^2", ["msubsup(mi σ, mi t, mn 2)"]),
        (r"d_i'", ["msubsup(mi d, mi i, mo ′)"]),
        (r"\epsilon''", ["msup(mi ϵ, mo ′′)"]),
        (r"x^{1/\rho}", ["msup(mi x, mrow(mn 1, mo /, mi ρ))"]),
        (r"\sigma_{max}", ["msub(mi σ, mi max)"]),
        (r"Q K^\top", ["mi Q", "msup(mi K, mo ⊤)"]),
        (r"\sqrt2 a", ["msqrt(mn 2)", "mi a"]),
        (r"\overline{a b}", ["mover(mrow(mi a, mi b), mo ‾)"]),
        (r"\lVert x \rVert", ["mrow(mo ‖, mi x, mo ‖)"]),
        (r"\sum_{j=0}^k c_j", ["munderover(mo ∑, mrow(mi j, mo =, mn 0), mi k)", "msub(mi c, mi j)"]),
        (r"\int_a^b \tau\, d\tau", ["msubsup(mo ∫, mi a, mi b)", "mi τ", "mspace", "mi d", "mi τ"]),
        (r"\arg\min_j e_j", ["munder(mrow(mi arg, mspace, mi min), mi j)", "msub(mi e, mi j)"]),
        (r"\cos^2(x)", ["msup(mi cos, mn 2)", "mo f", "mrow(mo (, mi x, mo ))"]),
        (r"\mathcal N(0, I)", ["mi 𝒩", "mrow(mo (, mrow(mn 0, mo ,, mi I), mo ))"]),
        (r"\mathrm{offset}", ["mi offset"]),
        (r"(a + b)^2", ["msup(mrow(mo (, mrow(mi a, mo +, mi b), mo )), mn 2)"]),
    ],
)
def test_trees(tex, tree):
    assert shape(tex) == tree


def test_signs_have_room_only_between_two_terms():
    forms = lambda tex: re.findall(r'<mo form="(\w+)" stretchy="false">−', "".join(sum(mathml(tex), [])))
    assert forms("a - b") == ["infix"] and forms("-b") == ["prefix"] and forms("a = -b") == ["prefix"]
    assert forms(r"(x)(t) - b") == forms(r"\frac{a}{b} - c") == ["infix"] and forms("f(a, -1)") == ["prefix"]


def test_only_brackets_around_something_tall_grow():
    assert "true" not in inner(r"(a_t + b)").replace('fence="true"', "")
    assert inner(r"\left(\frac ab\right)").count('stretchy="true"') == 2


def test_a_line_may_break_before_a_term_but_not_before_the_first():
    assert len(mathml("x = a + b - c")[0]) == 3 and len(mathml("x = (a + b) c")[0]) == 1
    assert len(mathml("x = -a")[0]) == 1 and len(mathml("a = b = c")[0]) == 2
    first, *more = mathml(r"\epsilon' = \frac12 (3 a - 2 b + c)")[0]
    assert len(more) == 2 and all(
        re.match(r'<math displaystyle="true"><mrow><mo form="infix"', piece) for piece in more
    )
    assert len(mathml(r"y = (\frac ab - b + c)")[0]) == 1, "tall brackets stay whole"
    assert len(mathml(r"a = 1,\quad b = 2")) == 2


def test_a_letter_is_marked_once_with_all_that_belongs_to_it():
    mark = lambda letter: f'class="{letter.name}"'
    assert inner(r"\bar\alpha_{t-1}", mark).startswith('<msub class="alpha_bar_prev"><mover accent="true"><mi>α</mi>')
    assert inner(r"\hat x_0", mark).count("class") == 1
    assert re.findall('class="(\\w+)"', inner(r"\epsilon_\theta(x_t, t)", mark)) == ["eps_theta", "x_t", "t"]
    both = inner(r"\sigma_t^2", mark)
    assert both == '<msubsup><mi class="sigma_t">σ</mi><mi class="sigma_t">t</mi><mn>2</mn></msubsup>', "not its power"
    assert "class" not in inner(r"\exp(2)", mark)


def test_a_letter_alone():
    assert (
        letter_mathml(equations(r"\epsilon_\theta(x, t) = 0")[0].left)
        == "<math><msub><mi>ϵ</mi><mi>θ</mi></msub></math>"
    )


def every_pair():
    root = Path(minidiff.__file__).parent
    return sorted({p.tex for path in root.rglob("*.py") for p in find_pairs(path.read_text(), str(path))[0]})


@pytest.mark.parametrize("tex", every_pair())
def test_every_formula_of_the_package(tex):
    for piece in sum(mathml(tex, lambda letter: 'class="v"'), []):
        words = "".join(ET.fromstring(piece.replace("&#x2061;", "")).itertext())
        assert words and "\\" not in words and "{" not in words


@pytest.mark.parametrize("tex", ["(a", r"\nosuchcommand x", "a < b"])
def test_what_is_no_tex_of_ours(tex):
    with pytest.raises(TexError):
        mathml(tex)
