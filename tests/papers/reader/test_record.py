"""A run, cut into steps."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from minidiff import DDIMScheduler, PNDMScheduler, read
from minidiff.papers.reader.record import KEPT, shown, thumbnail, webp


def texts(reading):
    return [value for row in reading.rows for value in row.values]


def walk(scheduler, steps, shape=(1, 3, 32, 32)):
    scheduler.set_timesteps(steps)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    for t in scheduler.timesteps:
        x = scheduler.step(x.sin(), t, x).prev_sample


def test_calls_are_counted_where_a_step_has_several():
    plms = PNDMScheduler(skip_prk_steps=True)
    for shown_of in (PNDMScheduler, PNDMScheduler.multistep, PNDMScheduler.phi):
        reading = read(shown_of, run=lambda: walk(plms, 20), step=14)
        assert reading.step == "call 14 of 0 to 20, t = 300"
        assert any("std" in text for text in texts(reading))
    first = read(PNDMScheduler.multistep, run=lambda: walk(plms, 20))
    assert first.step == "call 0 of 0 to 20, t = 950" and texts(first) == [], "it has nothing to look back at"
    assert read(DDIMScheduler, run=lambda: walk(DDIMScheduler(), 20), step=15).step == "step 15 of 0 to 19, t = 200"


class Sampler:
    def denoise(self, x):
        # DDPM (7)  d = \frac{x}{2}
        d = x / 2
        return d

    def step(self, x, timestep):
        # DDPM (7)  y = x - 1
        y = x - 1
        for _ in range(2):
            y = self.halve(y)
        return y

    def halve(self, y):
        # DDPM (7)  h = \frac{y}{2}
        h = y / 2
        return h

    def __call__(self):
        x = 16.0
        # DDPM (7)  z = 2 x
        z = 2 * x
        for t in (3, 2, 1):
            x = self.step(self.denoise(x), t)
        return z


def test_what_runs_before_a_step_belongs_to_it():
    reading = read(Sampler, run=Sampler())
    assert reading.step == "step 0 of 0 to 2, t = 3"
    assert texts(reading) == ["d = 8", "y = 7", "h = 1.75 (the last of 2)", "z = 32"]
    assert texts(read(Sampler, run=Sampler(), step=1)) == ["d = 0.875", "y = -0.125", "h = -0.03125 (the last of 2)"]


def test_the_outermost_function_that_is_called_again_keeps_the_time():
    sampler = Sampler()
    halves = read(Sampler.halve, run=sampler)
    assert halves.step == "step 0 of 0 to 5, t = 3" and texts(halves) == ["h = 3.5"]
    assert texts(read(Sampler.__call__, run=sampler)) == ["z = 32"]


class Hidden:
    timesteps, num_inference_steps = 1000, 50  # numbers, where a scheduler has a table

    @property
    def sigmas(self):
        raise RuntimeError("not yet")

    def step(self, x, timestep):
        # DDPM (7)  y = x
        self.__y = x
        # DDPM (7)  a = x \quad b = x
        a, *b = x, x, x
        # DDPM (7)  z = x
        self.shown = Unseen()
        return self.__y, a, b


class Unseen:
    def __repr__(self):
        raise RuntimeError("nobody may see it")


def test_a_look_never_ends_the_run():
    reading = read(Hidden.step, run=lambda: [Hidden().step(x, x) for x in (1.0, 2.0)], step=1)
    assert texts(reading) == ["self.__y = 2", "a = 2", "b = 2; 2", "self.shown = ?"]
    assert reading.step == "step 1 of 0 to 1, t = 2"


class Waiting:
    @property
    def timesteps(self):
        raise RuntimeError("set_timesteps was not called")

    def step(self, x):
        # DDPM (7)  y = x
        y = x
        return y


def test_a_property_may_fail():
    assert texts(read(Waiting.step, run=lambda: Waiting().step(3))) == ["y = 3"]


def test_of_a_long_run_some_steps_are_kept():
    reading = read(Sampler.halve, run=lambda: [Sampler().halve(k) for k in range(1000)], step=700)
    kept = reading.recording.kept
    assert len(kept) in (KEPT, KEPT + 1) and kept[0] == 0 and kept[-1] == 999 and 700 in kept
    assert max(b - a for a, b in zip(kept, kept[1:])) <= 34
    assert texts(reading) == ["h = 350"]


@pytest.mark.parametrize(
    "value, text",
    [
        (0.123456789, "0.12346"),
        (7, "7"),
        (np.int64(7), "7"),
        (torch.tensor(2.5), "2.5"),
        (torch.tensor([[1.0, 3.0]]), "(1, 2), mean 2, std 1"),
        (torch.zeros(0, 3), "(0, 3)"),
        ([1, 2.0], "1; 2"),
        (list(range(5)), "5 values"),
        ("x", "'x'"),
    ],
)
def test_values_in_a_few_words(value, text):
    assert shown(value) == text


def test_thumbnails_are_small_and_show_the_first_picture():
    x = torch.full((2, 3, 64, 48), -1.0)
    x[0, 0, :32] = 1
    image = thumbnail(x)
    assert image.size == (24, 32)
    decoded = Image.open(io.BytesIO(base64.b64decode(webp(image)))).convert("RGB")
    top, bottom = (decoded.getpixel((12, y)) for y in (6, 26))
    assert top[0] > 230 and max(top[1:]) < 25 and max(bottom) < 25, "red above, black below"
    noise = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert 350 <= len(base64.b64decode(webp(thumbnail(noise)))) <= 600
    assert abs(np.asarray(thumbnail(noise)).mean() - 127.5) < 8, "nothing is 0"
    clipped = np.isin(np.asarray(thumbnail(30 * noise)), (0, 255)).mean()
    assert clipped < 0.2, "a sample of a large noise level is no mere black and white"


def test_a_picture_from_0_to_1_is_shown_as_one_from_minus_1_to_1_is():
    noise = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    x = torch.linspace(-1, 1, 32).expand(1, 3, 32, 32)
    centred, from_0 = (np.asarray(thumbnail(of), int) for of in (x, x / 2 + 0.5))
    assert np.abs(centred - from_0).max() <= 1 and centred.min() == 0 and centred.max() == 255
    noisy = np.asarray(thumbnail(x / 2 + 0.5 + 0.05 * noise), int)
    assert np.abs(noisy - centred).mean() < 12
    for of in (x, 0.9 * x + 0.1, noise, 1e-3 * noise):  # a bright one and none at all
        as_it_is = ((of / max(1, 1.5 * of.std()) / 2 + 0.5).clamp(0, 1) * 255).round()
        assert np.array_equal(np.asarray(thumbnail(of)), as_it_is[0].permute(1, 2, 0).byte().numpy())


@pytest.mark.parametrize(
    "value",
    [
        torch.zeros(3, 32, 32),
        torch.zeros(1, 8, 32, 32),
        torch.zeros(1, 4, 32, 16),
        torch.zeros(1, 3, 32, 12),
        torch.zeros(1, 3, 4, 4),
        torch.zeros(0, 3, 32, 32),
        torch.full((1, 3, 32, 32), torch.nan),
        0.5,
    ],
)
def test_what_is_no_picture(value):
    assert thumbnail(value) is None


def test_twenty_steps_fit_into_a_notebook():
    live = read(DDIMScheduler.step, run=lambda: walk(DDIMScheduler(clip_sample=False), 20))
    assert len(live._repr_html_()) < 100_000
    whole = read(PNDMScheduler, run=lambda: walk(PNDMScheduler(skip_prk_steps=True), 20))
    assert len(whole._repr_html_()) < 200_000
