"""The page as text: what stays where scripts and styles are taken away, and that nothing else is asked for."""

import ast
import functools
import json
import re
import unicodedata

import pytest

from minidiff import DDIMScheduler, PNDMScheduler, read
from minidiff.models.unet_2d_blocks import DownBlock
from minidiff.papers.letters import explained
from minidiff.papers.reader.page import resource
from minidiff.papers.reader.prose import documentation, with_letters
from minidiff.papers.reader.source import Source, Variable, tokens_of
from minidiff.papers.reader.whole import chapters
from minidiff.papers.reader.wrap import wrappable
from minidiff.papers.tex.equations import equations
from minidiff.schedulers import ddim


def f(a, other):
    """Says </script> & more."""
    # DDPM (7)  y = a
    y = f"<!--<script>{a}" if other else a  # </script>
    return y


def stripped(page):
    """What an untrusted notebook keeps."""
    page = re.sub(r"<(script|style)>.*?</\1>", "", page, flags=re.DOTALL)
    return re.sub(r' (?:id|data-[\w-]+)="[^"]*"', "", page)


def cells(page):
    """[(text on the left, text on the right)] of each row."""
    rows = re.findall(r"<tr[^>]*><td[^>]*>(.*?)</td><td[^>]*>(.*?)</td></tr>", page, flags=re.DOTALL)
    text = lambda html: re.sub("<[^>]+>", "", html).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return [(text(left).strip(), text(right).rstrip("\n")) for left, right in rows]


def test_two_readable_columns_stay_where_scripts_are_taken_away():
    page = stripped(read(DDIMScheduler.step)._repr_html_())
    assert "<math" not in page and "{" not in re.sub("<[^>]+>", "", page).replace("ϵ_{", "").split("def step")[0]
    rows = dict(cells(page))
    assert rows["DDIM (12) ϵ ~ N(0, I)"].strip().startswith("eps = randn_like(x_t, generator)")
    line = "sigma_t = eta * ((1 - alpha_bar_prev) / (1 - alpha_bar_t) * (1 - alpha_bar_t / alpha_bar_prev)) ** 0.5"
    assert line in [right.strip() for _, right in cells(page)]


@pytest.mark.parametrize("obj", [DDIMScheduler.step, PNDMScheduler.plan_runge_kutta, DownBlock, f])
def test_the_page_holds_the_code_as_it_is_written(obj):
    shown = "\n".join(right for _, right in cells(read(obj)._repr_html_()))
    kept = [line for line in Source(obj).lines if line.strip() and not line.strip().startswith("#")]
    squeezed = lambda text: re.sub(r"\s|,(?=\s*\))", "", text)
    assert all(
        squeezed(line) in squeezed(shown) for line in kept if not inside_docstring(obj, line) and line[-1] not in "(,"
    )


def inside_docstring(obj, line):
    return line.strip() in (obj.__doc__ or "") or '"""' in line or any(line.strip() in d for d in documents(obj))


def documents(obj):
    """The docstrings of the methods of a class."""
    return (
        [member.__doc__ for member in vars(obj).values() if getattr(member, "__doc__", None)]
        if obj is DownBlock
        else []
    )


def test_a_page_asks_nothing_of_the_network(tmp_path):
    page = read("ddim").save(tmp_path / "page.html").read_text()
    assert not re.search(r"https?:|//[a-z]|@import|url\(|<link|<img| src=", page.replace(resource("reader.js"), ""))
    assert (
        page.count("<script>") == 1 and page.startswith("<!doctype html>") and "<title>minidiff.pipelines.ddim" in page
    )


def test_the_same_content_has_the_same_bytes_and_ids():
    first, again, other = (read(obj)._repr_html_() for obj in (ddim, ddim, DDIMScheduler.inverse_step))
    assert first == again
    ids = [re.search(r'class="minidiff-reader" id="(r[0-9a-f]{10})"', page)[1] for page in (first, other)]
    assert ids[0] != ids[1]
    parts = re.findall(r'class="part" id="([^"]+)"', first)
    assert parts == re.findall(r'<a href="#([^"]+)"', first) == [f"{ids[0]}-0", f"{ids[0]}-1"]


def test_nothing_in_the_code_ends_the_script():
    page = read(f, run=lambda: f("</script><!--", True))._repr_html_()
    assert page.count("</script>") == 1 and page.count("<!--") == 0
    data = json.loads(re.search(r"document.currentScript, (.*)\);</script>", page)[1])
    assert data["steps"]["values"] == [[["y = '<!--<script></script><!--'"], None]]
    assert data["letters"][1][1:] == ["a", explained(equations("a = 0")[0].left, "DDPM")]


def test_a_line_that_is_only_shown_may_hold_any_command():
    def g(x):
        # DDPM Alg. 1, line 5  \nabla_\theta \lVert x \rVert
        return x

    assert '"equations":["∇_θ ‖x‖"]' in read(g)._repr_html_()

    def h(a):
        # SDE Alg. 2, line 3  \mathbb{E}[a] \approx \nabla_\theta a
        return a

    tex = r"\mathbb{E}[a] \approx \nabla_\theta a"
    assert json.dumps({"equations": [tex]}, separators=(",", ":"))[1:-1] in read(h)._repr_html_()
    assert tex in str(read(h)), "as it is written, where there is no sign for a command"


def pieces(code):
    return ["".join(t.text for t in tokens) for tokens, _ in wrappable(tokens_of([code], ast.parse(code), {})[1])]


@pytest.mark.parametrize(
    "code, wrapped",
    [
        ("x = a + b", ["x =", "a +", "b"]),
        ("y = 2 * a - 3 * b", ["y =", "2 * a -", "3 * b"]),
        ("y = (a - b) * (c - d)", ["y =", "(a - b) *", "(c - d)"]),
        ("y = a**0.5 + b ** (2 - c)  # noqa: E1", ["y =", "a**0.5 +", "b ** (2 - c)"]),
        (f"y = ({'a' * 32}) ** 0.5 * eps_theta", ["y =", f"({'a' * 32}) ** 0.5 *", "eps_theta"]),
        (f"y = {'a' * 32}[b * c] / (d + e) - f", ["y =", f"{'a' * 32}[b * c] /", "(d + e) -", "f"]),
        ("f(alpha_bar_t, alpha_bar_prev, model_output)", ["f(", "alpha_bar_t,", "alpha_bar_prev,", "model_output)"]),
        ("f(x_t, t)", ["f(x_t, t)"]),
        ("x = f(a) if b and c else d", ["x =", "f(a)", "if b and", "c else d"]),
        ('raise E("one, two (three) = four")', ['raise E("one, two (three) = four")']),
        ('g(f"{a, b} and = {c}, longer than (it is)", 1)', ["g(", 'f"{a, b} and = {c}, longer than (it is)",', "1)"]),
        ("x = y  # (B, C)", ["x =", "y", "# (B, C)"]),
        ("# one two", ["#", "one", "two"]),
    ],
)  # fmt: skip
def test_where_a_line_may_wrap(code, wrapped):
    assert pieces(code) == wrapped


@pytest.mark.parametrize(
    "plain, shown",
    [
        ("alpha-bar_t and x_0", "ᾱₜ and x₀"),
        ("a step of `alpha_t`, e.g. beta_t", "a step of `alpha_t`, e.g. βₜ"),
        ("x_{t-1} when x_t", "xₜ₋₁ when xₜ"),
        ("f_theta(x)", "f_θ(x)"),
        ("batch_size, T - 1, in_channels", "batch_size, T - 1, in_channels"),
    ],
)
def test_letters_in_plain_text(plain, shown):
    assert unicodedata.normalize("NFC", with_letters(plain)) == shown


def test_documentation():
    assert documentation(r"x_t -> x_{t-\delta} at \eta < 1, `beta`") == "xₜ → x_{t−δ} at η &lt; 1, <code>beta</code>"


class Shapes:
    def step(self, x, *, t=1):
        c = [0, 0]
        # DDPM (7)  x_T \sim \mathcal N(0, t)
        x_noisy = x + t  # noqa: F841
        # DDPM (7)  \bar\alpha_t = \alpha_t - c_1
        self.alpha_bar = (lambda x: x)(self.alpha)[t] - c[1]
        # DDPM (7)  y = \sum_{j=0}^1 x_j
        return sum(x[j] for j in range(2))

    def other(self, x):
        # DDPM (7)  z = \bar\alpha_t x
        z = self.alpha_bar * x
        return f"{z}"


def test_which_variable_a_letter_is():
    names = {function: Source(function, Shapes).names for function in (Shapes.step, Shapes.other)}

    def of(tex, line, function=Shapes.step, **more):
        variable = names[function].variable(equations(f"{tex} = 0")[0].left, line, **more)
        return variable.scope.rpartition(".")[2], variable.name

    assert of("x", 4) == ("step", "x") and of("x", 3, Shapes.other) == ("other", "x"), "of its own function"
    assert of(r"\bar\alpha_t", 6) == of(r"\bar\alpha_t", 3, Shapes.other) == ("Shapes", "alpha_bar"), "of both"
    assert of(r"\alpha_t", 6) == ("Shapes", "alpha") and of("c_1", 6) == ("step", "c"), "an entry of a table"
    assert of("x_T", 4) == ("step", "x"), "an entry too"
    assert of("x_T", 4, is_left=True) == ("step", "x_noisy"), "what is drawn may be called otherwise"
    assert of("y", 8, is_left=True) == ("step", "y"), "what is returned has no name"
    assert names[Shapes.step].in_code(Variable("Shapes", "alpha_bar")) == "self.alpha_bar"
    assert names[Shapes.step].in_code(names[Shapes.step].at[1, 15]) == "x"
    counted = [name for _, name in names[Shapes.step].at.values()]
    assert counted.count("x") == 5 and counted.count("alpha") == 1, "the lambda's own x too"
    counted = [name for _, name in names[Shapes.other].at.values() if name != "self"]
    assert counted == ["x", "z", "alpha_bar", "x"], "none in an f-string"


def test_a_papers_own_letter_comes_before_that_of_all():
    letter = lambda tex: equations(f"{tex} = 0")[0].left
    assert explained(letter("s"), "IDDPM").startswith("0.008") and explained(letter("s"), "DDPM").startswith("an index")
    assert explained(letter(r"\epsilon'"), "PNDM").startswith("the noise to move along")
    assert explained(letter("s"), "FID") == ""


def test_what_a_whole_thing_is_made_of():
    titles = lambda obj: {c.title: [source.title for source in c.sources] for c in chapters(obj)}
    assert titles("ddim") == {
        "The loop": ["DDIMPipeline.__call__"],
        "The scheduler: DDIMScheduler": ["DDIMScheduler.step", "DiscreteScheduler.predict"],
        "The network: UNet2DModel": [
            "UNet2DModel.forward",
            "timestep_embedding",
            "Attention.forward",
            "ResnetBlock2D.forward",
            "GaussianFourierProjection.forward",
        ],
    }
    assert [title for name in ("karras_ve", "score_sde_vp") for title in titles(name) if "scheduler" in title] == [
        "The scheduler: KarrasVeScheduler",
        "The scheduler: ScoreSdeVpScheduler",
    ]
    assert titles("stable_diffusion")["The loop"] == ["StableDiffusionPipeline.__call__", "guided", "decoded"]
    scheduler = titles(PNDMScheduler)[""]
    assert scheduler[:5] == [f"PNDMScheduler.{n}" for n in ("step", "runge_kutta", "multistep", "phi", "predict_x_0")]
    assert "DiscreteScheduler.predict" in scheduler and "PNDMScheduler.set_timesteps" not in scheduler
    assert titles(ddim) == {"": ["DDIMScheduler.step", "DDIMScheduler.inverse_step"]}
    assert titles(DDIMScheduler.step) == {"": ["DDIMScheduler.step"]} and titles(DownBlock) == {"": ["DownBlock"]}


def test_the_scheduler_is_the_one_that_the_weights_name(tmp_path, monkeypatch):
    """Also where the pipeline's constructor mentions others, to refuse them."""
    folder = tmp_path / "notes-dance-diffusion"
    folder.mkdir()
    index = {"scheduler": ["diffusers", "IPNDMScheduler"], "unet": ["diffusers", "UNet1DModel"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    monkeypatch.setattr("minidiff.zoo.WEIGHTS", tmp_path)
    loop, scheduler, network = chapters("dance_diffusion")
    assert loop.title == "The loop" and network.title == "The network: UNet1DModel"
    assert scheduler.title == "The scheduler: IPNDMScheduler" and scheduler.sources[0].title == "IPNDMScheduler.step"
    assert [chapter.title for chapter in chapters("score_sde_ve")] == ["The loop"], "without weights"


class Made:
    """Things that are made around functions, which hold pairs."""

    @functools.cached_property
    def half(self):
        # DDPM (7)  h = \frac{x}{2}
        h = self.x / 2
        return h

    @classmethod
    def make(cls, x):
        # DDPM (7)  y = x
        y = x
        return y

    async def later(self, x):
        # DDPM (7)  z = 2 x
        z = 2 * x
        return z


def test_what_is_made_around_a_function():
    assert [source.title for source in chapters(Made)[0].sources] == ["Made.half", "Made.make", "Made.later"]
    for obj in (Made.half, vars(Made)["make"], Made.make, functools.partial(Made.make, 3), Made().later):
        assert len(Source(obj).pairs) == 1 and read(obj).title.startswith("Made.")
    assert [name for _, name in Source(Made.later).names.at.values()].count("x") == 2, "in an async function too"
    actions = {
        "halve": lambda x: x / 2,
    }
    with pytest.raises(OSError, match="be a statement of its own, as a lambda in a dict is not"):
        read(actions["halve"])


def test_names():
    assert read("ddim").name == "minidiff.pipelines.ddim.DDIMPipeline"
    assert read("DDIMScheduler.step").name == read(DDIMScheduler.step).name
    assert read("schedulers.ddim").name == "minidiff.schedulers.ddim"
    assert read("zoo").name == "minidiff.zoo" and read("models.resnet").name == "minidiff.models.resnet"
    with pytest.raises(ValueError, match="DDIMScheduler"):
        read("DDIMSchedular")
    with pytest.raises(ValueError, match="'schedulers' is a folder; allowed are the modules in it: base, ddim, ddpm"):
        read("schedulers")
    with pytest.raises(ValueError, match="there is no '__main__'"):
        read("__main__")  # which would run the command line


@pytest.mark.parametrize("path", ["page", "page.png"])
def test_a_page_is_html(path, tmp_path):
    with pytest.raises(ValueError, match="ends in .html"):
        read(f).save(tmp_path / path)


def test_the_colours_are_those_of_python():
    page = read(DDIMScheduler.step)._repr_html_()
    for kind, text in (("keyword", "def"), ("defined", "step"), ("number", "0.0"), ("string", '"'), ("comment", "#")):
        assert f'<span class="{kind}">{text}' in page
