"""Data whose score is known, and networks that know it, for the samplers of stochastic differential equations."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import nn

from minidiff.course.mixture import Mixture
from minidiff.models.unet_2d import UNet2DOutput
from minidiff.schedulers.sde import VPSDE


def golden(name):
    """The arrays of a file of tests/goldens as tensors, and its `meta`."""
    with np.load(Path(__file__).parent / "goldens" / f"{name}.npz") as file:
        return {key: json.loads(str(file[key])) if key == "meta" else torch.from_numpy(file[key]) for key in file.files}


def ve_score(mixture, x, sigma):
    """The score of x = x_0 + sigma z, float64: x is sqrt(1 + sigma^2) times a sample of DDPM's kind."""
    alpha_bar = 1 / (1 + torch.as_tensor(sigma, dtype=torch.float64) ** 2)
    a = alpha_bar.reshape(-1, *[1] * (x.ndim - 1)) ** 0.5
    return a * mixture.score(a * x.double(), alpha_bar)


def vp_score(mixture, x, t, sde=VPSDE()):
    """The score of x at time t of the VP SDE, float64."""
    return mixture.score(x, sde.m(torch.as_tensor(t, dtype=torch.float64)) ** 2)


def gaussian(std=0.5, D=1):
    return Mixture([[0.0] * D], [std])


class ScoreNetwork(nn.Module):
    """Where a UNet2DModel of the VE SDE stands: `sample` is in [0, 1], `timestep` a noise level."""

    def __init__(self, mixture, sample_shape):
        super().__init__()
        self.mixture, self.sample_shape = mixture, sample_shape
        self.one = nn.Parameter(torch.ones(()), requires_grad=False)  # pipelines ask for its device and dtype
        self.config = {"in_channels": sample_shape[0], "out_channels": sample_shape[0]}

    def forward(self, sample, timestep):
        return UNet2DOutput(sample=ve_score(self.mixture, sample, timestep).to(sample.dtype))
