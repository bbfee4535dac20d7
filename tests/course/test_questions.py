"""The questions of the lessons: each choice is explained, and what is said of the right one is not said of others."""

import inspect
from importlib import import_module
from pathlib import Path

import pytest

from minidiff.course import questions
from minidiff.course.questions import noise_and_denoiser

MODULES = [import_module(f"{questions.__name__}.{file.stem}") for file in Path(questions.__path__[0]).glob("[a-z]*.py")]
COUNTED = {"one": 0.0, "many": 0.84}  # what a lesson has just measured


def asked():
    for module in MODULES:
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__:
                of_it = {key: COUNTED[key] for key in inspect.signature(function).parameters}
                yield pytest.param(function(**of_it), id=f"{module.__name__.rpartition('.')[2]}.{name}")


@pytest.mark.parametrize("question", list(asked()))
def test_each_choice_is_explained(question):
    assert len(question.choices) >= 3 and all(question.choices.values())
    assert len(set(question.choices.values())) == len(question.choices)


def test_every_question_is_asked_in_its_lesson():
    lessons = Path(__file__).parents[2].joinpath("lessons").glob("[0-9][0-9]_*.py")
    texts = [lesson.read_text() for lesson in lessons]
    for module in MODULES:
        name = module.__name__.rpartition(".")[2]
        (text,) = [text for text in texts if f"from minidiff.course.questions import {name} as questions" in text]
        own = [
            name
            for name, value in inspect.getmembers(module, inspect.isfunction)
            if value.__module__ == module.__name__
        ]
        assert own and [question for question in own if f"questions.{question}(" not in text] == []


def test_the_answer_holds_what_was_counted():
    answer = noise_and_denoiser.at_once(**COUNTED).answer
    assert "near the spiral are 0 % after one step, 84 % after 50" in answer
