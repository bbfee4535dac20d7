"""The exercises' checks, with right answers, which are the solutions folded in the lessons, and with wrong ones."""

import re
from pathlib import Path

import jupytext
import pytest
import torch

from minidiff import DDIMPipeline, zoo
from minidiff.course import exercises
from minidiff.course.exercises import ddim, ddpm, pndm, start_here

LESSONS = Path(__file__).parents[2] / "lessons"
SOLUTION = re.compile(r"<summary>Solution</summary>\n\n```python\n(.*?)```", re.DOTALL)
CHECKS = {"00_start_here": start_here, "02_ddpm": ddpm, "03_ddim": ddim, "04_pndm": pndm}


@pytest.fixture(scope="module")
def pipe():
    pipe = DDIMPipeline.from_pretrained(zoo.path("storybook-ddpm"))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def exercises_of(lesson):
    """[(code of the exercise's cell without its last line, that line, the solution)]."""
    cells = jupytext.read(LESSONS / f"{lesson}.py").cells
    found = [(cell, SOLUTION.search(after.source)) for cell, after in zip(cells, cells[1:], strict=False)]
    return [(*cell.source.rsplit("\n", 1), solution[1]) for cell, solution in found if solution]


@pytest.mark.parametrize("lesson", CHECKS)
def test_every_exercise_is_open_and_its_solution_passes(lesson, pipe):
    names = {"exercises": CHECKS[lesson], "pipe": pipe, "torch": torch}
    found = exercises_of(lesson)
    assert len(found) == 3
    opened, solved = [dict(names) for _ in range(2)]
    for task, check, solution in found:
        said = re.fullmatch(r"print\((exercises\..*)\)", check)[1]
        exec(task, opened)
        assert not eval(said, opened).startswith("yes"), task
        exec(solution, solved)
        assert eval(said, solved).startswith("yes"), solution


def nothing(*arguments):
    return None


def is_said(check, answers, *more):
    """Hold wrong answers, at least three beside none at all, against a check, and what it shall say of each."""
    assert len([answer for answer, _ in answers if answer is not nothing]) >= 3
    for answer, said in answers:
        assert said in (found := check(answer, *more)) and not found.startswith("yes"), found


def stops_at(step):
    def callback(pipe, i, t, tensors):
        pipe.interrupt = i == step

    return callback


def test_stop_after_five(pipe):
    wrong = [(nothing, "took 20 steps"), (stops_at(5), "took 6 steps"), (stops_at(0), "took 1 steps")]
    is_said(start_here.stop_after_five, wrong, pipe)


def test_half_way():
    wrong = [
        (nothing, "not yet"),
        (lambda a, b: (a + b) / 2, "its variance is 0.5"),
        (lambda a, b: a + b, "its variance is 2.0"),
        (lambda a, b: b, "of the one and 1."),
        (lambda a, b: (a - b) / 2**0.5, "of the one and -0.7"),
        (lambda a, b: torch.randn(a.shape, generator=torch.Generator().manual_seed(3)), "no: it holds"),
    ]
    is_said(start_here.half_way, wrong)


def test_reported_noise(pipe):
    wrong = [
        (nothing, "not yet"),
        (lambda unet, x, t: unet(x, t).sample.var().item(), "this grows 4.0-fold"),
        (lambda unet, x, t: 0.1 * unet(x, t).sample.std().item(), "no: 0.0"),
        (lambda unet, x, t: x.std().item(), "this grows 1.0-fold"),
    ]
    is_said(start_here.reported_noise, wrong, pipe.unet)


def test_tick():
    wrong = [
        (nothing, "not yet"),
        (lambda x, beta, z: x + beta**0.5 * z, "the variance becomes 1.5"),
        (lambda x, beta, z: (1 - beta) * x + beta * z, "the variance becomes"),
        (lambda x, beta, z: beta**0.5 * x + (1 - beta) ** 0.5 * z, "too little of x is left"),
        (lambda x, beta, z: x, "too much of x is left"),
        (lambda x, beta, z: beta**0.5 * z - (1 - beta) ** 0.5 * x, "too little of x is left"),
    ]
    is_said(ddpm.tick, wrong)


def wrong_posterior(mean, variance):
    return lambda x_0, x_t, a, b: (mean(x_0, x_t, a, b), variance(a, b))


def mean(x_0, x_t, a, b):
    return (b**0.5 * (1 - a / b) * x_0 + (a / b) ** 0.5 * (1 - b) * x_t) / (1 - a)


def test_posterior():
    def by_ddim(x_0, x_t, a, b):
        return b**0.5 * x_0 + ((1 - b) / (1 - a)) ** 0.5 * (x_t - a**0.5 * x_0)

    wrong = [
        (nothing, "not yet"),
        (wrong_posterior(mean, lambda a, b: 1 - a / b), "no: from level"),
        (wrong_posterior(lambda x_0, x_t, a, b: b**0.5 * x_0, lambda a, b: 0.0), "no: from level"),
        (wrong_posterior(lambda x_0, x_t, a, b: x_t, lambda a, b: (1 - b) / (1 - a) * (1 - a / b)), "no: from level"),
        (wrong_posterior(mean, lambda a, b: -(1 - b)), "the variance is -"),
        (wrong_posterior(by_ddim, lambda a, b: 0.0), "almost: on the road"),
    ]
    is_said(ddpm.posterior, wrong)


def test_best_eps():
    wrong = [
        (nothing, "not yet"),
        (lambda x_t, a, s: x_t, "related to x_t"),
        (lambda x_t, a, s: (1 - a) ** 0.5 * x_t, "related to x_t"),
        (lambda x_t, a, s: 0 * x_t, "related to x_t"),
        (lambda x_t, a, s: (1 - a) ** 0.5 * x_t / (a * s**2 + 1 - a) + 0.1, "it is wrong by 0.10 on average"),
    ]
    is_said(ddpm.best_eps, wrong)


def ddim_step(x_t, eps, a, b, sigma_t, z, sign=1.0, fresh=1.0, budget=True):
    x_0_hat = (x_t - (1 - a) ** 0.5 * eps) / a**0.5
    old = (1 - b - (sigma_t**2 if budget else 0)) ** 0.5
    return b**0.5 * x_0_hat + sign * old * eps + fresh * sigma_t * z


def test_step():
    wrong = [
        (nothing, "not yet"),
        (lambda x_t, eps, a, b, sigma_t, z: x_t, "of x_0 there is"),
        (lambda *arguments: ddim_step(*arguments, sign=-1.0), "the old noise comes back with the wrong sign"),
        (lambda *arguments: ddim_step(*arguments, budget=False), "the noise has variance"),
        (lambda *arguments: ddim_step(*arguments, fresh=-1.0), "of the noise is fresh"),
    ]
    is_said(ddim.step, wrong)


def test_sigma():
    wrong = [
        (nothing, "not yet"),
        (lambda a, b: 0.0 * a, "the steps differ by"),
        (lambda a, b: (1 - a / b) ** 0.5, "the steps differ by"),  # the other variance, beta
        (lambda a, b: (1 - b) / (1 - a) * (1 - a / b), "the steps differ by"),  # its square
    ]
    is_said(ddim.sigma, wrong, ddim_step)
    assert ddim.sigma(lambda a, b: ((1 - b) / (1 - a) * (1 - a / b)) ** 0.5, nothing) == "not yet"


def test_inverse_step(pipe):
    def guess(unet, scheduler, t, x):
        return scheduler.inverse_step(unet(x, t).sample, t, x).prev_sample

    wrong = [
        (guess, "not yet: PSNR"),
        (lambda unet, scheduler, t, x: x, "not yet: PSNR"),
        (lambda unet, scheduler, t, x: scheduler.inverse_step(0 * x, t, x).prev_sample, "not yet: PSNR"),
    ]
    is_said(ddim.inverse_step, wrong, pipe)


ADAMS = torch.tensor([55, -59, 37, -9]).double() / 24


def solved(d):
    powers = torch.arange(4, dtype=d.dtype)
    return torch.linalg.solve(d ** powers[:, None], 1 / (powers + 1))


def test_weights():
    wrong = [
        (nothing, "not yet"),
        (lambda d: ADAMS, "at places [0.0, -1.5, -4.0, -9.0] the mean of x^1"),
        (lambda d: torch.ones(4).double() / 4, "the mean of x^1 is 0.5000"),
        (lambda d: solved(d).flip(0), "the mean of x^1"),
        (lambda d: 2 * solved(d), "the mean of x^0 is 1.0000, yours is 2.0000"),
    ]
    is_said(pndm.weights, wrong)


def test_order():
    equal = lambda sigmas, sigma_next: torch.tensor([0.0, -1, -2, -3]).double()
    right = lambda sigmas, sigma_next: (sigmas - sigmas[0]) / (sigma_next - sigmas[0])
    logarithms = lambda sigmas, sigma_next: right(sigmas.log(), sigma_next.log())
    squares = lambda sigmas, sigma_next: right(sigmas**2, sigma_next**2)
    wrong = [(nothing, "not yet"), (equal, "with order 2"), (logarithms, "no: the error"), (squares, "no: the error")]
    is_said(pndm.order, wrong, solved)
    assert pndm.order(right, nothing) == "not yet"
    assert pndm.order(right, lambda d: torch.tensor([1.0, 0, 0, 0]).double()).startswith(
        "no: the error falls with order 1"
    )


def test_phi():
    def right(x, eps, a, b):
        return b**0.5 * (x / a**0.5 + (((1 - b) / b) ** 0.5 - ((1 - a) / a) ** 0.5) * eps)

    wrong = [
        (nothing, "not yet"),
        (lambda x, eps, a, b: x + (b - a) * eps, "it leaves the curve"),
        (lambda x, eps, a, b: (b / a) ** 0.5 * x, "it leaves the curve"),
        (lambda x, eps, a, b: right(x, -eps, a, b), "it leaves the curve"),
        (lambda x, eps, a, b: 0.5 * right(x, eps, a, b), "two steps and one long step differ"),
    ]
    is_said(pndm.phi, wrong)


def test_every_check_has_wrong_answers():
    """Those of each check stand in the test of its name."""
    checks = [
        name for m in CHECKS.values() for name, f in vars(m).items() if getattr(f, "__module__", "") == m.__name__
    ]
    assert len(checks) == 3 * len(CHECKS)
    assert [name for name in checks if f"test_{name}" not in globals()] == []


def test_noise_is_the_seeds():
    assert torch.equal(exercises.noise(3, 2, 4), torch.randn(2, 4, generator=torch.Generator().manual_seed(3)))
