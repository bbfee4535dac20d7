"""PNDMPipeline: the pictures are those of diffusers."""

import pytest
from pictures import (
    PUBLISHED,
    REFUSED,
    both_pipelines,
    check_given_latents,
    check_misspelt_arguments,
    check_output_types,
    check_pictures,
    check_refusal,
    check_watching,
    counted,
)

NAME = "PNDMPipeline"
PLMS = PUBLISHED | {"skip_prk_steps": True}


@pytest.mark.parametrize("kind", ("none", "one", "list"))
@pytest.mark.parametrize("count", (4, 10, 50))
@pytest.mark.parametrize("config", (PUBLISHED, PLMS), ids=("f-pndm", "plms"))
def test_pictures(kind, count, config):
    check_pictures(NAME, config, kind, num_inference_steps=count)


@pytest.mark.parametrize("count", (1, 2, 3, 7, 30))
def test_counts_that_do_not_divide(count):
    check_pictures(NAME, PLMS, num_inference_steps=count)


@pytest.mark.parametrize(
    "config",
    [
        {"set_alpha_to_one": True},
        {"steps_offset": 1, "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
        {"timestep_spacing": "trailing"},
    ],
    ids=lambda config: "-".join(config),
)
def test_other_schedulers(config):
    for form in (PUBLISHED, PLMS):
        check_pictures(NAME, form | config, num_inference_steps=10)


def test_calls_of_the_network():
    for config, wanted in ((PUBLISHED, 59), (PLMS, 51)):
        ours, theirs = both_pipelines(NAME, config)
        here, there = counted(ours), counted(theirs)
        ours()
        theirs()
        assert here == there and len(here) == wanted


@pytest.mark.parametrize("count", (1, 3, 501, 1000))
def test_counts_that_runge_kutta_steps_refuse(count):
    message = f"num_inference_steps is {count}; allowed is 4 to 500 with Runge-Kutta steps .*skip_prk_steps=True"
    check_refusal(NAME, PUBLISHED, {"num_inference_steps": count}, message)


def test_output_types():
    check_output_types(NAME, PUBLISHED, num_inference_steps=5)


def test_given_latents():
    check_given_latents(NAME, PUBLISHED, num_inference_steps=5)


def test_watching():
    check_watching(NAME, PUBLISHED, num_inference_steps=5)


@pytest.mark.parametrize(
    "arguments, message", REFUSED, ids=lambda value: "-".join(value) if isinstance(value, dict) else ""
)
def test_arguments_that_are_refused(arguments, message):
    check_refusal(NAME, PUBLISHED, arguments, message)


def test_misspelt_arguments():
    check_misspelt_arguments(NAME, PUBLISHED)
