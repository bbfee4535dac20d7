"""DDPMPipeline: the pictures are those of diffusers."""

import pytest
import torch
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
    tiny_unet,
)

from minidiff import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler, PNDMScheduler, ScoreSdeVpScheduler

NAME = "DDPMPipeline"


@pytest.mark.parametrize("kind", ("none", "one", "list"))
@pytest.mark.parametrize("count", (1, 7, 30))
def test_pictures(kind, count):
    check_pictures(NAME, PUBLISHED, kind, num_inference_steps=count)


@pytest.mark.parametrize(
    "config",
    [
        {"variance_type": "fixed_small"},
        {"clip_sample": False},
        {"timestep_spacing": "trailing", "variance_type": "fixed_small"},
        {"timestep_spacing": "linspace", "beta_schedule": "squaredcos_cap_v2"},
        {"prediction_type": "v_prediction", "steps_offset": 1, "variance_type": "fixed_small"},
        {"prediction_type": "sample"},
    ],
    ids=lambda config: "-".join(config),
)
def test_other_schedulers(config):
    check_pictures(NAME, PUBLISHED | config, num_inference_steps=10)


def test_every_timestep():
    ours = check_pictures(NAME, PUBLISHED | {"num_train_timesteps": 40}, num_inference_steps=40)
    calls = counted(ours)
    ours(num_inference_steps=40)
    assert calls == list(range(39, -1, -1))


def test_by_default_there_are_a_thousand_steps():
    ours, _ = both_pipelines(NAME, PUBLISHED)
    seen = []

    def stop(pipe, i, t, tensors):
        seen.append(int(t))
        pipe.interrupt = i == 1

    ours(callback_on_step_end=stop)
    assert seen == [999, 998] and len(ours.scheduler.timesteps) == 1000


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


def test_a_scheduler_of_ones_own_is_kept():
    class Quiet(DDPMScheduler):
        pass

    scheduler = Quiet()
    assert DDPMPipeline(tiny_unet(), scheduler).scheduler is scheduler


@pytest.mark.parametrize("other", [PNDMScheduler(), torch.nn.Identity()])
def test_a_scheduler_whose_step_takes_no_generator_is_refused(other):
    with pytest.raises(ValueError, match=f"scheduler is a {type(other).__name__}, which has no step that takes a"):
        DDPMPipeline(tiny_unet(), other)


def test_a_scheduler_whose_network_is_told_other_times_is_refused():
    with pytest.raises(ValueError, match="scheduler is a ScoreSdeVpScheduler; allowed is a DDPMScheduler, or one with"):
        DDPMPipeline(tiny_unet(), ScoreSdeVpScheduler())


def test_another_scheduler_draws_what_its_own_pipeline_draws():
    pipe = DDPMPipeline(tiny_unet(), DDPMScheduler())
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    drawn = [
        one(2, torch.Generator().manual_seed(0), num_inference_steps=4, output_type="pt").images
        for one in (pipe, DDPMPipeline(pipe.unet, pipe.scheduler), DDIMPipeline(pipe.unet, pipe.scheduler))
    ]
    assert torch.equal(drawn[0], drawn[2]) and torch.equal(drawn[1], drawn[2])
