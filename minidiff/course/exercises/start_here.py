"""The exercises of lesson 0."""

import torch

from minidiff.course.exercises import noise
from minidiff.zoo import evaluator

STEPS = 20  # of the walks


def cat_at_night(answer, pipe):
    """A seed whose picture, in twenty steps, is a cat at night, says the evaluator.

    Args:
        answer: a whole number.
        pipe: draws it.
    """
    if answer is ...:
        return "not yet: write a whole number, such as 0, and see what it draws"
    if type(answer) is not int:
        return f"no: a seed is a whole number, not {answer!r}"
    picture = pipe(1, torch.Generator().manual_seed(answer), num_inference_steps=STEPS, output_type="pt").images
    said = evaluator.look(picture.float().cpu())
    sure = said.object.softmax(1).max().item()
    thing, time = (evaluator.ANSWERS[name][said[name].argmax()] for name in ("object", "time"))
    if (thing, time) != ("cat", "night"):
        return f"no: seed {answer} draws: {thing}, {time}. Wanted are both. Try many seeds at once"
    if sure < evaluator.CONFIDENCE:
        return (
            f"almost: seed {answer} draws something like a cat, but the evaluator is only {sure:.2f} sure. Try another"
        )
    return f"yes: seed {answer} draws a cat at night"


def stop_after_five(answer, pipe):
    """A callback that ends a walk after its fifth step.

    Args:
        answer: a function (pipe, i, t, tensors), called after each step.
        pipe: whose walk it is.
    """
    seen = []

    def counting(pipe, i, t, tensors):
        seen.append(i)
        return answer(pipe, i, t, tensors)

    pipe(1, num_inference_steps=STEPS, output_type="pt", callback_on_step_end=counting)
    if len(seen) == STEPS:
        return f"not yet: the walk took all {STEPS} steps, so nobody said pipe.interrupt = True"
    if len(seen) != 5:
        return f"no: the walk took {len(seen)} steps. The first step has i = 0, so which i has the fifth?"
    return "yes: the walk took five steps"


def half_way(answer):
    """A noise (1, 3, 32, 32) half way between two others: of variance 1, and as much like the one as like the other.

    Args:
        answer: a function (a, b) -> the noise between them.
    """
    a, b = noise(1, 1, 3, 32, 32), noise(2, 1, 3, 32, 32)
    between = answer(a, b)
    if between is None:
        return "not yet"
    shares = [(between * one).mean().item() for one in (a, b)]  # how much of a and of b is in it
    if abs(shares[0] - shares[1]) > 0.1:
        return (
            f"no: it holds {shares[0]:.2f} of the one and {shares[1]:.2f} of the other. Half way holds as much of both"
        )
    if abs(between.var() - 1) > 0.05:
        return f"no: its variance is {between.var():.2f} and should be 1. By what must you multiply all its numbers?"
    if min(shares) < 0.65:
        return f"no: it holds only {shares[0]:.2f} of the one and {shares[1]:.2f} of the other. What else is in it?"
    return "yes: variance 1, and as much of the one as of the other"
