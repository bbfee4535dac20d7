"""A question whose answer is folded: its texts, and the form in a browser."""

from html.parser import HTMLParser

import pytest
from browser import chromium, page

from minidiff import widgets

THREE = {
    "a grey fog": "Tempting, but the drawings are **coloured**.",
    "a random drawing": "That is what a *sampler* gives.",
    r"the mean, $\hat x_0 = E[x_0]$": "It costs least, 0.3 < 0.5.",
}
MEAN = list(THREE)[2]


def question():
    return widgets.ask("What does `unet` see & say?", THREE, right=MEAN, because="Measured: 0.06.")


def test_a_terminal_shows_question_and_choices_but_not_which_is_right():
    assert repr(question()).split("\n") == [
        "What does unet see & say?",
        "  ( ) a grey fog",
        "  ( ) a random drawing",
        "  ( ) the mean, x̂₀ = E[x₀]",
        "(The answer is in .answer)",
    ]


def test_the_answer_says_something_of_each_choice():
    assert question().answer.split("\n") == [
        "✗ a grey fog: Tempting, but the drawings are coloured.",
        "✗ a random drawing: That is what a *sampler* gives.",
        "✓ the mean, x̂₀ = E[x₀]: It costs least, 0.3 < 0.5.",
        "Measured: 0.06.",
    ]


def test_choices_may_be_a_list():
    asked = widgets.ask("Which?", ["one", "two"], right="two")
    assert asked.answer == "✗ one\n✓ two"


class Tags(HTMLParser):
    """The tags of a text with their attributes; closed ones must be those that were opened last."""

    def __init__(self, text):
        super().__init__()
        self.all, self.open = [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.all.append((tag, dict(attributes)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_what_is_said_is_text_and_no_html():
    asked = widgets.ask("Is <b>2</b> < 3 & 1?", {"<script>alert(1)</script>": "`a<b`", "no": ""}, right="no")
    text = asked._repr_html_()
    assert "Is &lt;b&gt;2&lt;/b&gt; &lt; 3 &amp; 1?" in text and "<code>a&lt;b</code>" in text
    assert "script" not in {tag for tag, _ in Tags(text).all}


def test_it_needs_no_script_and_survives_what_jupyterlab_takes_from_untrusted_outputs():
    tags = Tags(question()._repr_html_()).all
    assert not [key for _, attributes in tags for key in attributes if key.startswith("on")]
    assert {tag for tag, _ in tags} == {"div", "details", "summary", "b", "i", "code", "style"}, (
        "of these it takes the style"
    )


def test_two_questions_on_a_page_do_not_fold_each_other():
    names = lambda asked: {a["name"] for tag, a in Tags(asked._repr_html_()).all if tag == "details"}
    other = widgets.ask("And now?", THREE, right=MEAN)
    assert len(names(question())) == len(names(other)) == 1 and names(question()) != names(other)
    assert question()._repr_html_() == question()._repr_html_()


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (("", ["a", "b"], "a"), ValueError, "question is empty"),
        (("Which?", ["a"], "a"), ValueError, r"choices are \['a'\]"),
        (("Which?", ["a", "a"], "a"), ValueError, "no two alike"),
        (("Which?", ["a", "b"], "c"), ValueError, "right is 'c'; allowed is one of the choices, 'a', 'b'"),
        (("Which?", "ab", "a"), TypeError, "choices are a str"),
        (("Which?", ["a", 2], "a"), TypeError, "choice 1 is 2"),
        (("Which?", {"a": None, "b": ""}, "a"), TypeError, r"choices\['a'\] is None"),
        ((7, ["a", "b"], "a"), TypeError, "question is 7"),
    ],
)
def test_bad_input_is_named(arguments, error, said):
    with pytest.raises(error, match=said):
        widgets.ask(*arguments)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_learner_chooses_by_keyboard_and_then_sees_the_answer(tmp_path, scheme):
    file = tmp_path / "question.html"
    file.write_text(f'<meta charset="utf-8"><meta name="color-scheme" content="light dark">{question()._repr_html_()}')
    with chromium() as browser, page(browser, file, scheme=scheme) as tab:
        said = lambda: [text for text in tab.locator("details > div").all_inner_texts() if text]
        assert not said() and tab.locator("summary", has_text="a random drawing").is_visible()
        tab.keyboard.press("Tab")
        tab.keyboard.press("Tab")
        tab.keyboard.press("Enter")
        assert said() == [
            "✗ No. That is what a *sampler* gives.",
            "✓ the mean, x̂₀ = E[x₀]: It costs least, 0.3 < 0.5.",
            "✗ a grey fog: Tempting, but the drawings are coloured.",
            "Measured: 0.06.",
        ]
        tab.keyboard.press("Tab")
        tab.keyboard.press("Space")  # another choice folds the first
        assert said()[0] == "✓ Yes. It costs least, 0.3 < 0.5." and len(said()) == 4
        tab.keyboard.press("Space")
        assert not said()
