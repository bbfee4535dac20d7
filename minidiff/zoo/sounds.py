r"""Notes for a network to learn: plucked strings and struck bars, on a pentatonic scale, drawn from a seed.

    note = sounds.note(seed=3)                        # Note(sound, instrument, name, frequency)
    sounds.pitch(note.sound)                          # Hz, about note.frequency
    sounds.evaluate(pipe(batch_size=100).audios)      # what generated sounds are worth

A string of frequency f sounds at 1, 2, 3 ... times f, the higher the shorter. A bar's partials are no multiples: those
of a free one, by Euler and Bernoulli's equation of the beam, are at 1, 2.76 and 5.40 times f, which the ear still hears
as one note. So the pitch is looked for where both have it: the lowest strong peak of the spectrum.

GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium. Heusel et al., NeurIPS 2017,
arXiv:1706.08500: sets of sounds are compared by the normal distributions of their features, here the loudness in bands
of frequency, early and late in the second.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch

from minidiff.config import check_one_of, check_whole
from minidiff.zoo.evaluator import frechet_distance, interval, mean_and_covariance

SAMPLE_RATE = 8_000  # samples a second
LENGTH = 8_192  # samples: a little more than a second
NAMES = ("C4", "D4", "E4", "G4", "A4")  # of the notes, the five of an octave
FREQUENCIES = tuple(440 * 2 ** (k / 12) for k in (-9, -7, -5, -2, 0))  # Hz
INSTRUMENTS = ("string", "bar")
TOLERANCE = 30  # cents, hundredths of a semitone, within which a pitch counts as a note of the scale
LOWEST, HIGHEST = 200, 600  # Hz, where a pitch is looked for
SILENCE = 0.1  # added to the power of a band: that of white noise of standard deviation 0.02, which is hardly heard

# Streams of seeds: what networks are trained on, what sounds are compared with, and notes that nothing else uses.
TRAINING, REFERENCE, UNSEEN = 0, 1_000_000, 2_000_000


class Note(NamedTuple):
    """A sound and what made it.

    Fields:
        sound: (1, 8192) float32 in [-1, 1].
        instrument: "string" or "bar".
        name: such as "A4".
        frequency: Hz, of the lowest partial.
    """

    sound: np.ndarray
    instrument: str
    name: str
    frequency: float


def note(seed=None, instrument=None, name=None):
    """Draw a note.

    Args:
        seed: a whole number from 0 on, or None for another note every time.
        instrument, name: one of INSTRUMENTS, one of NAMES; what is not given is drawn from the seed.
    Returns:
        Note.
    Raises:
        ValueError: an argument is none of these.
    """
    if seed is not None:
        check_whole("seed", seed, least=0)
    rng = np.random.default_rng(seed)
    drawn = str(rng.choice(INSTRUMENTS)), str(rng.choice(NAMES))
    instrument, name = (one if given is None else given for given, one in zip((instrument, name), drawn))
    check_one_of("instrument", instrument, INSTRUMENTS)
    check_one_of("name", name, NAMES)
    frequency = FREQUENCIES[NAMES.index(name)]

    t = np.arange(LENGTH) / SAMPLE_RATE  # seconds
    wave = np.zeros(LENGTH)
    for multiple, loudness, decay in partials(instrument):
        loudness, decay = loudness * rng.uniform(0.7, 1.3), decay * rng.uniform(0.8, 1.2)
        phase = rng.uniform(0, 2 * math.pi)
        if frequency * multiple < SAMPLE_RATE / 2:
            wave += loudness * np.exp(-decay * t) * np.sin(2 * math.pi * frequency * multiple * t + phase)
    wave *= 1 - np.exp(-800 * t)  # nothing begins at once
    start = rng.integers(400)  # up to a twentieth of a second of silence
    wave = np.concatenate([np.zeros(start), wave])[:LENGTH]
    wave *= rng.uniform(0.6, 0.9) / np.abs(wave).max()
    return Note(wave[None].astype(np.float32), instrument, name, frequency)


def partials(instrument):
    """[(multiple of the frequency, loudness, how much it decays a second)]."""
    if instrument == "bar":
        return [(1, 1.0, 3.0), (2.76, 0.5, 6.0), (5.40, 0.25, 10.0)]
    return [(k, k**-1.2, 2 + 0.8 * k) for k in range(1, 9)]


def notes(count, seed=0):
    """`count` notes, of seeds from `seed` on: a float32 tensor (count, 1, 8192)."""
    check_whole("count", count)
    return torch.from_numpy(np.stack([note(seed + k).sound for k in range(count)]))


def pitch(sound, sample_rate=SAMPLE_RATE):
    """Frequency of the lowest strong peak in the spectrum of half a second: Hz.

    Args:
        sound: (L,) or (1, L), L from 4,396 on.
        sample_rate: samples a second.
    Returns:
        float, from about 200 to 600; of noise it is anything.
    """
    wave = as_waves(sound)[0, 300:4396]  # 4,096 samples, after the stroke
    if wave.numel() < 4096:
        raise ValueError(f"sound has {300 + wave.numel()} samples; allowed are 4,396 or more")
    points = 1 << 14
    spectrum = torch.fft.rfft(wave * torch.hann_window(4096, periodic=False, dtype=wave.dtype), points).abs()
    low, high = (int(edge * points / sample_rate) for edge in (LOWEST, HIGHEST))
    loud = spectrum[low : high + 1]
    peaks = (loud[1:-1] > loud[:-2]) & (loud[1:-1] >= loud[2:]) & (loud[1:-1] > 0.35 * loud.max())
    k = low + 1 + int(peaks.nonzero()[0, 0]) if peaks.any() else low + int(loud.argmax())
    a, b, c = (spectrum[k - 1 : k + 2] + 1e-12).log().tolist()  # the top of a parabola through three points
    return (k + 0.5 * (a - c) / (a - 2 * b + c - 1e-12)) * sample_rate / points


def nearest_note(frequency):
    """(name, cents): the note of the scale nearest to a frequency in Hz, and how far above it that is."""
    cents = [1200 * math.log2(frequency / of) for of in FREQUENCIES]
    k = min(range(len(cents)), key=lambda k: abs(cents[k]))
    return NAMES[k], cents[k]


def evaluate(sounds, seed=0):
    """What a set of generated notes is worth.

    Args:
        sounds: an array or tensor (B, 1, 8192) in [-1, 1], such as `pipe(...).audios`.
        seed: of the true notes that they are compared with; others for another one.
    Returns:
        dict with
            sounds: B.
            on_scale: share of them whose pitch is within 30 cents of a note of the scale.
            interval: of that share, [low, high] at 95 %.
            on_scale_true, on_scale_noise: the same share of B unseen true notes and of B sounds of white noise, which
                says what the measure is worth.
            frequencies: of those on the scale, the share of each note.
            frechet: spectral Fréchet distance to 2,000 true notes; NaN for a single sound.
            frechet_floor: the same of B other true notes, what a perfect network would get.
    Raises:
        TypeError: sounds is neither array nor tensor.
        ValueError: the sounds have another shape or are not finite; the seed is no whole number from 0 on.
    """
    waves = as_waves(sounds, LENGTH)
    check_whole("seed", seed, least=0)
    B, first = len(waves), 10_000_000 * seed
    unseen = as_waves(notes(B, first + UNSEEN))
    noise = torch.randn(waves.shape, generator=torch.Generator().manual_seed(seed), dtype=waves.dtype)

    heard = [nearest_note(pitch(wave)) for wave in waves]
    hits = [name for name, cents in heard if abs(cents) < TOLERANCE]
    distance = lambda waves: frechet_distance(*mean_and_covariance(features(waves)), *reference(first)).item()
    return {
        "sounds": B,
        "on_scale": len(hits) / B,
        "interval": list(interval([abs(cents) < TOLERANCE for _, cents in heard])),
        "on_scale_true": share_on_scale(unseen),
        "on_scale_noise": share_on_scale(noise),
        "frequencies": {name: hits.count(name) / max(1, len(hits)) for name in NAMES},
        "frechet": distance(waves) if B > 1 else math.nan,
        "frechet_floor": distance(unseen) if B > 1 else math.nan,
    }


@lru_cache(maxsize=2)
def reference(first):
    """The mean and covariance of the features of 2,000 notes, of seeds from `first` on in their stream."""
    return mean_and_covariance(features(as_waves(notes(2_000, first + REFERENCE))))


def share_on_scale(waves):
    """Share of the waves (B, L) whose pitch is a note of the scale."""
    return sum(abs(nearest_note(pitch(wave))[1]) < TOLERANCE for wave in waves) / len(waves)


def features(waves):
    """(B, 24) of waves (B, 8192): how loud twelve bands of frequency are, early and late, in units of ten decibels."""
    power = torch.stft(waves, 512, window=torch.hann_window(512, dtype=waves.dtype), return_complex=True).abs() ** 2
    early, late = power[:, :, 4:24], power[:, :, 34:54]  # (B, 257, 20), each a third of a second
    edges = [0, *np.geomspace(13, 257, 12).round().astype(int)]  # 0, 200 Hz, then in equal ratios to 4 kHz
    bands = [part[:, low:high].mean(dim=(1, 2)) for part in (early, late) for low, high in zip(edges, edges[1:])]
    return (torch.stack(bands, dim=1) + SILENCE).log10()


def as_waves(sounds, length=None):
    """(B, L) float64 of (B, 1, L), (1, L) or (L,), which must have that length, if one is given."""
    if not isinstance(sounds, torch.Tensor | np.ndarray):
        raise TypeError(f"sounds is a {type(sounds).__name__}; allowed is an array or tensor of shape (B, 1, L)")
    waves = torch.as_tensor(sounds).detach().cpu().double()
    if not 0 < waves.ndim < 4 or waves.ndim == 3 and waves.shape[1] != 1 or not waves.numel():
        raise ValueError(f"sounds has the shape {tuple(sounds.shape)}; allowed is (B, 1, L)")
    waves = waves.reshape(-1, waves.shape[-1])
    if length not in (None, waves.shape[1]):
        raise ValueError(f"sounds has {waves.shape[1]} samples each; allowed are {length}")
    if not waves.isfinite().all():
        raise ValueError("sounds holds numbers that are not finite; allowed are those from -1 to 1")
    return waves
