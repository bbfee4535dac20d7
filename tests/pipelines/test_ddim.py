"""DDIMPipeline: the pictures are those of diffusers."""

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

NAME = "DDIMPipeline"


@pytest.mark.parametrize("kind", ("none", "one", "list"))
@pytest.mark.parametrize("count", (1, 7, 30, 50))
@pytest.mark.parametrize("eta", (0.0, 0.5, 1.0))
def test_pictures(kind, count, eta):
    # The scales of the noise are rounded differently; in long walks an untrained network makes much of it, but not if
    # it predicts x_0.
    prediction_type = "sample" if eta and count > 7 else "epsilon"
    check_pictures(NAME, PUBLISHED | {"prediction_type": prediction_type}, kind, num_inference_steps=count, eta=eta)


@pytest.mark.parametrize(
    "config",
    [
        {"set_alpha_to_one": False, "steps_offset": 1},
        {"clip_sample": False},
        {"timestep_spacing": "trailing"},
        {"beta_schedule": "scaled_linear", "prediction_type": "v_prediction"},
        {"prediction_type": "sample"},
    ],
    ids=lambda config: "-".join(config),
)
def test_other_schedulers(config):
    for clipped in (False, True):
        check_pictures(NAME, PUBLISHED | config, num_inference_steps=10, eta=0.5, use_clipped_model_output=clipped)


def test_by_default_there_are_fifty_steps():
    ours, _ = both_pipelines(NAME, PUBLISHED)
    calls = counted(ours)
    ours()
    assert calls == list(range(980, -1, -20))


def test_counts_that_do_not_divide():
    ours, _ = both_pipelines(NAME, PUBLISHED)
    calls = counted(ours)
    ours(num_inference_steps=30)
    assert len(calls) == 30 and calls[0] == 957


def test_output_types():
    check_output_types(NAME, PUBLISHED, num_inference_steps=5)


def test_given_latents():
    for eta in (0.0, 0.5):
        check_given_latents(NAME, PUBLISHED, num_inference_steps=5, eta=eta)


def test_watching():
    check_watching(NAME, PUBLISHED, num_inference_steps=5)


@pytest.mark.parametrize(
    "arguments, message", REFUSED, ids=lambda value: "-".join(value) if isinstance(value, dict) else ""
)
def test_arguments_that_are_refused(arguments, message):
    check_refusal(NAME, PUBLISHED, arguments, message)


def test_misspelt_arguments():
    check_misspelt_arguments(NAME, PUBLISHED)


@pytest.mark.parametrize("eta", (-0.5, 1.5, float("nan"), "1", None))
def test_eta_that_is_refused(eta):
    check_refusal(NAME, PUBLISHED, {"eta": eta}, f"eta is {eta!r}; allowed are numbers from 0")
