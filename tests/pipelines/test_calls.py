"""Every call of the network and every step of a walk, held against diffusers' at the same sample, in float32.

A whole walk may drift apart, since an untrained network lets roundings grow; so each step starts where ours stood.
"""

import diffusers
import pytest
import torch
from against import assert_close, seeded
from pictures import PUBLISHED, TINY

import minidiff

NETWORKS = {
    "attention": TINY,
    "as published": TINY | {"flip_sin_to_cos": False, "freq_shift": 1, "downsample_padding": 0, "norm_eps": 1e-6},
    "three levels": TINY
    | {
        "block_out_channels": (4, 8, 12),
        "layers_per_block": 2,
        "attention_head_dim": None,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    },
}
CALLS = {
    "DDPMPipeline": {"num_inference_steps": 30},
    "DDIMPipeline": {"num_inference_steps": 30, "eta": 0.5},
    "PNDMPipeline": {"num_inference_steps": 15},
}


@pytest.mark.parametrize("config", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("name", CALLS)
@torch.no_grad()
def test_each_call_and_each_step(name, config):
    torch.manual_seed(0)
    unet = minidiff.UNet2DModel(**config).eval()
    theirs = diffusers.UNet2DModel(**config).eval()
    theirs.load_state_dict(unet.state_dict())
    kind = name.replace("Pipeline", "Scheduler")
    pipe = getattr(minidiff, name)(unet, getattr(minidiff, kind).from_config(PUBLISHED))
    pipe.set_progress_bar_config(disable=True)

    walk, names = [], ("latents", "model_output")
    pipe(2, generator=seeded(), callback_on_step_end=lambda pipe, i, t, tensors: walk.append((t, *tensors.values())),
         callback_on_step_end_tensor_inputs=names, **CALLS[name])  # fmt: skip

    scheduler = getattr(diffusers, kind).from_config(PUBLISHED)
    scheduler.set_timesteps(CALLS[name]["num_inference_steps"])
    assert [t for t, *_ in walk] == scheduler.timesteps.tolist()
    generator = seeded()
    options = {"DDPMPipeline": {"generator": generator}, "DDIMPipeline": {"generator": generator, "eta": 0.5}}
    x_t = torch.randn(2, 3, 8, 8, generator=generator)
    for t, x_prev, model_output in walk:
        assert_close(model_output, theirs(x_t, t).sample, what=f"the call at {t}")
        step = scheduler.step(model_output, t, x_t, **options.get(name, {}))
        assert_close(x_prev, step.prev_sample, what=f"the step at {t}")
        x_t = x_prev
