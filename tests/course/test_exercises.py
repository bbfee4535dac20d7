"""The exercises' checks, with right answers, which are the solutions folded in the lessons, and with wrong ones."""

import re
from pathlib import Path

import jupytext
import pytest
import torch

from minidiff import DDIMPipeline, widgets, zoo
from minidiff.course import exercises
from minidiff.course.exercises import ddim, ddpm, noise_and_denoiser, pndm, start_here
from minidiff.zoo import evaluator

LESSONS = Path(__file__).parents[2] / "lessons"
SOLUTION = re.compile(r"<summary>Solution</summary>\n\n[^`]*```python\n(.*?)```", re.DOTALL)
CAT_AT_NIGHT = 24  # a seed
CHECKS = {
    "00_start_here": start_here,
    "01_noise_and_denoiser": noise_and_denoiser,
    "02_ddpm": ddpm,
    "03_ddim": ddim,
    "04_pndm": pndm,
}


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
    names = {"exercises": CHECKS[lesson], "pipe": pipe, "torch": torch, "widgets": widgets}
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


def misjudged(check, answers, *more):
    """What a check says of wrong answers, at least three beside none at all, where it is not what it shall say."""
    assert len([answer for answer, _ in answers if answer is not nothing]) >= 3
    found = [(check(answer, *more), said) for answer, said in answers]
    return [(words, said) for words, said in found if said not in words or words.startswith("yes")]


def test_cat_at_night(pipe):
    wrong = [
        (..., "not yet: write a whole number"),
        ("3", "a seed is a whole number, not '3'"),
        (3.0, "a seed is a whole number, not 3.0"),
        (3, "seed 3 draws: tree, night"),
        (7, "seed 7 draws: star, snow"),
    ]
    assert misjudged(start_here.cat_at_night, wrong, pipe) == []


def test_a_cat_that_nobody_is_sure_of_is_almost_one(pipe, monkeypatch):
    monkeypatch.setattr(evaluator, "CONFIDENCE", 1.1)
    assert start_here.cat_at_night(CAT_AT_NIGHT, pipe).startswith("almost: seed")


def stops_at(step):
    def callback(pipe, i, t, tensors):
        pipe.interrupt = i == step

    return callback


def test_stop_after_five(pipe):
    def stops_nobody(pipe, i, t, tensors):
        interrupt = i == 4  # noqa: F841

    wrong = [
        (nothing, "took all 20 steps"),
        (stops_at(5), "took 6 steps. The first step has i = 0"),
        (stops_at(0), "took 1 steps"),
        (stops_nobody, "nobody said pipe.interrupt = True"),
    ]
    assert misjudged(start_here.stop_after_five, wrong, pipe) == []


def test_half_way():
    third = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    wrong = [
        (nothing, "not yet"),
        (lambda a, b: (a + b) / 2, "its variance is 0.5"),
        (lambda a, b: a + b, "its variance is 2.0"),
        (lambda a, b: b, "Half way holds as much of both"),
        (lambda a, b: (a - b) / 2**0.5, "of the one and -0.7"),
        (lambda a, b: third, "What else is in it?"),
        (lambda a, b: (a + b + third) / 3**0.5, "What else is in it?"),
    ]
    assert misjudged(start_here.half_way, wrong) == []


def weights_of(x_t, data, a, b):
    return torch.softmax(-((x_t[:, None] - a * data) ** 2) / (2 * b**2), dim=1)


def test_best_guess():
    best = lambda x_t, data, a, b: weights_of(x_t, data, a, b) @ data
    nearest = lambda x_t, data, a, b: data[(x_t[:, None] - a * data).abs().argmin(dim=1)]
    over_x = lambda x_t, data, a, b: torch.softmax(-((x_t[:, None] - a * data) ** 2) / (2 * b**2), dim=0) @ data
    exponentials = lambda x_t, data, a, b: torch.exp(-((x_t[:, None] - a * data) ** 2) / (2 * b**2)) @ data
    wrong = [
        (nothing, "not yet"),
        (nearest, "it is wrong by"),
        (over_x, "shown the same x_t in other company"),
        (exponentials, "do the weights sum to 1?"),
        (lambda x_t, data, a, b: best(x_t, data, a, b**0.5), "the mean of the possible x_0 is"),
        (lambda x_t, data, a, b: best(x_t, data, 1.0, b), "it is wrong by"),
        (lambda x_t, data, a, b: x_t / a, "it is wrong by"),
        (lambda x_t, data, a, b: data.mean().expand(len(x_t)), "the mean of the possible x_0 is"),
        (lambda x_t, data, a, b: best(x_t, data, a, b) + 0.3 * (x_t**3 - 3 * x_t), "it is wrong by"),
        (lambda x_t, data, a, b: best(x_t, data, a, b) + 0.2 * torch.randn(len(x_t)), "in other company"),
        (lambda x_t, data, a, b: weights_of(x_t, data, a, b), "answers"),
        (lambda x_t, data, a, b: best(x_t, data, a, b) / 0, "are no numbers"),
    ]
    assert misjudged(noise_and_denoiser.best_guess, wrong) == []


def test_arrow():
    wrong = [
        (nothing, "not yet"),
        (lambda x_t, x_0_hat, a, b: (x_t - a * x_0_hat) / b**2, "the other sign"),
        (lambda x_t, x_0_hat, a, b: (a * x_0_hat - x_t) / b, "the direction is right, but it is 0.31 times as long"),
        (lambda x_t, x_0_hat, a, b: a * x_0_hat - x_t, "the direction is right"),
        (lambda x_t, x_0_hat, a, b: (x_0_hat - x_t) / b**2, "the slope is"),
        (lambda x_t, x_0_hat, a, b: x_0_hat, "the slope is"),
    ]
    assert misjudged(noise_and_denoiser.arrow, wrong) == []


def test_absolute():
    wrong = [
        (nothing, "not yet"),
        (lambda values: values.mean(), "that is the mean, which is best for squares"),
        (lambda values: (values.min() + values.max()) / 2, "go down and it gets less"),
        (lambda values: values.min(), "go up and it gets less"),
        (lambda values: values[len(values) // 2], "go "),
        (lambda values: values.sort().values[len(values) // 2 - 1], "go up"),
    ]
    assert misjudged(noise_and_denoiser.absolute, wrong) == []


def test_tick():
    right = lambda x, beta, z: (1 - beta) ** 0.5 * x + beta**0.5 * z
    wrong = [
        (nothing, "not yet"),
        (lambda x, beta, z: x + beta**0.5 * z, "the variance becomes 1.5"),
        (lambda x, beta, z: (1 - beta) * x + beta * z, "The variance of c z is c times c"),
        (lambda x, beta, z: beta**0.5 * x + (1 - beta) ** 0.5 * z, "there is 0.14 times x in it"),
        (lambda x, beta, z: x, "there is 0.00 times z in it, and there should be 0.14"),
        (lambda x, beta, z: beta**0.5 * z - (1 - beta) ** 0.5 * x, "there is -0.99 times x"),
        (lambda x, beta, z: (1 - beta) ** 0.5 * x + (beta / 2) ** 0.5 * (z**2 - 1), "there is 0.00 times z"),
        (lambda x, beta, z: (1 - beta) ** 0.5 * x + (beta / 2) ** 0.5 * (x**2 - 1), "there is 0.00 times z"),
        (lambda x, beta, z: right(x, beta, z) + 0.1, "the mean moves to 0.10"),
    ]
    assert misjudged(ddpm.tick, wrong) == []


def wrong_posterior(mean, variance):
    return lambda x_0, x_t, a, b: (mean(x_0, x_t, a, b), variance(a, b))


def mean(x_0, x_t, a, b):
    return (b**0.5 * (1 - a / b) * x_0 + (a / b) ** 0.5 * (1 - b) * x_t) / (1 - a)


def variance(a, b):
    return (1 - b) / (1 - a) * (1 - a / b)


def test_posterior():
    def by_ddim(x_0, x_t, a, b):
        return b**0.5 * x_0 + ((1 - b) / (1 - a)) ** 0.5 * (x_t - a**0.5 * x_0)

    def bent(x_0, x_t, a, b):  # by a part that grows neither with x_t nor with anything else of the right mean
        eps = (x_t - a**0.5 * x_0) / (1 - a) ** 0.5
        return mean(x_0, x_t, a, b) + (variance(a, b) / 12) ** 0.5 * (eps**3 - 3 * eps)

    wrong = [
        (nothing, "not yet"),
        (mean, "return two things"),
        (wrong_posterior(mean, lambda a, b: 1 - a / b), "have the variance"),
        (wrong_posterior(mean, lambda a, b: variance(a, b) ** 0.5), "have the variance"),
        (wrong_posterior(lambda x_0, x_t, a, b: b**0.5 * x_0, lambda a, b: 0.0), "have the variance 0.000"),
        (wrong_posterior(lambda x_0, x_t, a, b: x_t, variance), "have the variance 0.7"),
        (wrong_posterior(lambda x_0, x_t, a, b: mean(0.9 * x_0, x_t, a, b), variance), "lie around"),
        (wrong_posterior(mean, lambda a, b: -(1 - b)), "the variance is -"),
        (wrong_posterior(by_ddim, lambda a, b: 0.0), "almost: on the road"),
        (wrong_posterior(bent, lambda a, b: variance(a, b) / 2), "almost: on the road"),
    ]
    assert misjudged(ddpm.posterior, wrong) == []


def test_best_eps():
    right = lambda x_t, a, s: (1 - a) ** 0.5 * x_t / (a * s**2 + 1 - a)
    unit = lambda x_t, a, s: x_t / (a * s**2 + 1 - a) ** 0.5
    by_chance = torch.randn(300_000, generator=torch.Generator().manual_seed(9))
    wrong = [
        (nothing, "not yet"),
        (lambda x_t, a, s: 0.5, "one guess for each number"),
        (lambda x_t, a, s: x_t, "a guess smaller in proportion to x_t has less loss"),
        (lambda x_t, a, s: (1 - a) ** 0.5 * x_t, "a guess larger in proportion to x_t has less loss"),
        (lambda x_t, a, s: 0 * x_t, "a guess larger in proportion"),
        (lambda x_t, a, s: right(x_t, a, s) + 0.1, "it is wrong by 0.10 on average"),
        (lambda x_t, a, s: right(x_t, a, s) + 0.3 * by_chance, "its loss is 0.09 too large"),
        (lambda x_t, a, s: right(x_t, a, s) + 0.3 * (unit(x_t, a, s) ** 3 - 3 * unit(x_t, a, s)), "too large; part of"),
        (lambda x_t, a, s: right(x_t, a, s) + 0.5 * (unit(x_t, a, s) ** 2 - 1), "its loss is 0.50 too large"),
    ]
    assert misjudged(ddpm.best_eps, wrong) == []


def ddim_step(x_t, eps, a, b, sigma_t, z, sign=1.0, fresh=1.0, budget=True):
    x_0_hat = (x_t - (1 - a) ** 0.5 * eps) / a**0.5
    old = (1 - b - (sigma_t**2 if budget else 0)) ** 0.5
    return b**0.5 * x_0_hat + sign * old * eps + fresh * sigma_t * z


def test_step():
    wrong = [
        (nothing, "not yet"),
        (lambda x_t, eps, a, b, sigma_t, z: x_t, "shrink it to the new level"),
        (lambda x_t, eps, a, b, sigma_t, z: (b / a) ** 0.5 * x_t, "the budget"),
        (lambda *arguments: ddim_step(*arguments, sign=-1.0), "the old noise comes back with the wrong sign"),
        (lambda *arguments: ddim_step(*arguments, budget=False), "is the budget"),
        (lambda *arguments: ddim_step(*arguments, fresh=-1.0), "was asked for"),
    ]
    assert misjudged(ddim.step, wrong) == []


def test_curve():
    euler = lambda x, sigma, new, s: x + (new - sigma) * sigma * x / (s**2 + sigma**2)
    ratio = lambda sigma, new, s: (s**2 + new**2) / (s**2 + sigma**2)
    wrong = [
        (nothing, "not yet"),
        (euler, "the slope changes on the way"),
        (lambda x, sigma, new, s: x, "the network says"),
        (lambda x, sigma, new, s: x * ratio(sigma, new, s), "the network says"),  # without the root
        (lambda x, sigma, new, s: x / ratio(sigma, new, s) ** 0.5, "the network says"),  # the other way
        (lambda x, sigma, new, s: x * new / sigma, "the network says"),  # as if all data were one point
        (lambda x, sigma, new, s: x * s / (s**2 + sigma**2) ** 0.5, "nothing should move"),  # the end alone
        (lambda x, sigma, new, s: x * ratio(sigma, new, 1.0) ** 0.5, "the network says"),
    ]
    assert misjudged(ddim.curve, wrong) == []


def back(unet, scheduler, t, x, calls=2, undone=True):
    """`inverse_step` with so many calls of the network, the first of them at x itself."""
    x_t = x
    for _ in range(calls):
        x_t = scheduler.inverse_step(unet(x_t, t).sample, t, x if undone else x_t).prev_sample
    return x_t


def test_inverse_step(pipe):
    half = lambda unet, scheduler, t, x: (back(unet, scheduler, t, x) + 3 * back(unet, scheduler, t, x, 1)) / 4
    wrong = [
        (nothing, "not yet"),
        (lambda *arguments: back(*arguments, calls=1), "not yet: this is still inverse_step's x_t"),
        (half, "almost: DDIM's step from your x_t misses x_prev by 0."),
        (lambda *arguments: back(*arguments, undone=False), "only the network is asked at x_t"),
        (lambda unet, scheduler, t, x: x, "no: DDIM's step from your x_t"),
        (
            lambda unet, scheduler, t, x: scheduler.inverse_step(0 * x, t, x).prev_sample,
            "no: DDIM's step from your x_t",
        ),
    ]
    assert misjudged(ddim.inverse_step, wrong, pipe) == []
    assert ddim.inverse_step(back, pipe).startswith("yes: DDIM's step"), (
        "one more call than inverse_step makes is enough"
    )


ADAMS = torch.tensor([55, -59, 37, -9]).double() / 24


def solved(d):
    powers = torch.arange(4, dtype=d.dtype)
    return torch.linalg.solve(d ** powers[:, None], 1 / (powers + 1))


def test_weights():
    wrong = [
        (nothing, "not yet"),
        (lambda d: ADAMS, "the mean of x^1 is 0.5000, yours is 0.8958; right for equal distances"),
        (lambda d: torch.ones(4).double() / 4, "equation k holds the powers d^k"),
        (lambda d: solved(d).flip(0), "equation k holds the powers d^k"),
        (lambda d: 2 * solved(d), "so the weights sum to 1"),
    ]
    assert misjudged(pndm.weights, wrong) == []


def test_order():
    equal = lambda sigmas, sigma_next: torch.tensor([0.0, -1, -2, -3]).double()
    right = lambda sigmas, sigma_next: (sigmas - sigmas[0]) / (sigma_next - sigmas[0])
    logarithms = lambda sigmas, sigma_next: right(sigmas.log(), sigma_next.log())
    wrong = [
        (nothing, "not yet"),
        (equal, "with order 2.6; is d measured along sigma"),
        (logarithms, "is d measured along sigma"),
        (lambda sigmas, sigma_next: sigmas, "allowed are 0, and then ever smaller ones"),
        (lambda sigmas, sigma_next: -right(sigmas, sigma_next), "allowed are 0, and then ever smaller ones"),
    ]
    assert misjudged(pndm.order, wrong, solved) == []
    assert pndm.order(right, nothing) == "not yet: exercise 1 comes first, my_weights gives None"
    first_alone = pndm.order(right, lambda d: torch.tensor([1.0, 0, 0, 0]).double())
    assert re.fullmatch("no: the error falls with order 1.*are the weights those of exercise 1[?]", first_alone)


def test_phi():
    def right(x, eps, a, b):
        return b**0.5 * (x / a**0.5 + (((1 - b) / b) ** 0.5 - ((1 - a) / a) ** 0.5) * eps)

    wrong = [
        (nothing, "not yet"),
        (lambda x, eps, a, b: x + (b - a) * eps, "look at the factor of eps"),
        (lambda x, eps, a, b: (b / a) ** 0.5 * x, "look at the factor of eps"),
        (lambda x, eps, a, b: right(x, -eps, a, b), "look at the factor of eps"),
        (lambda x, eps, a, b: right(x, eps, a, b) / b**0.5, "is x_bar turned into x again"),
        (lambda x, eps, a, b: 0.5 * right(x, eps, a, b), "two steps and one long step differ"),
    ]
    assert misjudged(pndm.phi, wrong) == []


def test_noise_is_the_seeds():
    assert torch.equal(exercises.noise(3, 2, 4), torch.randn(2, 4, generator=torch.Generator().manual_seed(3)))
