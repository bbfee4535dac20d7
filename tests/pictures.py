"""Tiny pipelines that draw pictures without words, ours and theirs, and what is true of all of them."""

import diffusers
import numpy as np
import pytest
import torch
from against import generators, seeded

import minidiff
from minidiff import UNet2DModel

TINY = {
    "sample_size": 8,
    "block_out_channels": (4, 8),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
}
PUBLISHED = {  # scheduler_config.json of google/ddpm-cifar10-32
    "_class_name": "DDPMScheduler",
    "_diffusers_version": "0.1.1",
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "beta_start": 0.0001,
    "clip_sample": True,
    "num_train_timesteps": 1000,
    "trained_betas": None,
    "variance_type": "fixed_large",
}


def tiny_unet(seed=0, **config):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet2DModel(**TINY | config).eval()


def same_weights(one, other):
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def both_pipelines(name, config):
    """Ours and theirs, with equal tiny networks and the scheduler of the pipeline's name made from `config`.

    In float64, since an untrained network can let rounding errors grow from step to step; but their PNDMPipeline
    draws in float32, whatever the network's dtype.
    """
    dtype = torch.float32 if name == "PNDMPipeline" else torch.float64
    ours = tiny_unet()
    theirs = diffusers.UNet2DModel(**TINY).eval()
    theirs.load_state_dict(ours.state_dict())
    pipes = []
    for library, unet in ((minidiff, ours), (diffusers, theirs)):
        scheduler = getattr(library, name.replace("Pipeline", "Scheduler")).from_config(config)
        pipes.append(getattr(library, name)(unet.to(dtype), scheduler))
        pipes[-1].set_progress_bar_config(disable=True)
    return pipes


def counted(pipe):
    """A list that grows by the time of every call of the pipeline's network."""
    calls = []
    pipe.unet.register_forward_hook(lambda module, arguments, output: calls.append(int(arguments[1])))
    return calls


def check_pictures(name, config, kind="one", **call):
    """The same pictures from ours and theirs, over the whole trajectory; returns ours.

    To 1e-5 of the range in float64, to 1e-4 in PNDM's float32: 59 calls of an untrained network let roundings grow.
    """
    ours, theirs = both_pipelines(name, config)
    results = []
    for pipe, generator in zip((ours, theirs), generators(kind)):
        torch.manual_seed(3)
        results.append(pipe(batch_size=2, generator=generator, output_type="np", **call).images)
    assert results[0].shape == results[1].shape == (2, 8, 8, 3) and results[0].dtype == np.float32
    assert results[0].std() > 0.05  # there is something to see
    np.testing.assert_allclose(*results, rtol=0, atol=1e-4 if name == "PNDMPipeline" else 1e-5)
    return ours


def check_output_types(name, config, **call):
    """Arrays, tensors and PIL images hold the same, and PIL images are theirs."""
    pipe, other = both_pipelines(name, config)
    drawn = {kind: pipe(2, generator=seeded(), output_type=kind, **call).images for kind in ("np", "pt", "pil")}
    assert np.array_equal(drawn["pt"].permute(0, 2, 3, 1).float().numpy(), drawn["np"])
    wanted = other(2, generator=seeded(), output_type="pil", **call).images
    for picture, array, theirs in zip(drawn["pil"], drawn["np"], wanted):
        assert np.array_equal(np.asarray(picture), (array * 255).round().astype("uint8"))
        assert picture.mode == theirs.mode and picture.size == theirs.size
        assert np.abs(np.asarray(picture, int) - np.asarray(theirs, int)).max() <= 1
    (images,) = pipe(2, generator=seeded(), output_type="np", return_dict=False, **call)
    assert np.array_equal(images, drawn["np"])


def check_given_latents(name, config, **call):
    """Given x_T the pictures are those of the generator that would have drawn it; only further draws need one."""
    pipe, _ = both_pipelines(name, config)
    generator = seeded()
    x_T = torch.randn(2, 3, 8, 8, generator=generator, dtype=pipe.dtype)
    given = pipe(2, generator=generator, latents=x_T, output_type="np", **call).images
    assert np.array_equal(given, pipe(2, generator=seeded(), output_type="np", **call).images)


def check_watching(name, config, **call):
    """A callback sees the loop's tensors, may replace them, and may end the loop."""
    pipe, _ = both_pipelines(name, config)
    calls, seen = counted(pipe), []
    names = ("latents", "model_output", "pred_original_sample")

    def watch(pipe, i, t, tensors):
        seen.append((i, int(t)))
        assert tuple(tensors) == names and all(tensor.shape == (1, 3, 8, 8) for tensor in tensors.values())
        if i == 1:
            pipe.interrupt = True
            return {"latents": torch.ones_like(tensors["latents"])}

    watched = {"callback_on_step_end": watch, "callback_on_step_end_tensor_inputs": names}
    images = pipe(generator=seeded(), output_type="np", **watched, **call).images
    assert len(calls) == 2 and seen == list(enumerate(calls)) and (images == 1).all()
    calls.clear()
    plain = pipe(generator=seeded(), output_type="np", **call).images
    seeing = pipe(generator=seeded(), output_type="np", callback_on_step_end=lambda *args: None, **call).images
    assert np.array_equal(plain, seeing) and len(calls) == 2 * len(pipe.scheduler.timesteps)


WHOLE = "allowed is a whole number from 1"
REFUSED = (
    ({"num_inference_steps": 0}, f"num_inference_steps is 0; {WHOLE} to 1000"),
    ({"num_inference_steps": -1}, f"num_inference_steps is -1; {WHOLE} to 1000"),
    ({"num_inference_steps": 1001}, f"num_inference_steps is 1001; {WHOLE} to 1000"),
    ({"num_inference_steps": 2.0}, f"num_inference_steps is 2.0; {WHOLE} to 1000"),
    ({"num_inference_steps": "5"}, f"num_inference_steps is '5'; {WHOLE} to 1000"),
    ({"num_inference_steps": None}, f"num_inference_steps is None; {WHOLE} to 1000"),
    ({"batch_size": 0}, f"batch_size is 0; {WHOLE} on"),
    ({"batch_size": 3, "generator": [seeded(), seeded()]}, "generator is a list of 2; allowed is one a sample, so 3"),
    ({"generator": "seed"}, "generator is 'seed'; allowed is None, a torch.Generator"),
    (
        {"latents": torch.zeros(1, 3, 8, 9)},
        r"latents is torch.float32 of shape \(1, 3, 8, 9\); allowed is a .*tensor of shape \(1, 3, 8, 8\)",
    ),
    (
        {"latents": torch.zeros(2, 3, 8, 8)},
        r"latents is torch.float32 of shape \(2, 3, 8, 8\); allowed is a .*tensor of shape \(1, 3, 8, 8\)",
    ),
    ({"latents": 0}, "latents is 0; allowed is a floating-point tensor"),
    ({"output_type": "jpg"}, "output_type is 'jpg'; allowed are 'pil', 'np', 'pt'"),
    ({"callback_on_step_end": "print"}, "callback_on_step_end is 'print'; allowed is None or a function"),
    (
        {"callback_on_step_end_tensor_inputs": ["latent"]},
        r"callback_on_step_end_tensor_inputs: \['latent'\]; allowed is",
    ),
)


def check_refusal(name, config, arguments, message, error=ValueError):
    """A clear error that names the argument, its value and what is allowed, before the network is called."""
    pipe, _ = both_pipelines(name, config)
    calls = counted(pipe)
    with pytest.raises(error, match=message):
        pipe(**{"num_inference_steps": 5} | arguments)
    assert not calls


def check_misspelt_arguments(name, config):
    message = rf"{name} has no argument 'num_inference_step'; did you mean 'num_inference_steps'"
    check_refusal(name, config, {"num_inference_step": 5}, message, TypeError)
    check_refusal(name, config, {"output": "np"}, "has no argument 'output'", TypeError)
