"""The notes, and the measures of generated ones: they know true notes from false."""

import math

import numpy as np
import pytest
import torch

from minidiff.zoo import sounds


@pytest.fixture(scope="module")
def unseen():
    return [sounds.note(sounds.UNSEEN + k) for k in range(200)]


def wave(*partials):
    """A second of (frequency, loudness)."""
    t = np.arange(sounds.LENGTH) / sounds.SAMPLE_RATE
    return sum(loudness * np.sin(2 * math.pi * frequency * t) for frequency, loudness in partials)


def test_a_seed_is_a_note():
    for seed in (0, 5):
        assert np.array_equal(sounds.note(seed).sound, sounds.note(seed).sound)
    assert not np.array_equal(sounds.note(0).sound, sounds.note(1).sound)
    assert torch.equal(sounds.notes(3, seed=7)[2], torch.from_numpy(sounds.note(9).sound))
    assert not np.array_equal(sounds.note().sound, sounds.note().sound)


def test_notes_are_audible_whole_and_even(unseen):
    for note in unseen:
        assert note.sound.shape == (1, 8192) and note.sound.dtype == np.float32
        assert 0.6 <= np.abs(note.sound).max() <= 0.9
        start, end = (np.abs(part).max() for part in (note.sound[0, :1000], note.sound[0, -1000:]))
        assert end < start  # it dies away
    for values, drawn in (
        (sounds.INSTRUMENTS, [note.instrument for note in unseen]),
        (sounds.NAMES, [note.name for note in unseen]),
    ):
        assert all(drawn.count(value) > 0.6 * len(drawn) / len(values) for value in values)


def test_the_scale_is_pentatonic():
    steps = [1200 * math.log2(b / a) for a, b in zip(sounds.FREQUENCIES, sounds.FREQUENCIES[1:])]
    assert steps == pytest.approx([200, 200, 300, 200]) and sounds.FREQUENCIES[-1] == 440
    assert {name: sounds.note(3, name=name).frequency for name in sounds.NAMES} == dict(
        zip(sounds.NAMES, sounds.FREQUENCIES)
    )


def test_what_is_asked_for_is_drawn():
    note = sounds.note(4, instrument="bar", name="E4")
    assert (note.instrument, note.name) == ("bar", "E4")
    spectrum = np.abs(np.fft.rfft(note.sound[0, :4096] * np.hanning(4096)))
    bins = [round(multiple * note.frequency * 4096 / sounds.SAMPLE_RATE) for multiple in (1, 2, 2.76)]
    first, octave, second = (spectrum[k - 3 : k + 4].max() for k in bins)
    assert first > 10 * octave and second > 10 * octave  # a bar has no octave


def test_the_pitch_of_true_notes(unseen):
    """At least 98 %: here all, and within a cent."""
    cents = [1200 * math.log2(sounds.pitch(note.sound) / note.frequency) for note in unseen]
    assert max(map(abs, cents)) < 1
    assert {note.name for note in unseen if note.instrument == "bar"} == set(sounds.NAMES)


def test_the_pitch_of_what_is_no_note():
    noise = torch.randn(200, sounds.LENGTH, generator=torch.Generator().manual_seed(0)).double()
    assert sounds.share_on_scale(noise) <= 0.04
    between = 440 * 2 ** (-1 / 12)  # G sharp
    assert sounds.pitch(wave((between, 1.0))) == pytest.approx(between, rel=1e-4)
    assert sounds.nearest_note(between) == ("G4", pytest.approx(100))
    assert sounds.pitch(wave((330, 0.5), (440, 1.0))) == pytest.approx(330, rel=1e-3)  # the lowest strong one
    assert sounds.pitch(wave((330, 0.1), (440, 1.0))) == pytest.approx(440, rel=1e-3)
    assert 195 < sounds.pitch(np.zeros(sounds.LENGTH)) < 605


def test_true_notes_are_worth_the_most(unseen):
    true = torch.from_numpy(np.stack([note.sound for note in unseen]))
    found = sounds.evaluate(true, seed=1)
    assert found["sounds"] == 200 and found["on_scale"] == 1 and found["interval"] == [1, 1]
    assert found["on_scale_true"] >= 0.98 and found["on_scale_noise"] <= 0.04
    assert set(found["frequencies"]) == set(sounds.NAMES) and min(found["frequencies"].values()) > 0.1
    assert sum(found["frequencies"].values()) == pytest.approx(1)
    assert found["frechet"] < 3 * found["frechet_floor"]

    detuned = torch.from_numpy(np.stack([wave((sounds.FREQUENCIES[k % 5] * 2 ** (1 / 24), 0.5)) for k in range(20)]))
    found = sounds.evaluate(detuned[:, None])
    assert found["on_scale"] == 0 and set(found["frequencies"].values()) == {0}
    assert math.isnan(sounds.evaluate(detuned[:1, None])["frechet"])


def test_the_distance_hears_what_is_wrong(unseen):
    true = sounds.as_waves(np.stack([note.sound for note in unseen]))
    reference = sounds.mean_and_covariance(sounds.features(sounds.as_waves(sounds.notes(600))))
    distance = lambda waves: sounds.frechet_distance(
        *sounds.mean_and_covariance(sounds.features(waves)), *reference
    ).item()
    hiss = 0.05 * torch.randn(true.shape, generator=torch.Generator().manual_seed(0)).double()
    strings = true[[note.instrument == "string" for note in unseen]]
    floor = distance(true)
    for wrong in (true + hiss, true.flip(1), strings, true[: len(true) // 2] * 0.3, hiss):
        assert distance(wrong) > 5 * floor


def test_what_is_refused():
    for arguments, message in (
        ({"seed": -1}, "seed is -1; allowed is a whole number from 0 on"),
        ({"seed": 0.5}, "seed is 0.5; allowed"),
        ({"instrument": "drum"}, "instrument is 'drum'; allowed are 'string', 'bar'"),
        ({"name": "B4"}, "name is 'B4'; allowed are 'C4'"),
    ):
        with pytest.raises(ValueError, match=message):
            sounds.note(**arguments)
    with pytest.raises(ValueError, match="count is 0; allowed"):
        sounds.notes(0)
    with pytest.raises(ValueError, match="sounds has 4096 samples each; allowed are 8192"):
        sounds.evaluate(torch.zeros(2, 1, 4096))
    with pytest.raises(ValueError, match=r"sounds has the shape \(2, 2, 8192\); allowed is \(B, 1, L\)"):
        sounds.evaluate(torch.zeros(2, 2, 8192))
    with pytest.raises(ValueError, match="sounds holds numbers that are not finite"):
        sounds.evaluate(torch.full((2, 1, 8192), math.nan))
    with pytest.raises(TypeError, match="sounds is a list; allowed is an array or tensor"):
        sounds.evaluate([1.0])
    with pytest.raises(ValueError, match="sound has 4000 samples; allowed are 4,396 or more"):
        sounds.pitch(np.zeros(4000))
