r"""TeX is read as a reader of the paper would read it, and refused where two readers could differ."""

import math
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minidiff.papers.tex.equations import DRAWN, EQUALS, SHOWN, equations
from minidiff.papers.tex.formula import Scope, ValueMissing, number
from minidiff.papers.tex.tokens import TexError


def value(tex, **variables):
    """Of a right side."""
    (equation,) = equations(f"y = {tex}")
    return number(equation.rights[0].value(Scope(variables)))


A, B, C = 1.7, 0.3, 5.0


@pytest.mark.parametrize(
    "tex, expected",
    [
        (r"a + b c", A + B * C),
        (r"-a^2 + b", -(A**2) + B),
        (r"\frac12 a", A / 2),
        (r"\frac{a + b}{c}", (A + B) / C),
        (r"\tfrac{1}{2} a", A / 2),
        (r"\sqrt2 a", math.sqrt(2) * A),
        (r"\sqrt{a b}\, c", math.sqrt(A * B) * C),
        (r"a b / c", A * B / C),
        (r"a \cdot b \odot c", A * B * C),
        (r"2 \cdot 3 a", 6 * A),
        (r"10^{-20} a", 1e-20 * A),
        (r"\left(a - b\right) (a + b)", A**2 - B**2),
        (r"\cos^2(a) + \sin(a)^2", 1),
        (r"\max(a, b) - \min(a, b)", A - B),
        (r"\operatorname{clip}(c, -1, a)", A),
        (r"\mathrm{round}(a) + \mathrm{floor}(a)", 3),
        (r"\ln(\exp(a)) + \log(\exp(b))", A + B),
        (r"\mathrm{atan2}(a, b) + \tanh(a) + \operatorname{erf}(b)", math.atan2(A, B) + math.tanh(A) + math.erf(B)),
        (r"\sigma(a)", A),  # a letter without a function is a letter: sigma
        (r"\frac{2 \pi}{a}", 2 * math.pi / A),
        (r"\sum_{j=0}^{2} j a + b", 3 * A + B),
        (r"\prod_{m=1, m \ne 2}^3 \frac{m}{a}", 3 / A**2),
        (r"\int_0^a \tau^3 \, d\tau", A**4 / 4),
        (r"\lvert b - a \rvert", A - B),
        (r"+a", A),
        (r"a^{-\frac12}", A**-0.5),
    ],
)
def test_values(tex, expected):
    assert value(tex, a=A, b=B, c=C, sigma=A).item() == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(
    "tex, name",
    [
        (r"\hat x_0", "x_0_hat"),
        (r"\hat{x}_0", "x_0_hat"),
        (r"\hat{x_0}", "x_0_hat"),
        (r"\bar\alpha_t", "alpha_bar_t"),
        (r"\bar{\alpha_t}", "alpha_bar_t"),
        (r"\bar\alpha_{t-1}", "alpha_bar_prev"),
        (r"x_{i+1}", "x_next"),
        (r"x_{t-\delta}", "x_prev"),
        (r"\epsilon_{t+2\delta}", "eps_next2"),
        (r"\epsilon_{t+3}", "eps_next3"),
        (r"x_{t-\delta/2}", "x_mid"),
        (r"d_i'", "d_i_prime"),
        (r"\epsilon'", "eps_prime"),
        (r"\varepsilon", "vareps"),
        (r"\lambda_t", "lamda_t"),
        (r"\mathrm{freq\_shift}", "freq_shift"),
        (r"\sigma_{min}", "sigma_min"),
        (r"\sigma_{\max}", "sigma_max"),
        (r"S_{\mathrm{churn}}", "S_churn"),
        (r"\tilde\epsilon_\theta", "eps_tilde_theta"),
        (r"m_{i,j}", "m_i_j"),
        (r"\hat t_i", "t_hat_i"),
    ],
)
def test_names(tex, name):
    assert equations(f"{tex} = 0")[0].left.name == name
    assert value(tex, **{name: 3.5}) == 3.5


def test_letters_are_looked_up_here_then_in_self_then_in_its_config():
    class Config:
        a, b, c = 1.0, 2.0, 3.0

    class Me:
        a, b, config = 10.0, 20.0, Config()

    assert value("a + b + c", a=100.0, self=Me()) == 100 + 20 + 3


def test_a_letter_without_a_variable_is_an_entry_of_a_table():
    table = torch.tensor([3.0, 5.0, 7.0])
    assert value(r"\bar\alpha_t + \bar\alpha_{t-1}", alpha_bar=table, t=2) == 12
    assert value(r"\sigma_0", sigma=table) == 3
    assert value(r"c_{k_i}", c=table, k=[2, 1], i=1) == 5
    assert value("x_t", x_t=1.5, x=table, t=2) == 1.5, "a variable of that name comes first"
    assert value(r"\sum_{t=0}^1 x_t", x_t=1.5, x=table) == 8, "but an index that a sum binds always indexes"
    assert value(r"\sum_j x_j y_j", x=table, y=[1, 2, 3]) == 3 + 10 + 21
    assert value(r"x_k", x=table, k=torch.tensor([2, 0])).tolist() == [7, 3]


@pytest.mark.parametrize(
    "tex, words",
    [
        (r"x_{t-1}", "entry -1"),
        (r"x_{t+3}", "entry 3"),
        (r"x_s", "entry 0.5"),
        (r"\sum_j x_j w_j", "write its bounds"),
        (r"\sum_j x_{j+1}", "write its bounds"),
        (r"\kappa", "no variable"),
        (r"x_{max}", "x_max"),
        (r"t_j", "no table"),
        (r"f", "is a function"),
        (r"f(1 + 2)", "is a function"),
        (r"e(x, t) - e(x)", "two argument lists"),
        (r"\sum_{j=0}^{s} j", "not a whole number"),
    ],
)
def test_no_value(tex, words):
    variables = {"x": [1.0, 2, 3], "w": [1.0, 2], "t": 0, "j": 0, "s": 0.5, "f": math.sin, "e": 2.0}
    with pytest.raises(ValueMissing, match=re.escape(words)):
        value(tex, **variables)


def test_parentheses_behind_a_letter():
    assert value(r"\epsilon(x, t)", eps=2.0) == 2, "a list is arguments"
    assert value(r"\epsilon(x)", eps=2.0, x=3.0) == 2, "and so is one letter"
    assert value(r"\epsilon(x + 1)", eps=2.0, x=3.0) == 8, "all else is a factor"
    assert value(r"\sigma(a) + \sigma(b)", sigma=lambda t: 3 * t, a=1.0, b=2.0) == 9, "a function is called"


def test_capitals_side_by_side_multiply_as_matrices():
    Q, K, V = torch.randn(2, 3, 4).double(), torch.randn(2, 5, 4).double(), torch.randn(2, 5, 6).double()
    expected = torch.softmax(Q @ K.mT / 2, -1) @ V
    assert torch.allclose(
        value(r"\mathrm{softmax}\left(\frac{Q K^\top}{\sqrt d}\right) V", Q=Q, K=K, V=V, d=4), expected
    )
    square = torch.randn(3, 3).double()
    assert torch.equal(value(r"A B", A=square, B=square), square @ square)
    assert torch.equal(value(r"A \odot B", A=square, B=square), square * square)
    assert torch.equal(value(r"a b", a=square, b=square), square * square)
    assert torch.equal(value(r"N A", N=3.0, A=square), 3 * square)
    with pytest.raises(ValueMissing, match="odot"):
        value("A B", A=square, B=square[0])
    with pytest.raises(ValueMissing, match="two ways"):
        value("A^2", A=square)


def test_each_sample_and_the_mean_of_all():
    x = torch.randn(2, 3, 4).double()
    assert torch.allclose(value(r"\lVert x \rVert", x=x).flatten(), x.flatten(1).norm(dim=1))
    assert torch.allclose(value(r"\sum (x^2 + 1)", x=x).flatten(), (x**2 + 1).flatten(1).sum(1))
    assert torch.allclose(value(r"\overline{\lVert x \rVert}", x=x), x.flatten(1).norm(dim=1).mean())
    assert torch.allclose(value(r"[x, 2 x]", x=x), torch.cat([x, 2 * x], dim=1))
    assert value(r"\arg\min_j \lvert x_j - 2 \rvert", x=[5.0, 1.5, 0.0]) == 1


@pytest.mark.parametrize(
    "tex, words",
    [
        (r"y = a / b c", r"use \frac"),
        (r"y = a / b / c", r"use \frac"),
        (r"y = a / b \cdot c", r"use \frac"),
        (r"y = \prod_{m=0}^1 a_m / b", r"use \frac"),
        (r"y = \sqrt[3]{a}", "group in braces"),
        (r"y = \ln a", "parentheses"),
        (r"y = \max(a)", "takes 2"),
        (r"y = \clip(a, b)", "clip"),
        (r"y = \sin^{-1}(a)", "two ways"),
        (r"y = a 2", "put it first"),
        (r"y = x^12", "put it first"),
        (r"y = x^{(1)}", "looks like an index"),
        (r"y = x^a^b", "cannot read"),
        (r"y = x^2_t", "cannot read"),
        (r"y = \sqrt\beta_t", "cannot read"),
        (r"y = (a", "not closed"),
        (r"y = a)", "closes nothing"),
        (r"y = (a]", "closes ("),
        (r"y = a < b", "'<'"),
        (r"y = \begin{cases} a \end{cases}", r"\begin"),
        (r"y = \int_0^1 \tau", "ends its group"),
        (r"y = \sum_{j a}^2 b", "an index"),
        (r"y = \arg\max_j a_j", r"\min"),
        (r"y =", "ends where"),
        (r"= a", "left side"),
        (r"2 y = a", "left side"),
        (r"x + y = a", "left side"),
        (r"\ln(y) = a", "left side"),
        (r"y = a,\quad", "empty"),
        (r"y = \bar{a b}", "over one letter"),
        (r"z \sim U(0, 1)", r"\mathcal N"),
        (r"z \sim \mathcal N(0)", r"\mathcal N"),
        (r"z \sim \mathcal N(0, I) + a", r"\mathcal N"),
        (r"z = x \sim \mathcal N(0, I)", "write two"),
    ],
)
def test_what_can_be_read_two_ways_is_refused(tex, words):
    with pytest.raises(TexError, match=re.escape(words)):
        equations(tex)


def test_relations():
    relations = lambda tex: [e.relation for e in equations(tex)]
    assert relations(r"a = b,\quad c \leftarrow d \quad z \sim \mathcal{N}(m, \sigma^2 I)") == [EQUALS, EQUALS, DRAWN]
    assert relations(r"\mathrm{end\ for}") == [SHOWN]
    assert len(equations("y = a = b")[0].rights) == 2
    mean, variance = equations(r"z \sim \mathcal N(m, \frac14 I)")[0].rights
    assert (mean.value(Scope({"m": 3})), variance.value(Scope({}))) == (3, 0.25)


expressions = st.recursive(
    st.sampled_from([("a", "a"), ("b", "b"), (r"\bar\alpha_t", "alpha_bar_t"), ("2", "2"), ("0.5", "0.5")]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda e: (f"{e[0][0]} + {e[1][0]}", f"({e[0][1]} + {e[1][1]})")),
        st.tuples(inner, inner).map(lambda e: (rf"({e[0][0]}) \cdot ({e[1][0]})", f"({e[0][1]} * {e[1][1]})")),
        st.tuples(inner, inner).map(lambda e: (rf"\left({e[0][0]}\right) - ({e[1][0]})", f"({e[0][1]} - {e[1][1]})")),
        st.tuples(inner, inner).map(
            lambda e: (rf"\frac{{{e[0][0]}}}{{({e[1][0]})^2 + 1}}", f"({e[0][1]} / ({e[1][1]}**2 + 1))")
        ),
        inner.map(lambda e: (rf"\cos({e[0]})", f"cos({e[1]})")),
        inner.map(lambda e: (rf"\sqrt{{({e[0]})^2}}", f"abs({e[1]})")),
    ),
    max_leaves=12,
)


@given(expressions)
def test_random_expressions_have_the_value_that_python_gives(expression):
    tex, python = expression
    variables = {"a": 1.7, "b": 0.3, "alpha_bar_t": 0.9}
    expected = eval(python, {"cos": math.cos, **variables})
    assert value(tex, **variables).item() == pytest.approx(expected, rel=1e-9, abs=1e-9)
