"""The questions of the lessons: each choice says why it is right or tempts."""

import pytest

from minidiff.course.questions import noise_and_denoiser

QUESTIONS = [
    noise_and_denoiser.loss(),
    noise_and_denoiser.all_noise(),
    noise_and_denoiser.drawings(),
    noise_and_denoiser.at_once(one=0.0, many=0.84),
]


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.question[:30])
def test_each_choice_is_explained(question):
    assert len(question.choices) >= 3 and all(question.choices.values())
    assert all(said.startswith("Tempting") == (choice != question.right) for choice, said in question.choices.items())


def test_the_answer_holds_what_was_counted():
    assert "near the spiral are 0 % after one step, 84 % after 50" in QUESTIONS[3].answer
