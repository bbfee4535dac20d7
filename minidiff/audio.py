"""Sound out of arrays: WAV files, written with the standard library alone, and a player for notebooks."""

import io
import wave
from pathlib import Path

import numpy as np
import torch

from minidiff import files
from minidiff.config import check_whole

FASTEST = 2**30 - 1  # samples a second; of stereo, a header's 32 bits hold no more bytes


def write(file, sound, sample_rate):
    """Write a WAV file of 16 bits a number, which everything plays.

    Args:
        file: a path, or a file open for writing bytes. A path's folder must exist; what lies there is replaced once
            the new file is whole.
        sound: a floating-point array or tensor (C, L) or (L,) in [-1, 1], such as `pipe(...).audios[0]`; what lies
            outside is clipped. C is 1 for mono, 2 for stereo.
        sample_rate: how many of the L samples are a second, such as `pipe.unet.config.sample_rate`.
    Raises:
        ValueError: the sound has another shape or dtype, is empty or not finite; the rate is no whole number from 1 to
            2^30 - 1.
        TypeError: the sound is no array.
    """
    levels, rate = as_levels(sound), checked_rate(sample_rate)
    whole = io.BytesIO()
    with wave.open(whole, "wb") as out:
        out.setnchannels(levels.shape[1])
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(levels.tobytes())
    if isinstance(file, str | Path):
        files.replace(file, whole.getvalue())
    else:
        file.write(whole.getvalue())


def read(file):
    """(sound, sample_rate) of a WAV file of 16 bits a number: sound is float32 (C, L) in [-1, 1].

    Raises:
        ValueError: it has another number of bits.
        wave.Error: it is no WAV file, or cut off.
    """
    try:
        with wave.open(str(file) if isinstance(file, str | Path) else file, "rb") as source:
            C, width, rate, L = source.getparams()[:4]
            content = source.readframes(L)
    except EOFError:
        raise wave.Error(f"{file} is no WAV file, or cut off") from None
    if width != 2:
        raise ValueError(f"{file} has {8 * width} bits a number; allowed are 16")
    if len(content) != width * C * L:
        raise wave.Error(f"{file} is cut off: it has {len(content)} of {width * C * L} bytes of sound")
    sound = np.frombuffer(content, "<i2").reshape(L, C).T.astype(np.float32) / 32767
    return sound.clip(-1, 1), rate


def play(sound, sample_rate):
    """A player for a notebook: the last line of a cell, or given to `display`. Arguments as for `write`.

    Returns:
        an IPython.display.Audio that holds the sound as a WAV file, at its own loudness.
    Raises:
        ImportError: IPython is not installed.
    """
    from IPython.display import Audio

    file = io.BytesIO()
    write(file, sound, sample_rate)
    return Audio(data=file.getvalue())


def as_levels(sound):
    """(L, C) whole numbers of 16 bits, the lowest byte first, as a WAV file has them."""
    if isinstance(sound, torch.Tensor):
        sound = sound.detach().cpu()
        sound = (sound.float() if sound.is_floating_point() else sound).numpy()  # which knows no bfloat16
    if not isinstance(sound, np.ndarray):
        raise TypeError(f"sound is a {type(sound).__name__}; allowed is an array or tensor of shape (C, L) or (L,)")
    if not np.issubdtype(sound.dtype, np.floating):
        raise ValueError(f"sound holds numbers of the kind {sound.dtype}; allowed are floating-point ones from -1 to 1")
    sound = sound.astype(np.float32)  # in half precision 32767 would be 32768
    waves = sound[None] if sound.ndim == 1 else sound
    if waves.ndim != 2 or not 1 <= waves.shape[0] <= 2 or not waves.shape[1]:
        raise ValueError(f"sound has the shape {sound.shape}; allowed are (L,), (1, L) and (2, L), with L from 1 on")
    if not np.isfinite(waves).all():
        raise ValueError("sound holds numbers that are not finite; allowed are those from -1 to 1")
    return (waves.T.clip(-1, 1) * 32767).round().astype("<i2")


def checked_rate(sample_rate):
    check_whole("sample_rate", sample_rate, most=FASTEST)
    return int(sample_rate)
