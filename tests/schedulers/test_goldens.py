"""Whole walks against the papers' own code: see tests/goldens/README.md."""

import json
import math
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from against import relative_difference

from minidiff import DDIMScheduler, DDPMScheduler, IPNDMScheduler, LMSDiscreteScheduler, PNDMScheduler
from minidiff.course.mixture import Mixture
from minidiff.schedulers import ddpm

FOLDER = Path(__file__).parent.parent / "goldens"
COMPVIS = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "steps_offset": 1,
    "set_alpha_to_one": False,
}


def golden(name):
    with np.load(FOLDER / f"{name}.npz") as file:
        return {key: json.loads(str(file[key])) if key == "meta" else torch.from_numpy(file[key]) for key in file.files}


def perfect_network(wanted):
    """In float64, whatever the scheduler's tables are, as for the goldens."""
    return Mixture(wanted["mu"], wanted["std"], wanted["w"]).as_network((1 - wanted["betas"]).cumprod(0), (3, 8, 8))


def differences(wanted, scheduler, monkeypatch, eta=None):
    """{array: relative difference} between a golden and the scheduler's walk with the golden's noise."""
    network, draws = perfect_network(wanted), iter(wanted.get("noise", ()))
    monkeypatch.setattr(ddpm, "randn_like", lambda x, generator: next(draws))
    scheduler.set_timesteps(wanted["meta"]["num_steps"])
    x_t, states, outputs = wanted["x_T"] * scheduler.init_noise_sigma, [], []
    for t in scheduler.timesteps:
        states.append(scheduler.scale_model_input(x_t, t))
        outputs.append(network(states[-1], t).sample)
        options = {} if eta is None else {"eta": eta, "variance_noise": next(draws)}
        x_t = scheduler.step(outputs[-1], t, x_t, **options).prev_sample
    assert scheduler.timesteps.tolist() == wanted["call_t"].tolist()
    found = {"call_x": torch.stack(states), "model_out": torch.stack(outputs), "final": x_t}
    return {key: relative_difference(value, wanted[key]) for key, value in found.items()}


def ddpm_scheduler(wanted, clip_sample):
    return DDPMScheduler(num_train_timesteps=40, trained_betas=wanted["betas"], clip_sample=clip_sample)


CASES = {
    "ddpm_fixed_small_clip": lambda wanted: ddpm_scheduler(wanted, clip_sample=True),
    "ddpm_fixed_small_noclip": lambda wanted: ddpm_scheduler(wanted, clip_sample=False),
    "ddim_eta0.5": lambda wanted: DDIMScheduler(clip_sample=False),
    "ddim_offset_eta1": lambda wanted: DDIMScheduler(**COMPVIS, clip_sample=False),
    "plms_offset": lambda wanted: PNDMScheduler(**COMPVIS, skip_prk_steps=True),
    "fpndm": lambda wanted: PNDMScheduler(alpha_index_shift=1),
    "lms_order4": lambda wanted: LMSDiscreteScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_walk(name, monkeypatch):
    wanted = golden(name)
    scheduler = CASES[name](wanted)
    found = differences(wanted, scheduler, monkeypatch, wanted["meta"].get("eta"))
    assert found["call_x"] <= 1e-5 and found["model_out"] <= 1e-5
    assert found["final"] <= (2e-5 if name == "fpndm" else 1e-5)


@pytest.mark.parametrize("name", CASES)
def test_the_network_is_theirs(name):
    wanted = golden(name)
    network = perfect_network(wanted)
    for t, x_t, output in zip(wanted["call_t"], wanted["call_x"], wanted["model_out"]):
        assert relative_difference(network(x_t, t).sample, output) <= 1e-5


# -- sound, in continuous time


def perfect_velocity(wanted, x_t, t):
    """v = alpha epsilon - sigma x_0 of the golden's data at any time, in float64, with the dtype of x_t."""
    mixture, (a, s) = (
        Mixture(wanted["mu"], wanted["std"], wanted["w"]),
        (f(math.pi * t / 2) for f in (math.cos, math.sin)),
    )
    return (a * mixture.eps(x_t, a * a) - s * mixture.x_0(x_t, a * a)).to(x_t.dtype)


def audio_differences(wanted, scheduler, first):
    """As `differences`, for a walk that begins at entry `first` of the scheduler's times."""
    scheduler.set_timesteps(wanted["meta"]["num_steps"])
    x_t, states, outputs = wanted["x_T"], [], []
    for t in scheduler.timesteps[first:]:
        states.append(x_t)
        outputs.append(perfect_velocity(wanted, x_t, float(t)))
        x_t = scheduler.step(outputs[-1], t, x_t).prev_sample
    torch.testing.assert_close(scheduler.timesteps[first:].double(), wanted["call_t"], rtol=0, atol=1e-6)
    found = {"call_x": torch.stack(states), "model_out": torch.stack(outputs), "final": x_t}
    return {key: relative_difference(value, wanted[key]) for key, value in found.items()}


@pytest.mark.parametrize("name, first", [("iplms_exact_first", 0), ("iplms_from_second", 1)])
def test_a_walk_of_sound(name, first):
    found = audio_differences(golden(name), IPNDMScheduler(), first)
    assert max(found.values()) <= 1e-5, found


def test_the_first_step_may_be_any_that_follows_no_other():
    for first_step in ("exact", "diffusers"):  # from the second time on there is one answer
        found = audio_differences(golden("iplms_from_second"), IPNDMScheduler(first_step=first_step), 1)
        assert max(found.values()) <= 1e-5, found


# -- the ledger


def test_the_first_step_from_pure_noise():
    wanted = golden("iplms_exact_first")
    theirs = audio_differences(wanted, diffusers.IPNDMScheduler(), 0)
    switched = audio_differences(wanted, IPNDMScheduler(first_step="diffusers"), 0)
    for found in (theirs, switched):
        assert found["call_x"] == pytest.approx(0.06, abs=0.005) and found["final"] == pytest.approx(0.02, abs=0.005)


def test_clipping_is_not_in_the_paper_of_ddim(monkeypatch):
    wanted = golden("ddim_eta0.5")
    clipped = differences(wanted, DDIMScheduler(clip_sample=True), monkeypatch, 0.5)
    assert clipped["final"] == pytest.approx(0.47, abs=0.005)


def test_the_authors_shifted_index(monkeypatch):
    wanted = golden("fpndm")
    assert differences(wanted, PNDMScheduler(), monkeypatch)["final"] == pytest.approx(6.7e-3, abs=5e-5)
    assert differences(wanted, PNDMScheduler(alpha_index_shift=1), monkeypatch)["final"] < 2e-5
