"""The drawn world: what it promises about seeds, captions, held-out combinations, and about being seen."""

import itertools
import random
from collections import Counter

import numpy as np
import pytest

from minidiff.zoo import world

NAMES = tuple(world.ATTRIBUTES)


def named(combination):
    return dict(zip(NAMES, combination))


def pixels(image):
    return np.asarray(image).astype(int)


# ------------------------------------------------------------------------------------------------ seeds and scenes


def test_a_drawing_is_an_rgb_picture_with_caption_and_attributes():
    image, caption, attributes = world.draw(3, size=48)
    assert (image.mode, image.size) == ("RGB", (48, 48))
    assert caption == world.caption(attributes)
    assert tuple(attributes) == NAMES and tuple(attributes.values()) in world.COMBINATIONS
    assert world.draw(3).image.size == (64, 64)


# The caption of draw(seed), and its picture averaged down to 4 x 4 pixels, as hexadecimal RGB.
STORED = {
    0: (
        "an orange house in the snow",
        "c1ccd7acbcd2a8b9d2a7b8d1c0cedfb5c1d494878ab7c1d3dfe7f2a98566de852ab1a39ff6f9fdd5b69cb58662dfd1c9",
    ),
    1: (
        "a green mushroom at sunset",
        "a3709fa3709fa574a0c5a2a8c99288898d759c8676d2998d9779605e9d6367855ac7886fcd9167be977ec08b69ce9268",
    ),
    2: (
        "a purple mushroom in front of mountains on a sunny day",
        "a3cabe7bc0ec7cc3f795cef8a1bddd8899d1968dcb9ab4db6dab86866898a062b678818a91d4688cc269a7b88990d167",
    ),
    3: (
        "an orange mushroom in front of mountains at sunset",
        "a2709fa2709fa2719fc7a5a8bd898dc98767bb7e77c28e9aad6b58de8b46b77352ad6f72cb9067be9981c28964ce9268",
    ),
}


@pytest.mark.parametrize("seed", STORED)
def test_a_seed_is_the_same_drawing_everywhere(seed):
    caption, grid = STORED[seed]
    drawing = world.draw(seed)
    assert drawing.caption == caption
    found = pixels(drawing.image.reduce(16)).ravel()
    # another version of Pillow may round an edge otherwise, never move it
    np.testing.assert_allclose(found, list(bytes.fromhex(grid)), atol=2)


def test_a_seed_draws_the_same_twice_and_seeds_differ():
    for seed in (0, 1, -1, 2**70):
        assert world.draw(seed).image.tobytes() == world.draw(seed).image.tobytes()
    assert len({world.draw(seed, size=16).image.tobytes() for seed in range(-100, 100)}) == 200
    assert world.draw(np.int64(4))[1:] == world.draw(4)[1:]


def test_no_seed_is_another_drawing_each_time():
    assert len({world.draw(size=16).image.tobytes() for _ in range(5)}) == 5


@pytest.mark.parametrize("seed", range(5))
def test_given_attributes_keep_the_scene(seed, monkeypatch):
    """The same place, height, sun and hills, and the attributes that were not given, whatever is given."""
    calls, layers = [], world._layers
    monkeypatch.setattr(world, "_layers", lambda *call: calls.append(call) or layers(*call))
    free = world.draw(seed, size=8).attributes
    for combination in world.COMBINATIONS[::7]:
        for many in range(1, 5):
            given = dict(list(named(combination).items())[-many:])
            assert world.draw(seed, size=8, **given).attributes == free | given
    assert len({scene for _, scene, _ in calls}) == 1


def test_another_colour_changes_nothing_but_the_object():
    attributes = dict(object="cat", time="sunset", mountains=True)
    red, blue = (pixels(world.draw(5, colour=colour, **attributes).image) for colour in ("red", "blue"))
    changed = (red != blue).any(-1)
    assert 0.05 < changed.mean() < 0.4
    scene = world._scene(random.Random(5))
    _, behind_red, mask_red = world._layers(attributes | {"colour": "red"}, scene, 64)
    _, behind_blue, mask_blue = world._layers(attributes | {"colour": "blue"}, scene, 64)
    assert behind_red.tobytes() == behind_blue.tobytes() and mask_red.tobytes() == mask_blue.tobytes()


def test_both_sizes_show_the_same_scene():
    for seed in range(40):
        small, large = pixels(world.draw(seed, size=32).image), pixels(world.draw(seed, size=64).image.reduce(2))
        assert abs(small - large).mean() < 4, seed
    other = pixels(world.draw(1, size=32).image)
    assert abs(other - pixels(world.draw(0, size=64).image.reduce(2))).mean() > 20


def test_edges_are_smooth():
    """Every pixel is the mean of 4 x 4 finer ones, so an edge can cover it in 17 ways, and does."""
    attributes = {"object": "star", "colour": "red", "time": "day", "mountains": True}
    shares = set()
    for seed in range(10):
        mask = world._layers(attributes, world._scene(random.Random(seed)), 64)[2]
        levels = np.asarray(mask) / 255 * 16
        assert abs(levels - levels.round()).max() < 0.05
        shares |= set(levels.round().ravel())
    assert world.FINER == 4 and shares == set(range(17))


def test_what_is_not_given_is_drawn_uniformly():
    drawn = [world.draw(seed, size=8).attributes for seed in range(2000)]
    for name, values in world.ATTRIBUTES.items():
        count = Counter(attributes[name] for attributes in drawn)
        expected = 2000 / len(values)
        assert all(abs(count[value] - expected) < 5 * expected**0.5 for value in values)


# -------------------------------------------------------------------------------------------------------- captions


@pytest.mark.parametrize(
    "combination, caption",
    [
        (("cat", "yellow", "sunset", True), "a yellow cat in front of mountains at sunset"),
        (("cat", "orange", "day", False), "an orange cat on a sunny day"),
        (("boat", "white", "night", False), "a white boat at night"),
        (("house", "orange", "snow", True), "an orange house in front of mountains in the snow"),
    ],
)
def test_captions(combination, caption):
    assert world.caption(named(combination)) == caption
    assert world.draw(0, size=8, **named(combination)).caption == caption


def test_each_combination_has_its_own_caption():
    assert len(world.COMBINATIONS) == 384
    assert len({world.caption(named(combination)) for combination in world.COMBINATIONS}) == 384


# ------------------------------------------------------------------------------- what is held out of the training


def test_held_out_combinations():
    assert isinstance(world.HELD_OUT, frozenset) and len(world.HELD_OUT) == 38
    assert world.HELD_OUT == world._held_out() and world.HELD_OUT < set(world.COMBINATIONS)
    assert sorted(world.HELD_OUT)[:3] == FIRST_HELD_OUT


FIRST_HELD_OUT = [
    ("boat", "black", "sunset", False),
    ("boat", "green", "night", True),
    ("boat", "orange", "snow", False),
]


def test_held_out_combinations_are_spread_evenly():
    """Each value is held out as often as its neighbours; of each pair of values at least three quarters are seen."""
    for i, name in enumerate(NAMES):
        held = Counter(combination[i] for combination in world.HELD_OUT)
        count = [held[value] for value in world.ATTRIBUTES[name]]
        assert max(count) - min(count) <= 1, name
    for i, j in itertools.combinations(range(4), 2):
        held = Counter((combination[i], combination[j]) for combination in world.HELD_OUT)
        every = Counter((combination[i], combination[j]) for combination in world.COMBINATIONS)
        assert all(held[pair] <= every[pair] / 4 for pair in every)


def test_the_training_set_never_shows_what_is_held_out():
    images, attributes = world.training_set(3000, size=8)
    assert images.shape == (3000, 8, 8, 3) and images.dtype == np.uint8 and len(attributes) == 3000
    seen = Counter(tuple(a[name] for name in NAMES) for a in attributes)
    assert not world.HELD_OUT & set(seen)
    assert len(seen) > 340  # of 346


def test_the_training_set_is_a_stream():
    """Drawing k depends on the stream and on k, not on who draws it, nor in which portion."""
    images, attributes = world.training_set(7, seed=2)
    for first, n in ((0, 3), (3, 4), (6, 1), (5, 0)):
        part, part_attributes = world.training_set(n, seed=2, first=first)
        assert np.array_equal(part, images[first : first + n])
        assert part_attributes == attributes[first : first + n]
    assert images.shape == (7, 32, 32, 3)


def test_streams_are_disjoint():
    streams = [{image.tobytes() for image in world.training_set(100, seed=seed)[0]} for seed in range(3)]
    streams.append({world.draw(seed, size=32).image.tobytes() for seed in range(100)})
    assert len(set.union(*streams)) == 400


# ------------------------------------------------------------------------------------------------------ being seen


def least_contrast(picture, behind, mask):
    """The contrast along the object's contour where it is weakest.

    For each pixel just outside of the object: how far its colour in the scene without the object is from the object's
    pixels within two pixels, from the one and in the channel where they are farthest.
    """
    size, reach = len(picture), 2
    inside = np.pad(mask >= 128, reach)
    picture = np.pad(picture, ((reach, reach), (reach, reach), (0, 0)))
    best, contour = np.full((size, size), -1), np.zeros((size, size), bool)
    for y, x in itertools.product(range(-reach, reach + 1), repeat=2):
        window = slice(reach + y, reach + y + size), slice(reach + x, reach + x + size)
        apart = abs(picture[window] - behind).max(-1)
        best = np.where(inside[window], np.maximum(best, apart), best)
        if abs(y) + abs(x) == 1:
            contour |= inside[window]
    return int(best[contour & (mask < 128)].min())


def hidden(size, seeds=3):
    """The combinations whose object does not stand out by 40 levels everywhere, each with its contrast."""
    found = {}
    for seed, combination in itertools.product(range(seeds), world.COMBINATIONS):
        scene = world._scene(random.Random(f"{seed} {combination}"))
        contrast = least_contrast(*map(pixels, world._layers(named(combination), scene, size)))
        if contrast < 40:
            found[combination] = min(contrast, found.get(combination, 255))
    return found


@pytest.mark.parametrize("size", (32, 64))
def test_every_object_stands_out(size):
    assert hidden(size) == {}


def test_without_its_outline_an_object_hides(monkeypatch):
    """So the test above can fail, and the outline is there for a reason."""
    monkeypatch.setattr(world, "OUTLINE", 0)
    found = {combination[1:3] for combination in hidden(64, seeds=1)}
    assert {("white", "snow"), ("black", "night")} <= found


@pytest.mark.parametrize("combination", [c for c in world.COMBINATIONS if c[2:] == ("day", False)], ids=str)
def test_most_of_the_object_is_in_its_colour(combination):
    """Of all eight paints, the object's own is the one nearest to most of its pixels."""
    picture, _, mask = map(pixels, world._layers(named(combination), world._scene(random.Random(0)), 64))
    paints = np.array([world.PAINT[colour] for colour in world.COLOURS])
    nearest = abs(picture[mask == 255][:, None] - paints).sum(-1).argmin(-1)
    share = np.bincount(nearest, minlength=8) / len(nearest)
    own = share[world.COLOURS.index(combination[1])]
    assert own > 0.35 and own >= share[:7].max()  # the last is black, as are the outlines


def test_objects_are_large_and_leave_the_sun_free():
    for seed, thing in itertools.product(range(50), world.OBJECTS):
        scene = world._scene(random.Random(seed))
        _, _, mask = world._layers(named((thing, "red", "day", False)), scene, 32)
        left, top, right, bottom = mask.getbbox()
        assert 14 <= bottom - top <= 22 and left >= 0 and right <= 32
        assert top / 32 > 1 - scene.sun_y + 0.075 - 1 / 32


@pytest.mark.parametrize("time", world.TIMES)
def test_mountains_are_seen_beside_every_object(time):
    for seed, thing in itertools.product(range(10), world.OBJECTS):
        scene = world._scene(random.Random(seed))
        with_, without = (
            pixels(world._layers(named((thing, "red", time, mountains)), scene, 32)[0]) for mountains in (True, False)
        )
        assert (abs(with_ - without).max(-1) >= 30).sum() >= 25


# ------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        ({"colour": "pink"}, ValueError, ("colour", "'pink'", "red", "black")),
        ({"object": "dog"}, ValueError, ("object", "'dog'", "house")),
        ({"time": None}, ValueError, ("time", "None", "sunset")),
        ({"mountains": "yes"}, ValueError, ("mountains", "'yes'", "False, True")),
        ({"mountains": 1}, ValueError, ("mountains", "1", "False, True")),
        ({"colour": ["red"]}, ValueError, ("colour", "['red']")),
        ({"color": "red"}, TypeError, ("'color'", "object, colour, time, mountains")),
        ({"size": 7}, ValueError, ("size", "7", "8 to 512")),
        ({"size": 513}, ValueError, ("size", "513", "8 to 512")),
        ({"size": 64.0}, TypeError, ("size", "64.0", "integer")),
        ({"seed": "1"}, TypeError, ("seed", "'1'", "integer")),
        ({"seed": 0.5}, TypeError, ("seed", "0.5", "integer")),
    ],
)
def test_draw_says_what_is_wrong(arguments, error, words):
    with pytest.raises(error) as caught:
        world.draw(**arguments)
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize(
    "arguments, error, name",
    [
        ({"n": -1}, ValueError, "n must"),
        ({"n": 2.5}, TypeError, "n must"),
        ({"n": 1, "first": -1}, ValueError, "first must"),
        ({"n": 1, "seed": None}, TypeError, "seed must"),
        ({"n": 1, "size": 0}, ValueError, "size must"),
    ],
)
def test_training_set_says_what_is_wrong(arguments, error, name):
    with pytest.raises(error, match=name):
        world.training_set(**arguments)


def test_the_table_of_attributes_cannot_be_changed():
    with pytest.raises(TypeError):
        world.ATTRIBUTES["object"] = ()
