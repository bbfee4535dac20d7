"""Pictures of sounds show what there is to hear; pictures are written whole."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from minidiff.zoo import gallery


def dark(picture):
    """How dark each pixel is, 0 (paper) to 1 (ink), top to bottom."""
    grey = np.asarray(picture.convert("L"), float)
    return (grey.max() - grey) / (grey.max() - grey.min())


def sine(frequency, seconds=2, rate=8000):
    return torch.sin(2 * math.pi * frequency * torch.arange(seconds * rate) / rate)[None]


@pytest.mark.parametrize("frequency", (500, 2000, 3500))
def test_a_tone_is_a_line_at_its_height(frequency):
    picture = gallery.sound_picture(0.5 * sine(frequency), 8000)
    assert picture.size == (198, 198)
    rows = dark(picture)[85:, 40:-40].mean(axis=1)  # the spectrogram without its labels
    height = 1 - (rows.argmax() + 85 - 81) / (198 - 81)
    assert height == pytest.approx(frequency / 4000, abs=0.03)
    assert rows.max() > 5 * np.median(rows)


def test_the_wave_is_as_high_as_it_is_loud():
    heights = [
        (dark(gallery.sound_picture(loudness * sine(440), 8000))[:80, 20] > 0.5).sum() for loudness in (0.2, 0.4, 0.8)
    ]
    assert heights == pytest.approx([16, 32, 63], abs=2)


def test_time_runs_to_the_right():
    late = torch.cat([torch.zeros(1, 8000), sine(1000, seconds=1)], dim=1)
    columns = dark(gallery.sound_picture(late, 8000))[:80].mean(axis=0)
    assert columns[110:].min() > 5 * columns[:90].max()
    stereo = torch.cat([late, late])
    assert gallery.sound_picture(stereo, 8000).tobytes() == gallery.sound_picture(late, 8000).tobytes()
    assert gallery.sound_picture(late.numpy(), 8000, size=100).size == (100, 100)


def test_a_very_short_sound():
    assert gallery.sound_picture(torch.ones(1, 24), 8000).size == (198, 198)


@pytest.mark.parametrize("name, form", [("a.png", "PNG"), ("a.JPG", "JPEG"), ("a.webp", "WEBP")])
def test_a_picture_is_written_whole_or_the_old_one_stays(tmp_path, monkeypatch, name, form):
    file, picture = tmp_path / name, Image.new("RGB", (4, 3), "red")
    gallery.save(picture, file)
    with Image.open(file) as written:
        assert (written.format, written.size) == (form, (4, 3))

    def stop(*paths):
        raise OSError("no space left")

    before = file.read_bytes()
    monkeypatch.setattr(gallery.files.os, "replace", stop)
    with pytest.raises(OSError, match="no space"):
        gallery.save(picture.resize((8, 6)), file)
    assert file.read_bytes() == before and [left.name for left in tmp_path.iterdir()] == [name]
