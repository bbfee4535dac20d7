"""The page in a browser: what lights up, what moves, what wraps where."""

import pytest
import torch
from browser import chromium, page

import minidiff
from minidiff import DDIMScheduler, PNDMScheduler


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


def walk(scheduler, steps):
    """A run without a network."""
    scheduler.set_timesteps(steps)
    x = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    for t in scheduler.timesteps:
        x = scheduler.step(x.sin(), t, x).prev_sample


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """{name: file}."""
    folder = tmp_path_factory.mktemp("pages")
    plms = PNDMScheduler(skip_prk_steps=True)
    readings = {
        "step": minidiff.read(DDIMScheduler.step),
        "run": minidiff.read(PNDMScheduler, run=lambda: walk(plms, 6), step=4),
        "whole": minidiff.read("pndm"),
    }
    return {name: reading.save(folder / f"{name}.html") for name, reading in readings.items()}


def each(tab, selector, script):
    """The values of a JavaScript expression of `e` for all elements."""
    return tab.evaluate(f"[...document.querySelectorAll({selector!r})].map(e => {{ {script} }})")


def lit(tab):
    """Texts of all that is lit: in code, in equations."""
    return tuple(each(tab, f"table {kind} .on", "return e.textContent") for kind in ("pre", "math"))


def test_a_letter_lights_its_variable_and_nothing_else(browser, pages):
    with page(browser, pages["step"]) as tab:
        tab.locator(".tex").nth(2).locator("mfrac msub").first.hover()  # in (16) the first \bar\alpha_{t-1}
        code, equations = lit(tab)
        assert set(code) == {"alpha_bar_prev"} and set(equations) == {"α¯t−1"}
        assert len(code) == pages["step"].read_text().count(">alpha_bar_prev</span>")
        assert len(equations) == 4, "two in (16), two in (12)"
        said = tab.locator(".glossary").inner_text()
        assert "alpha_bar_prev" in said and "the product of α₀ to αₜ" in said and "DDIM αₜ" in said
        tab.locator(".name").hover()
        assert lit(tab) == ([], []) and not tab.locator(".glossary").is_visible()


def test_a_name_in_the_code_lights_its_letters(browser, pages):
    with page(browser, pages["step"]) as tab:
        tab.locator("pre .line", has_text="def step").get_by_text("eta", exact=True).hover()
        code, equations = lit(tab)
        assert set(code) == {"eta"} and len(code) > 2 and equations == ["η"]
        assert "how much of DDPM's noise" in tab.locator(".glossary").inner_text()


def test_the_same_name_in_another_function_stays_dark(browser, pages):
    with page(browser, pages["run"]) as tab:
        phi = tab.locator("table", has_text="def phi(")
        phi.locator("math").get_by_text("ϵ", exact=True).hover()
        assert set(lit(tab)[0]) == {"eps"} and lit(tab)[1] == ["ϵ"]
        assert phi.locator(".on").count() == tab.locator("table .on").count() > 2, "`self.eps` is another variable"


def test_the_tab_key_goes_from_letter_to_letter(browser, pages):
    with page(browser, pages["step"]) as tab:
        tab.keyboard.press("Tab")
        assert set(lit(tab)[0]) == {"x_0_hat"} and "picture" in tab.locator(".glossary").inner_text()
        tab.keyboard.press("Tab")
        assert set(lit(tab)[0]) == {"eps_theta"}
        tab.keyboard.press("Escape")
        assert lit(tab) == ([], []) and not tab.locator(".glossary").is_visible()


def test_the_slider_changes_the_values(browser, pages):
    with page(browser, pages["run"]) as tab:
        value = tab.locator("table", has_text="def phi(").locator(".value")
        state = lambda: (
            tab.locator("output").inner_text(),
            value.inner_text(),
            value.locator("img").get_attribute("src"),
        )
        first = state()
        assert first[0] == "call 4 of 0 to 6, t = 332"
        assert "x_prev = (1, 3, 8, 8), mean" in first[1] and first[2].startswith("data:image/webp")
        assert value.locator("img").evaluate("e => e.decode().then(() => e.naturalWidth)") == 8
        tab.locator("input[type=range]").focus()
        tab.keyboard.press("ArrowRight")
        assert state()[0] == "call 5 of 0 to 6, t = 166" and all(a != b for a, b in zip(first, state()))
        tab.keyboard.press("ArrowLeft")
        assert state() == first
        tab.keyboard.press("Home")
        multistep = tab.locator("table", has_text="def multistep(").locator(".value")
        assert set(multistep.all_inner_texts()) == {"not reached"}, "the first call has nothing to look back at"


def test_a_click_in_the_contents_goes_there(browser, pages):
    with page(browser, pages["whole"], height=400) as tab:
        place = tab.locator(".part", has_text="GaussianFourierProjection.forward")
        assert place.bounding_box()["y"] > 400
        tab.locator(".contents a", has_text="GaussianFourierProjection.forward").click()
        tab.wait_for_function("() => scrollY + innerHeight + 1 >= document.documentElement.scrollHeight")
        assert 0 <= place.bounding_box()["y"] < 400


# The last character of each piece of code behind which a line was wrapped.
ENDS = """
    const pieces = [...e.children].filter(piece => piece.tagName == "SPAN");
    const box = piece => piece.getBoundingClientRect();
    return pieces.slice(1).flatMap((piece, k) =>
        box(piece).top > box(pieces[k]).bottom - 2 && !piece.querySelector(".comment") ? [pieces[k].textContent] : []);
"""


@pytest.mark.parametrize("width", [700, 1400])
@pytest.mark.parametrize("name", ["step", "run", "whole"])
def test_nothing_is_cut_off_or_torn(browser, pages, name, width):
    with page(browser, pages[name], width) as tab:
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert not any(each(tab, "pre, .equation", "return e.scrollWidth > e.clientWidth + 1"))
        torn = each(tab, "pre .line span span:not(.comment, .long *)", "return e.getClientRects().length > 1")
        assert len(torn) > 50 and not any(torn), "a name, a number or a string"
        wrapped = sum(each(tab, "pre .line", ENDS), [])
        assert all(end[-1] in ",()]}+-*/=<>&|" or end.endswith((" and", " or")) for end in wrapped), wrapped
        assert wrapped or width == 1400


def test_a_wrapped_line_hangs(browser, pages):
    with page(browser, pages["step"], 700) as tab:
        box = "[p.getBoundingClientRect().top, p.getBoundingClientRect().left]"
        lines = each(tab, "pre .line", f"return [...e.querySelectorAll(':scope > span')].map(p => {box})")
        signature = lines[0]
        lefts = [min(left for top, left in signature if top == at) for at in sorted({top for top, _ in signature})]
        assert len(lefts) == 3 and lefts[1] == lefts[2] > lefts[0] + 40


@pytest.mark.parametrize("name", ["step", "run"])
def test_the_equation_is_level_with_the_first_line_of_its_statement(browser, pages, name):
    middle = "const middle = x => x.getBoundingClientRect().top + x.getBoundingClientRect().height / 2;"
    relation = "[...e.querySelectorAll('math mo')].find(x => '=←∼'.includes(x.textContent))"
    with page(browser, pages[name], 1400) as tab:
        off = each(tab, "tr.pair", f"{middle} return middle({relation}) - middle(e.querySelector('.line > span'))")
        assert len(off) >= 5 and max(map(abs, off)) < 8, off
        lefts = each(tab, "td:last-child", "return Math.round(e.getBoundingClientRect().left)")
        assert len(set(lefts)) == 1 and lefts[0] > 500, "two columns"
    with page(browser, pages[name], 700) as tab:
        bottoms = each(tab, "tr.pair td:first-child", "return e.getBoundingClientRect().bottom")
        tops = each(tab, "tr.pair td:last-child", "return e.getBoundingClientRect().top")
        assert all(bottom <= top for bottom, top in zip(bottoms, tops, strict=True)), "one column"


@pytest.mark.parametrize("theme", ["", "light", "dark"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_notebooks_theme_comes_before_the_systems(browser, pages, scheme, theme):
    with page(browser, pages["step"], scheme=scheme) as tab:
        if theme:
            tab.evaluate("light => document.body.dataset.jpThemeLight = light", str(theme == "light").lower())
            tab.evaluate("document.documentElement.className = ''")  # a notebook is no page of ours
        for kind in (".name", "pre", "math", "tr.pair .number"):
            colour = each(tab, kind, "return getComputedStyle(e).color.match(/\\d+/g).map(Number)")[0]
            assert (sum(colour) > 380) == ((theme or scheme) == "dark"), kind
