r"""Wrong pairs are refused, each with a message that says what to do; right ones in awkward forms are accepted."""

import itertools
import sys
import textwrap
import types

import pytest
import torch

from minidiff.papers.check import checker
from minidiff.papers.check.checker import Scenario, check
from minidiff.papers.check.mutants import is_arithmetic, mutants

HEAD = """
import torch

def f(self=None):
    x, a, b = torch.randn(2, 3, 4, 5), torch.tensor(1.7), torch.tensor(0.3)
"""
numbered = itertools.count()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Makes a package of one module, `m`, from its text; gives the package's name."""

    def make(text):
        name = f"paired_{next(numbered)}"
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
        (tmp_path / name / "m.py").write_text(text)
        return name

    monkeypatch.syspath_prepend(tmp_path)
    return make


@pytest.fixture
def checked(package):
    """Checks a package whose only function f has this body, with x, a and b to work on."""

    def run(body, **more):
        name = package(HEAD + textwrap.indent(textwrap.dedent(body).strip("\n"), "    ") + "\n    return 0\n")
        return check(name, {f"{name}.m": lambda m: m.f()}, **more)

    return run


# name: (body, words of the message)
WRONG = {
    "left names another variable": (r"""
        sigma_t = a * b
        # DDPM (7)  \sigma_t = a b
        x_prev = a + b""", "names sigma_t, the statement computes x_prev: give both the same name"),
    "right is larger, left broadcasts": (r"""
        # DDPM (7)  y = a + 0 x
        y = a + 0 * x[0, 0, 0, 0]""", "different shapes"),
    "transposed": (r"""
        u = torch.randn(3, 4)
        # DDPM (7)  y = 2 u
        y = 2 * u.T""", "different shapes"),
    "another value": (r"""
        # DDPM (7)  y = a - b
        y = a + b""", "differ"),
    "one entry of many": (r"""
        mask = torch.zeros(2, 3, 4, 5); mask[1, 2, 3, 4] = 1e-6
        # DDPM (7)  y = 2 x
        y = 2 * x + mask""", "differ"),
    "second in a chain": (r"""
        # DDPM (7)  y = a + b = a - b
        y = a + b""", "differ"),
    "second in a tuple": (r"""
        # DDPM (7)  c = a + b,\quad d = a - b
        c, d = a + b, a * b""", "differ"),
    "member of a tuple without an equation": (r"""
        # DDPM (7)  c = a + b
        c, d = a + b, a * b""", "what a misprint would make of it"),
    "key misspelt": (r"""
        # DPPM (7)  y = \sqrt{a}
        y = a + b""", "did you mean DDPM"),
    "no place": (r"""
        # LMS  y = 3 a
        y = a + b""", "differ"),
    "two network calls, one letter": (r"""
        eps_theta = x
        # CFG (6)  y = 2 \epsilon_\theta(z, c) - \epsilon_\theta(z)
        y = 2 * x - x""", "give the two values two letters"),
    "frac12 read as 12": (r"""
        # DDPM (7)  y = \frac12 a
        y = 12 / a""", "differ"),
    "tiny values": (r"""
        a = a * 1e-9
        # DDPM (7)  y = 3 a
        y = a / 7""", "differ"),
    "huge values": (r"""
        a = a * 1e9
        # DDPM (7)  y = a
        y = a + 10""", "differ"),
    "factor dropped as an argument": (r"""
        beta_theta = a
        # DDPM (7)  y = \beta_\theta (1 - b)
        y = beta_theta""", "differ"),
    "index wraps round": (r"""
        t, v = 0, x[0, 0, 0]
        # DDPM (7)  y = 2 v_{t-1}
        y = 2 * v[t - 1]""", "looks at entry -1 of v"),
    "table shifted by one": (r"""
        beta = torch.rand(7)
        # DDPM §2  \alpha_t = 1 - \beta_{t+1}
        alpha = 1 - beta""", "differ, at t = 0"),
    "table wrong in its middle": (r"""
        beta = torch.rand(7)
        # DDPM §2  \alpha_t = 1 - \beta_t
        alpha = 1 - beta.sort().values""", "differ, at t = "),
    "table empty": (r"""
        beta = torch.rand(0)
        # DDPM §2  \alpha_t = 1 - \beta_t
        alpha = 1 - beta""", "the table is empty"),
    "index of a compound": (r"""
        v = torch.rand(5)
        # DDPM (7)  w_{t-1} = 2 v_t
        w = 2 * v""", "names w_prev"),
    "another element of a list": (r"""
        c, j = [0, 0], 1
        # LMS  c_j = a b
        c[j - 1] = a * b""", "the left side is entry 1 of c, the statement computes entry 0"),
    "element without an index": (r"""
        c = [0, 0]
        # LMS  c = a b
        c[1] = a * b""", "needs one index"),
    "second pair swallowed": (r"""
        # DDPM (7)  y = a + 0 b
        # DDPM (8)  y = 3 a
        y = a + 0 * b""", "differ"),
    "draw of wrong variance": (r"""
        # DDPM (7)  z \sim \mathcal N(0, I)
        z = 1.3 * torch.randn(50, 50)""", "times the stated variance"),
    "draw of wrong mean": (r"""
        # DDPM (7)  z \sim \mathcal N(a, I)
        z = a + torch.randn(50, 50) + 0.2""", "mean of 2500 draws"),
    "variance taken for the standard deviation": (r"""
        # DDPM (7)  z \sim \mathcal N(0, b I)
        z = b * torch.randn(50, 50)""", "times the stated variance"),
    "draw too small to tell": (r"""
        # DDPM (7)  z \sim \mathcal N(0, I)
        z = torch.randn(5, 5)""", "1000 are needed"),
    "draw that never happens": (r"""
        # DDPM (7)  z \sim \mathcal N(0, I)
        z = torch.randn(50, 50) if a < 0 else 0""", "1000 are needed"),
    "draw that is one number": (r"""
        # DDPM (7)  z \sim \mathcal N(0, I)
        z = torch.randn(2000, 1).expand(2000, 3)""", "same number several times"),
    "no draw but a number": (r"""
        # DDPM (7)  z \sim \mathcal N(0, I)
        z = 1.5""", "plain 0 where nothing is drawn"),
    "if in a statement": (r"""
        # DDPM (7)  y = a + b
        y = a + b if a < 99 else a - b""", "with a pair in each arm"),
    "changed in place": (r"""
        # DDPM (7)  x = x + a
        x += a""", "write `x = x + ...`"),
    "changed in place by a method": (r"""
        # DDPM (7)  y = 2 x
        y = x.mul_(2)""", "changes x in place"),
    "attribute changed in place": (r"""
        import types
        self = types.SimpleNamespace(v=torch.ones(3))
        # DDPM (7)  y = 2 v
        y = self.v.mul_(2)""", "changes self.v in place"),
    "matrix factors swapped": (r"""
        Q, K = torch.randn(3, 3), torch.randn(3, 3)
        # DDPM (7)  y = K Q^\top
        y = Q @ K.T""", "differ"),
    "matrices multiplied by entries": (r"""
        Q, K = torch.randn(3, 3), torch.randn(3, 3)
        # DDPM (7)  y = Q K
        y = Q * K""", "differ"),
    "T for transposition": (r"""
        Q, T = torch.randn(3, 3), 2
        # DDPM (7)  Y = Q^T Q
        Y = Q.T @ Q""", r"A^\top for the transpose"),
    "degenerate scenario: c is a": (r"""
        c = a
        # DDPM (7)  y = 2 a + b
        y = a + c + b""", "passes  c + c + b"),
    "degenerate scenario: zero": (r"""
        c = torch.tensor(0.0)
        # DDPM (7)  y = a + c b
        y = a + c * b""", "passes  a - c * b"),
    "degenerate scenario: nothing to clip": (r"""
        # DDPM (7)  y = \operatorname{clip}(b, -1, 1)
        y = b.clamp(-1, 1)""", "passes  b"),
    "letter without variable": (r"""
        # DDPM (7)  y = a + \kappa
        y = a + b""", "the letter kappa has no variable"),
    "not finite": (r"""
        # DDPM (7)  y = \sqrt{b - a}
        y = (b - a) ** 0.5""", "not finite"),
    "equation divides by zero": (r"""
        # DDPM (7)  y = a + \frac{1}{0}
        y = a + b""", "cannot be evaluated"),
    "inside an output": (r"""
        # DDPM (7)  y = 2 a
        y = dict(y=2 * a)""", "pair the line that computes the number"),
    "empty": (r"""
        u = torch.zeros(0)
        # DDPM (7)  y = 2 u
        y = 2 * u""", "the value is empty"),
    "never reached": (r"""
        if a < 0:
            # DDPM (7)  y = 2 a
            y = 2 * a""", "no scenario runs this statement"),
    "holds at first, not later": (r"""
        for k in range(3):
            # DDPM (7)  y = a
            y = a * max(k, 1) + 0 * b""", "differ"),
}  # fmt: skip

RIGHT = {
    "reassigned, with an arrow": r"""
        # SDE Alg. 4  x \leftarrow x + a x
        x = x + a * x""",
    "reassigned, with =": r"""
        # SDE Alg. 4  x = x + a x
        x = x + a * x""",
    "plain numbers": r"""
        n, c = 7, 0.25
        # DDPM (7)  y = \frac{n}{c} + 1
        y = n / c + 1""",
    "augmented, of plain numbers": r"""
        c = 0.25
        # DDPM (7)  c = c + 3
        c += 3""",
    "annotated": r"""
        # DDPM (7)  y = a + b
        y: torch.Tensor = a + b""",
    "attribute": r"""
        import types
        self = types.SimpleNamespace(c=2.5)
        # DDPM (7)  s = 3 c + a
        self.s = 3 * self.c + a""",
    "tuple that swaps": r"""
        # DDPM (7)  a = b + 1,\quad b = 2 a
        a, b = b + 1, 2 * a""",
    "several targets": r"""
        # DDPM (7)  y = a + b
        w = y = a + b""",
    "element of a list": r"""
        c, j = [0, 0], 1
        # LMS  c_j = a b
        c[j] = a * b""",
    "element with a number": r"""
        c = [0, 0]
        # LMS  c_1 = a b
        c[1] = a * b""",
    "table": r"""
        beta = torch.rand(7)
        # DDPM §2  \bar\alpha_t = \prod_{s=0}^t (1 - \beta_s)
        alpha_bar = (1 - beta).cumprod(0)""",
    "long table": r"""
        beta = torch.rand(1000) / 100
        # DDPM §2  \alpha_t = 1 - \beta_t
        alpha = 1 - beta""",
    "table whose index is a variable": r"""
        i, N = torch.arange(7), 7
        # EDM (5)  \sigma_i = \left(\frac{i}{N - 1}\right)^3
        sigma = (i / (N - 1)) ** 3""",
    "list": r"""
        N = 5
        # EDM (5)  \sigma_i = \frac{i + 2}{N}
        sigma = [(i + 2) / N for i in range(N)]""",
    "numpy, backwards": r"""
        import numpy as np
        N = 5
        # Spacing Table 2  t_k = 3 (N - 1 - k) + 0.5
        t = (3 * np.arange(N) + 0.5)[::-1]""",
    "chain of equalities": r"""
        # DDPM (7)  y = a + a + b = 2 a + b
        y = 2 * a + b""",
    "draw or zero": r"""
        # DDPM Alg. 2, line 3  z \sim \mathcal N(0, \frac14 I)
        for keep in (True, False):
            # DDPM Alg. 2, line 3  z \sim \mathcal N(0, \frac14 I)
            z = 0.5 * torch.randn(50, 50) if keep else 0"""[len(r"""
        # DDPM Alg. 2, line 3  z \sim \mathcal N(0, \frac14 I)"""):],
    "draw of a mean for each sample": r"""
        m = torch.tensor([3.0, -5.0])[:, None]
        # DDPM (4)  x_t \sim \mathcal N(m, \frac14 I)
        y = m + 0.5 * torch.randn(2, 900)""",
    "sum with bounds": r"""
        c, d = [a, b], [x, x.sin()]
        # LMS  y = x + \sum_{j=0}^{1} c_j d_j
        y = x + sum(p * q for p, q in zip(c, d))""",
    "sum over all entries": r"""
        c, d = [a, b], [x, x.sin()]
        # LMS  y = x + \sum_j c_j d_j
        y = x + sum(p * q for p, q in zip(c, d))""",
    "a batch of times": r"""
        alpha_bar_t = torch.rand(2)[:, None, None, None]
        # DDPM (4)  y = \sqrt{\bar\alpha_t}\, x + \sqrt{1 - \bar\alpha_t}
        y = alpha_bar_t**0.5 * x + (1 - alpha_bar_t) ** 0.5""",
    "two free indices": r"""
        u, v = torch.randn(3), torch.randn(4)
        # DDPM (4)  m_{i,j} = u_i v_j + 1
        m = u[:, None] * v + 1""",
    "vectors normalised": r"""
        u = torch.randn(3, 5)
        # CLIP §2.3  U = \frac{u}{\lVert u \rVert}
        U = u / u.norm(dim=1, keepdim=True)""",
    "nearest code": r"""
        z, e = torch.randn(5, 3), torch.randn(7, 3)
        # VQ (1)  k_i = \arg\min_j \lVert z_i - e_j \rVert
        k = torch.cdist(z, e).argmin(1)
        # VQ (2)  q_i = e_{k_i}
        q = e[k]""",
    "loss": r"""
        eps_theta, eps = x, 2 * x
        # DDPM (14)  L = \overline{(\epsilon - \epsilon_\theta(\sqrt{a} x + b, t))^2}
        L = ((eps - eps_theta) ** 2).mean()""",
    "integral of a paired function": r"""
        def ell(tau):
            # LMS  \ell(\tau) = \tau^2 + 1
            return tau**2 + 1
        # LMS  c = \int_0^b \ell(\tau)\, d\tau
        c = (ell(b) - 1) * b / 3 + b""",
    "braced accents": r"""
        alpha_bar_t, x_0_hat = a, b
        # DDPM (7)  y = \bar{\alpha}_t \hat{x}_0 + \bar{\alpha_t} \hat{x_0}
        y = 2 * alpha_bar_t * x_0_hat""",
    "function of the code": r"""
        sigma = lambda t: 3 * t
        # SDE §3.4  y = \sigma(a) + \sigma(b)
        y = 3 * a + 3 * b""",
    "letter with a plain argument": r"""
        beta, dt = a, b
        # SDE (11)  y = x - \frac12 \beta(t) x\, \mathrm{dt}
        y = x - 0.5 * beta * x * dt""",
    "value in a nested function": r"""
        def g(u):
            # DDPM (7)  w = u a + b
            return u * a + b
        y = g(x)""",
    "tuple returned": r"""
        def g(u):
            # DDPM (7)  p = u a,\quad q = u - b
            return u * a, u - b
        y = g(x)""",
    "fused call": r"""
        Q, K, V, d = torch.randn(2, 3, 4), torch.randn(2, 5, 4), torch.randn(2, 5, 6), 4
        # Attention (1)  A = \mathrm{softmax}\left(\frac{QK^\top}{\sqrt d}\right) V
        A = torch.nn.functional.scaled_dot_product_attention(Q, K, V)""",
    "float32 asked for": r"""
        c = torch.rand(3, dtype=torch.float32)
        # DDPM (7)  y = c^2 + a
        y = (c**2).float() + a""",
    "gradients": r"""
        w = torch.randn(3, requires_grad=True)
        # DDPM (7)  y = w^2 + a
        y = w**2 + a""",
    "line of an algorithm that is only shown": r"""
        # DDPM Alg. 2, line 5  \mathrm{end\ for}
        y = a + b""",
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_pairs_are_refused(checked, name):
    body, words = WRONG[name]
    failures = checked(body).failures
    assert any(words in str(f) for f in failures), "\n".join(map(str, failures)) or "accepted"
    assert all(f.where.path.endswith("/m.py") and f.where.line > 4 for f in failures)


@pytest.mark.parametrize("name", RIGHT)
def test_right_pairs_in_awkward_forms_are_accepted(checked, name):
    report = checked(RIGHT[name], equivalent=())
    assert "\n".join(map(str, report.failures)) == ""
    (file,) = [f for f in report.files if f.path.endswith("/m.py")]
    assert any(s.pairs and s.runs for s in file.statements.values())


def test_a_failure_shows_the_line_the_pair_and_both_values(checked):
    (failure,) = checked("# DDPM (7)  y = a - b\ny = a + b").failures
    where, what, *details = str(failure).split("\n")
    assert where.endswith("m.py:7: the statement and its equation differ")
    assert [d.strip() for d in (what, *details)] == ["DDPM (7)  y = a - b", "y = a + b", "statement 2, equation 1.4"]


def test_mutants_equal_by_mathematics_are_listed_with_a_reason(checked):
    body = "# DDPM (7)  y = \\operatorname{clip}(b, 0, 9)\ny = b.clamp(0, 9)"
    passing = {"b", "b.clamp(0, 10)"}
    (failure,) = checked(body).failures
    assert {d.removeprefix("passes  ") for d in failure.details if d.startswith("passes")} == passing
    report = checked(body, equivalent=dict.fromkeys(passing, "nothing is out of range"))
    assert report.failures == []
    assert {(s.text, mutant, why) for s, mutant, why in report.equivalent} == {
        ("y = b.clamp(0, 9)", mutant, "nothing is out of range") for mutant in passing
    }


@pytest.mark.parametrize("entry", ["a - b", "a + b + c"])
def test_an_entry_that_is_told_apart_or_gone_is_a_failure(checked, entry):
    (failure,) = checked("# DDPM (7)  y = a + b\ny = a + b", equivalent={entry: "so I thought"}).failures
    assert "remove the entry" in failure.what and failure.details == (entry,)


def test_an_entry_holds_for_the_module_of_its_scenario_alone(package):
    name = package("import torch\ndef f(b):\n    # DDPM (7)  y = b + 0\n    y = b + 0\n")
    drive = lambda m: m.f(torch.tensor(2.5))
    entry = {"b - 0": "0 has no sign"}
    assert check(name, [Scenario(f"{name}.m", drive, entry)]).failures == []
    elsewhere = check(name, [Scenario(f"{name}.m", drive), Scenario(name, lambda m: None, entry)]).failures
    assert len(elsewhere) == 2


def test_a_scenario_that_stops_is_a_failure_and_the_others_go_on(package):
    name = package(HEAD + "    # DDPM (7)  y = a + b\n    y = a + b\n")

    def stops(module):
        raise RuntimeError("no such thing")

    (failure,) = check(name, [Scenario(f"{name}.m", stops), Scenario(f"{name}.m", lambda m: m.f())]).failures
    assert "RuntimeError: no such thing" in failure.what and f"the scenario of {name}.m stopped" in failure.what


def test_pairs_of_files_that_nothing_imports_are_missed(package):
    name = package("# DDPM (7)  y = a\ny = a\n")
    (failure,) = check(name, []).failures
    assert "no scenario runs this statement" in failure.what


def test_sources_replace_files_for_one_check(package):
    name = package("def f(a):\n    # DDPM (7)  y = 2 a\n    y = 2 * a\n")
    scenarios = {f"{name}.m": lambda m: m.f(1.7)}
    assert check(name, scenarios).failures == []
    broken = "def f(a):\n    # DDPM (7)  y = 2 a\n    y = 3 * a\n"
    assert "differ" in check(name, scenarios, sources={"m.py": broken}).failures[0].what
    assert check(name, scenarios).failures == []
    with pytest.raises(KeyError, match="nosuch.py"):
        check(name, scenarios, sources={"nosuch.py": ""})
    with pytest.raises(ModuleNotFoundError, match="no package 'nosuch'"):
        check("nosuch", [])


def test_everything_is_afterwards_as_it_was(package):
    name = package(HEAD + "    # DDPM (7)  y = a + b\n    y = a + b\n    assert y.dtype == torch.float64\n")
    old = types.ModuleType(name)
    sys.modules[name] = old
    old.__spec__ = types.SimpleNamespace(submodule_search_locations=[f"{sys.path[0]}/{name}"])
    modules, finders, state = dict(sys.modules), list(sys.meta_path), torch.get_rng_state()

    def scenario(module):
        assert sys.modules[name] is not old
        module.f()
        raise ValueError("even so")

    report = check(name, {f"{name}.m": scenario})
    assert len(report.failures) == 1, report.failures
    assert torch.get_default_dtype() == torch.float32
    assert sys.meta_path == finders and torch.equal(torch.get_rng_state(), state)
    assert sys.modules == modules
    del sys.modules[name]


def test_the_package_of_the_checker_can_itself_be_checked():
    import minidiff

    before = {name: module for name, module in sys.modules.items() if name.startswith("minidiff")}

    def scenario(module):
        assert module is not minidiff and sys.modules["minidiff"] is module
        fresh = __import__("minidiff.papers.check.checker", fromlist=["check"])
        assert fresh is not checker and fresh.check is not check

    report = check("minidiff", {"minidiff": scenario})
    assert [str(f) for f in report.failures if "stopped" in f.what] == []
    assert {name: module for name, module in sys.modules.items() if name.startswith("minidiff")} == before
    assert minidiff.papers.check.checker is checker


def test_equations_and_mutants_leave_no_trace(package):
    """Functions that an equation or a mutant calls do not count as reached, and draw nothing that counts."""
    name = package(HEAD + r"""
    def g(u):
        # DDPM (7)  w = u + a
        return u + a
    # SDE §3.4  y = g(b) + 0 x
    y = b + a + 0 * x
""")  # fmt: skip
    failures = check(name, {f"{name}.m": lambda m: m.f()}, {"b + a - 0 * x": "0 has no sign"}).failures
    assert any("no scenario runs this statement" in f.what and f.where.line == 9 for f in failures)


@pytest.mark.parametrize(
    "statement, expected",
    [
        ("y = a + b", True),
        ("y = -a", False),
        ("y = a // b", False),
        ("y = a % b", False),
        ("y = x[i + 1]", False),
        ("y = f(a + b)", False),
        ("y = f(a) + b", True),
        ("y = torch.exp(a)", True),
        ("y = x.clamp(0, 1)[i]", True),
        ("y = x.reshape(-1, n * m)", False),
        ("y = StepOutput(prev_sample=a + b)", True),
        ("y = [a * b for a in c]", True),
        ("y = [a] + c", False),
        ("y = c + [a]", False),
        ("y = 'a' + b", False),
        ("y = a if c else a * b", True),
        ("y = F.scaled_dot_product_attention(q, k, v)", True),
    ],
)
def test_what_counts_as_arithmetic(statement, expected):
    import ast

    assert is_arithmetic(ast.parse(statement).body[0].value) is expected


def test_mutants_change_one_token():
    import ast

    def texts(source, **options):
        return {ast.unparse(m) for m in mutants(ast.parse(source, mode="eval").body, **options)}

    assert texts("a + b") == {"a - b", "b + b", "a + a"}
    assert texts("-a") == {"a"}
    assert texts("a ** 2") == {"a * 2", "a ** 3"}
    assert texts("torch.exp(a)", modules={"torch"}) == {"a"}
    assert texts("x.clamp(0, 1)") == {"x.clamp(1, 1)", "x.clamp(0, 2)", "x"}
    assert texts("self.a * b") == {"self.a / b", "b * b", "self.a * self.a"}
    assert texts("x.flatten(1) / y.shape") == {"x.flatten(1) * y.shape", "x.flatten(2) / y.shape"}
    assert texts("f(a)") == set()
    assert texts("q @ k") == {"q * k", "k @ k", "q @ q"}


def test_what_yields_whole_numbers_is_no_arithmetic_that_needs_a_pair(checked):
    report = checked("n = 3 + 4\nm = (n * 2, 'a')\nk = [1]\nk += [n]\ny = n / 2\nz = torch.ones(3) + n")
    (file,) = [f for f in report.files if f.path.endswith("/m.py")]
    assert [s.text for s in file.statements.values() if s.arithmetic and not s.yields_whole_numbers] == [
        "y = n / 2",
        "z = torch.ones(3) + n",
    ]
