"""WAV files that other programs play, and a player."""

import io
import math
import wave

import numpy as np
import pytest
import torch

from minidiff import audio


def sine(C=1, L=400):
    t = torch.arange(L) / 8000
    return torch.stack([0.5 * torch.sin(2 * math.pi * 440 * (c + 1) * t) for c in range(C)])


@pytest.mark.parametrize("channels", (1, 2))
def test_what_is_written_is_what_is_read(channels, tmp_path):
    sound = sine(channels)
    audio.write(tmp_path / "note.wav", sound, 8000)
    with wave.open(str(tmp_path / "note.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (channels, 2, 8000)
        assert file.getnframes() == 400
    found, rate = audio.read(tmp_path / "note.wav")
    assert rate == 8000 and found.dtype == np.float32 and found.shape == (channels, 400)
    assert np.abs(found - sound.numpy()).max() <= 0.5 / 32767 + 1e-7


def test_arrays_of_all_kinds_are_the_same_file():
    files = []
    backwards = sine().numpy()[:, ::-1].copy()[:, ::-1]
    for sound in (sine(), sine()[0], sine().numpy(), sine().double(), sine().requires_grad_(), backwards):
        files.append(io.BytesIO())
        audio.write(files[-1], sound, 8000)
    assert len({file.getvalue() for file in files}) == 1


@pytest.mark.parametrize("dtype", (np.float64, np.float16, torch.float16, torch.bfloat16))
def test_what_lies_outside_is_clipped(dtype):
    """In half precision too, where the level of 1 is no number."""
    file, sound = io.BytesIO(), [-3.0, -1.0, 0.0, 1.0, 3.0]
    sound = torch.tensor(sound, dtype=dtype) if isinstance(dtype, torch.dtype) else np.array(sound, dtype)
    audio.write(file, sound, 8000)
    file.seek(0)
    assert audio.read(file)[0].tolist() == [[-1, -1, 0, 1, 1]]


def test_what_it_overwrites_stays_until_the_new_one_is_whole(tmp_path, monkeypatch):
    file = tmp_path / "note.wav"
    audio.write(file, sine(), 8000)
    before = file.read_bytes()
    with pytest.raises(ValueError, match="sample_rate is 2147483648; allowed is a whole number from 1 to 1073741823"):
        audio.write(file, sine(), 2**31)
    monkeypatch.setattr("wave.Wave_write.writeframes", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        audio.write(file, sine(), 8000)
    monkeypatch.undo()
    assert file.read_bytes() == before and list(tmp_path.iterdir()) == [file]
    audio.write(str(file), sine(2), 8000)
    assert file.read_bytes() != before and list(tmp_path.iterdir()) == [file]
    with pytest.raises(FileNotFoundError):
        audio.write(tmp_path / "no" / "note.wav", sine(), 8000)


def test_a_file_that_is_cut_off():
    whole = io.BytesIO()
    audio.write(whole, sine(2), 8000)
    for length in (0, 20, 40, 50, 101, 1600):
        with pytest.raises(wave.Error, match="cut off|missing"):
            audio.read(io.BytesIO(whole.getvalue()[:length]))


def test_a_player():
    player = audio.play(sine(2), 8000)
    assert player.data[:4] == b"RIFF" and "audio/wav" in player._repr_html_()
    found, rate = audio.read(io.BytesIO(player.data))
    assert rate == 8000 and np.abs(found).max() == pytest.approx(0.5, abs=1e-3)  # not made louder


def test_what_is_refused(tmp_path):
    file = tmp_path / "note.wav"
    for sound, message in (
        (torch.zeros(3, 10), r"sound has the shape \(3, 10\); allowed are"),
        (torch.zeros(1, 1, 10), r"sound has the shape \(1, 1, 10\); allowed are"),
        (torch.zeros(0), r"sound has the shape \(0,\); allowed are"),
        (torch.tensor([0.0, math.nan]), "sound holds numbers that are not finite"),
        (np.array([0, 32767], np.int16), "sound holds numbers of the kind int16; allowed are floating-point ones"),
        (torch.zeros(10, dtype=torch.int64), "of the kind int64"),
        (torch.zeros(10, dtype=torch.bool), "of the kind bool"),
        (np.zeros(10, complex), "of the kind complex128"),
    ):
        with pytest.raises(ValueError, match=message):
            audio.write(file, sound, 8000)
    with pytest.raises(TypeError, match="sound is a list; allowed is an array or tensor"):
        audio.write(file, [0.0, 1.0], 8000)
    for rate in (0, -8000, 8000.5, None):
        with pytest.raises(ValueError, match=f"sample_rate is {rate}; allowed is a whole number"):
            audio.write(file, sine(), rate)
    assert not file.exists()
    with wave.open(str(file), "wb") as eight_bits:
        eight_bits.setnchannels(1)
        eight_bits.setsampwidth(1)
        eight_bits.setframerate(8000)
        eight_bits.writeframes(b"abc")
    with pytest.raises(ValueError, match="has 8 bits a number; allowed are 16"):
        audio.read(file)
