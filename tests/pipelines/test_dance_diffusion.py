"""DanceDiffusionPipeline: the sounds are those of diffusers."""

import math

import diffusers
import numpy as np
import pytest
import torch
from against import assert_close, generators, randn, seeded

import minidiff
from minidiff import (
    DanceDiffusionPipeline,
    DDIMScheduler,
    DiffusionPipeline,
    IPNDMScheduler,
    KarrasVeScheduler,
    ScoreSdeVeScheduler,
    ScoreSdeVpScheduler,
    UNet1DModel,
)
from minidiff.models.unet_1d import UNet1DOutput

TINY = {
    "sample_size": 64,
    "sample_rate": 40,
    "block_out_channels": (4, 32),
    "down_block_types": ("DownBlock1DNoSkip", "AttnDownBlock1D"),
    "up_block_types": ("UpBlock1D", "UpBlock1DNoSkip"),
}
PUBLISHED = {  # scheduler_config.json of harmonai/maestro-150k
    "_class_name": "IPNDMScheduler",
    "_diffusers_version": "0.7.0.dev0",
    "num_train_timesteps": 100,
    "trained_betas": None,
}


def tiny_pipe(first_step="exact", **config):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = UNet1DModel(**TINY | config).eval()
    pipe = DanceDiffusionPipeline(unet, IPNDMScheduler.from_config(PUBLISHED, first_step=first_step))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def both_pipelines(dtype=torch.float64, **config):
    """Ours, with their first step, and theirs, with equal weights; in float64, where no rounding error can grow."""
    ours = tiny_pipe("diffusers", **config)
    unet = diffusers.UNet1DModel(**ours.unet.config).eval()
    unet.load_state_dict(ours.unet.state_dict())
    unet.sample_rate = ours.unet.config.sample_rate
    theirs = diffusers.DanceDiffusionPipeline(unet.to(dtype), diffusers.IPNDMScheduler.from_config(PUBLISHED))
    theirs.set_progress_bar_config(disable=True)
    return ours.to(dtype), theirs


def counted(pipe):
    calls = []
    pipe.unet.register_forward_hook(lambda module, arguments, output: calls.append(float(arguments[1])))
    return calls


@pytest.mark.parametrize("kind", ("none", "one", "list"))
@pytest.mark.parametrize("count", (2, 7, 50))
def test_sounds(kind, count):
    sounds = []
    for pipe, generator in zip(both_pipelines(), generators(kind)):
        torch.manual_seed(3)
        sounds.append(pipe(2, count, generator).audios)
    assert sounds[0].shape == sounds[1].shape == (2, 2, 64) and sounds[0].dtype == np.float32
    assert sounds[0].std() > 0.05
    np.testing.assert_allclose(*sounds, rtol=0, atol=1e-5)


@pytest.mark.parametrize("seconds", (0.3, 0.31, 0.5, 1, 1.6, 2.515, np.float32(0.75)))
@pytest.mark.parametrize("channels", (1, 2))
def test_lengths(seconds, channels):
    pipes = both_pipelines(in_channels=channels, out_channels=channels)
    lengths = []
    for pipe in pipes:
        pipe.unet.register_forward_hook(lambda module, arguments, output: lengths.append(arguments[0].shape[2]))
    ours, theirs = (pipe(1, 3, seeded(), seconds).audios for pipe in pipes)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    assert ours.shape == (1, channels, int(float(seconds) * 40)) and len(set(lengths)) == 1 and lengths[0] % 4 == 0


@torch.no_grad()
def test_each_call_and_each_step_in_single_precision():
    ours, theirs = both_pipelines(torch.float32)
    walk, names = [], ("sample", "model_output", "latents")
    ours(2, 30, seeded(), callback_on_step_end=lambda pipe, i, t, tensors: walk.append((t, *tensors.values())),
         callback_on_step_end_tensor_inputs=names)  # fmt: skip
    theirs.scheduler.set_timesteps(30)
    assert torch.equal(torch.stack([t for t, *_ in walk]), theirs.scheduler.timesteps)
    assert torch.equal(walk[0][1], randn(2, 2, 64))
    for t, x_t, v, x_prev in walk:
        assert_close(v, theirs.unet(x_t, t).sample, what=f"the call at {t}")
        assert_close(x_prev, theirs.scheduler.step(v, t, x_t).prev_sample, what=f"the step at {t}")


def test_the_default_is_the_exact_first_step():
    exact, theirs = (tiny_pipe(first_step)(1, 10, seeded()).audios for first_step in ("exact", "diffusers"))
    assert np.abs(exact - theirs).max() > 1e-3
    assert np.abs(tiny_pipe("diffusers")(1, 1, seeded()).audios).max() == 0  # of one step theirs is silence


def test_one_call_a_step_at_falling_times():
    pipe = tiny_pipe()
    calls = counted(pipe)
    pipe()
    assert len(calls) == 100 and calls[0] == 1 and calls == sorted(calls, reverse=True)


def test_the_seed_of_a_sound_is_its_own():
    pipe = tiny_pipe()
    together = pipe(2, 5, [seeded(1), seeded(2)]).audios
    alone = [pipe(1, 5, seeded(seed)).audios for seed in (1, 2)]
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=0, atol=1e-5)


def test_given_latents():
    pipe = tiny_pipe()
    drawn, given = pipe(2, 5, seeded()).audios, pipe(2, 5, latents=randn(2, 2, 64)).audios
    assert np.array_equal(drawn, given)
    (audios,) = pipe(2, 5, seeded(), return_dict=False)
    assert np.array_equal(audios, drawn)
    longer = pipe(1, 2, audio_length_in_s=1.01, latents=randn(1, 2, 44)).audios  # 40.4 samples: the first 40
    assert longer.shape == (1, 2, 40)


def test_watching():
    pipe, seen = tiny_pipe(), []
    names = ("latents", "sample", "model_output", "pred_original_sample")

    def watch(pipe, i, t, tensors):
        seen.append((i, float(t)))
        assert tuple(tensors) == names and all(tensor.shape == (1, 2, 64) for tensor in tensors.values())
        if i == 0:
            assert torch.equal(tensors["pred_original_sample"], -tensors["model_output"])  # at pure noise
        if i == 1:
            pipe.interrupt = True
            return {"latents": torch.ones_like(tensors["latents"])}

    calls = counted(pipe)
    watched = {"callback_on_step_end": watch, "callback_on_step_end_tensor_inputs": names}
    sounds = pipe(1, 5, seeded(), **watched).audios
    assert len(calls) == 2 and seen == list(enumerate(calls)) and (sounds == 1).all()


def test_saved_and_loaded(tmp_path):
    pipe = tiny_pipe()
    pipe.save_pretrained(tmp_path)
    loaded = DiffusionPipeline.from_pretrained(tmp_path)
    loaded.set_progress_bar_config(disable=True)
    assert type(loaded) is DanceDiffusionPipeline and loaded.unet.config == pipe.unet.config
    assert np.array_equal(pipe(1, 3, seeded()).audios, loaded(1, 3, seeded()).audios)

    theirs = diffusers.DiffusionPipeline.from_pretrained(tmp_path, low_cpu_mem_usage=False)
    theirs.set_progress_bar_config(disable=True)
    there = theirs(1, 3, seeded()).audios
    loaded.scheduler = IPNDMScheduler(first_step="diffusers")
    np.testing.assert_allclose(loaded(1, 3, seeded()).audios, there, rtol=0, atol=1e-5)


def test_half_precision():
    pipe = tiny_pipe().to(torch.float16)
    sounds = pipe(1, 5, seeded()).audios
    assert sounds.dtype == np.float32 and np.isfinite(sounds).all()


# -- the ledger


def test_a_rounding_error_costs_no_sample():
    ours, theirs = both_pipelines(torch.float32, sample_rate=100)
    assert 0.29 * 100 < 29
    lengths = [pipe(1, 1, seeded(), 0.29).audios.shape[2] for pipe in (ours, theirs)]
    assert lengths == [29, 28]
    cut = [s / 100 for s in range(1, 1001) if int(s / 100 * 16_000) != round(s / 100 * 16_000)]
    assert len(cut) == 9 and 4.02 in cut and int(4.02 * 16_000) == 64_319


# -- what is refused

SECONDS = "allowed are 0.3 seconds or more: the network takes 12 samples at least"
NUMBER = "allowed is a number of seconds, or None"
WHOLE = "allowed is a whole number from 1 on"


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"audio_length_in_s": 0}, f"audio_length_in_s is 0; {SECONDS}"),
        ({"audio_length_in_s": -1.5}, f"audio_length_in_s is -1.5; {SECONDS}"),
        ({"audio_length_in_s": 0.28}, f"audio_length_in_s is 0.28; {SECONDS}"),
        ({"audio_length_in_s": math.nan}, f"audio_length_in_s is nan; {NUMBER}"),
        ({"audio_length_in_s": math.inf}, f"audio_length_in_s is inf; {NUMBER}"),
        ({"audio_length_in_s": "2"}, f"audio_length_in_s is '2'; {NUMBER}"),
        ({"audio_length_in_s": True}, f"audio_length_in_s is True; {NUMBER}"),
        ({"num_inference_steps": 0}, f"num_inference_steps is 0; {WHOLE}"),
        ({"num_inference_steps": 2.0}, f"num_inference_steps is 2.0; {WHOLE}"),
        ({"num_inference_steps": None}, f"num_inference_steps is None; {WHOLE}"),
        ({"batch_size": 0}, f"batch_size is 0; {WHOLE}"),
        ({"batch_size": 3, "generator": [seeded()]}, "generator is a list of 1; allowed is one a sample, so 3"),
        ({"generator": "seed"}, "generator is 'seed'; allowed is None, a torch.Generator"),
        ({"latents": torch.zeros(1, 2, 60)}, r"latents is .* of shape \(1, 2, 60\); allowed is .* \(1, 2, 64\)"),
        ({"latents": torch.zeros(1, 1, 64)}, r"latents is .* of shape \(1, 1, 64\); allowed is .* \(1, 2, 64\)"),
        (
            {"latents": torch.zeros(1, 2, 50), "audio_length_in_s": 1.25},
            r"latents is torch.float32 of shape \(1, 2, 50\); allowed is a floating-point tensor of shape \(1, 2, 52\)",
        ),
        ({"latents": 0}, "latents is 0; allowed is a floating-point tensor"),
        ({"callback_on_step_end": "print"}, "callback_on_step_end is 'print'; allowed is None or a function"),
        ({"callback_on_step_end_tensor_inputs": ["latent"]}, "callback_on_step_end_tensor_inputs: .*; allowed is"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_arguments_that_are_refused(arguments, message):
    pipe = tiny_pipe()
    calls = counted(pipe)
    with pytest.raises(ValueError, match=message):
        pipe(**{"num_inference_steps": 3} | arguments)
    assert not calls


def test_misspelt_arguments():
    with pytest.raises(TypeError, match="has no argument 'audio_length'; did you mean 'audio_length_in_s'"):
        tiny_pipe()(audio_length=2)


def test_networks_and_schedulers_that_are_refused():
    for kind in (DDIMScheduler, diffusers.DDIMScheduler, ScoreSdeVeScheduler, ScoreSdeVpScheduler, KarrasVeScheduler):
        with pytest.raises(ValueError, match=f"scheduler is a {kind.__name__}; allowed is a IPNDMScheduler, whose tim"):
            DanceDiffusionPipeline(tiny_pipe().unet, kind())
    with pytest.raises(ValueError, match="unet is None, and DanceDiffusionPipeline draws nothing without"):
        DanceDiffusionPipeline(None, IPNDMScheduler())()
    with pytest.raises(ValueError, match="the unet takes 2 channels and returns 1; allowed are as many"):
        tiny_pipe(out_channels=1)()
    with pytest.raises(
        ValueError, match="audio_length_in_s is 2; allowed is None, since the unet's config does not say"
    ):
        tiny_pipe(sample_rate=None)(audio_length_in_s=2)
    assert tiny_pipe(sample_rate=None)(1, 2).audios.shape == (1, 2, 64)
    with pytest.raises(
        ValueError, match="audio_length_in_s is None, which stands for the 8 samples .*; allowed are 0.3 seconds"
    ):
        tiny_pipe(sample_size=8)()
    assert "DanceDiffusionPipeline" in minidiff.__all__


def test_a_result_that_is_no_number():
    pipe = tiny_pipe()
    torch.nn.init.constant_(pipe.unet.up_blocks[-1].resnets[-1].conv_2.bias, math.inf)
    with pytest.raises(ValueError, match="numbers of the result are infinite or none at all"):
        pipe(1, 2)


class Echo(torch.nn.Module):
    """A network of one's own, of which nothing is known but what its samples look like: it says v = x_t / 2."""

    sample_shape = (3, 10)

    def __init__(self):
        super().__init__()
        self.share = torch.nn.Parameter(torch.tensor(0.5))

    def forward(self, sample, timestep):
        return UNet1DOutput(sample=self.share * sample)


def test_a_network_of_ones_own():
    pipe = DanceDiffusionPipeline(Echo(), IPNDMScheduler())
    pipe.set_progress_bar_config(disable=True)
    assert pipe(2, 3).audios.shape == (2, 3, 10)
