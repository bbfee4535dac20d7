"""Sketches and holes: they lie where the object of the same seed stands."""

import numpy as np
import pytest

from minidiff.zoo import sketches, world


@pytest.mark.parametrize("seed", range(8))
def test_a_hole_covers_the_object(seed):
    made = sketches.with_hole(seed, object="cat")
    drawing = world.draw(seed, object="cat")
    assert made.attributes == drawing.attributes and np.array_equal(made.image, drawing.image)
    mask = np.asarray(made.mask)
    assert set(np.unique(mask)) == {0, 255} and 0.1 < (mask > 0).mean() < 0.6
    for name, other in (("cat", "star"), ("house", "tree")):  # who differ where they stand, and nowhere else
        one, two = (np.asarray(world.draw(seed, object=thing).image, int) for thing in (name, other))
        differs = np.abs(one - two).max(axis=-1) > 60
        assert differs.any() and (mask[differs] > 0).mean() > 0.95


def test_a_sketch_is_three_flat_shapes():
    for seed in range(6):
        drawing = sketches.sketch(seed, object="house", colour="red", time="day")
        assert drawing.caption == world.caption(drawing.attributes) and drawing.attributes["colour"] == "red"
        colours = drawing.image.getcolors()
        assert len(colours) == 3 and world.PAINT["red"] in [colour for _, colour in colours]
    assert sketches.sketch(3, size=32).image.size == (32, 32)
    with pytest.raises(TypeError, match="no attribute 'color'"):
        sketches.sketch(3, color="red")
