"""Orders of convergence of the deterministic samplers, on data whose perfect network is known."""

from functools import partial

import pytest

from minidiff import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    LMSDiscreteScheduler,
    PNDMScheduler,
)
from minidiff.course.mixture import Mixture, orders

MIXTURE = Mixture([[-1.0, 0.3], [0.5, -0.8], [0.9, 0.7]], [0.2, 0.3, 0.25], [0.5, 0.3, 0.2])
SAMPLERS = {
    "ddim": partial(DDIMScheduler, clip_sample=False),
    "plms": partial(PNDMScheduler, skip_prk_steps=True),
    "f-pndm": PNDMScheduler,
    "euler": EulerDiscreteScheduler,
    "lms": LMSDiscreteScheduler,
    "heun": HeunDiscreteScheduler,
    "dpm-solver++": DPMSolverMultistepScheduler,
}
ORDERS = {"ddim": 1, "plms": 2, "f-pndm": 2, "euler": 1, "lms": 2, "heun": 2, "dpm-solver++": 2}


@pytest.fixture(scope="module")
def measured():
    return {name: orders(sampler, MIXTURE) for name, sampler in SAMPLERS.items()}


@pytest.mark.parametrize("name, order", ORDERS.items())
def test_order(measured, name, order):
    found = measured[name]
    assert found.slopes[-1] == pytest.approx(order, abs=0.06)  # that of LMS falls from 3: its first step is Euler's
    assert all(slope > order - 0.05 for slope in found.slopes)


@pytest.mark.parametrize("name", [name for name, order in ORDERS.items() if order == 2])
def test_a_second_order_pays(measured, name):
    assert measured["ddim"].errors[0] > 5 * measured[name].errors[0]
    assert measured["ddim"].errors[-1] > 150 * measured[name].errors[-1]


def test_the_order_is_that_of_the_method_alone():
    # Steps of half the predicted noise in the history's place: first order again.
    class Forgetful(PNDMScheduler):
        def multistep(self, eps_t, sample):
            self.x_t, self.eps = sample, [eps_t]
            return eps_t

    assert orders(Forgetful, MIXTURE, (20, 40, 80), skip_prk_steps=True).slopes[-1] < 1.5
