"""What image to image and inpainting begin with: crude sketches, and drawings with the place of their object.

sketch(seed=3, object="house", colour="red")    # three flat shapes and the caption that they are a sketch of
with_hole(seed=3)                               # a drawing, and a mask over its object
"""

import random
from typing import NamedTuple

from PIL import Image, ImageDraw

from minidiff.zoo import world

FLAT = {  # the colours of sky and ground
    "day": ((150, 205, 245), (146, 212, 104)),
    "sunset": ((230, 150, 130), (206, 146, 104)),
    "night": ((34, 42, 90), (34, 66, 74)),
    "snow": ((185, 198, 218), (246, 249, 253)),
}


class WithHole(NamedTuple):
    """A drawing (PIL, RGB), its mask (PIL, L, white over the object), and the drawing's attributes."""

    image: Image.Image
    mask: Image.Image
    attributes: dict


def attributes_of(seed, attributes):
    """All four attributes of a scene: those given, the others drawn from the seed as `world.draw` draws them."""
    return world.draw(seed, size=8, **attributes).attributes


def place_of(seed):
    """(left, top, right, bottom) of the object of the scene of that seed, as parts of the picture's side."""
    return place_in(world._scene(scene_numbers(seed)))


def place_in(scene):
    """As `place_of`, of the numbers of a scene."""
    half = scene.tall * 0.6
    return scene.x - half, 1 - scene.base - scene.tall - 0.04, scene.x + half, 1 - scene.base + 0.04


def scene_numbers(seed):
    """The numbers that decide where things stand, as `world.draw` draws them after the attributes."""
    rng = random.Random(f"drawing {seed}")
    for _ in world.ATTRIBUTES:
        rng.random()
    return rng


def sketch(seed=0, size=64, **attributes):
    """Three flat shapes, a sky, a ground and a block where the object stands: a `world.Drawing` with its caption.

    Args:
        seed: of the scene, as in `world.draw`.
        size: width and height in pixels.
        attributes: any of `world.ATTRIBUTES`; the others are drawn from the seed.
    """
    attributes = attributes_of(seed, attributes)
    sky, ground = FLAT[attributes["time"]]
    image = Image.new("RGB", (size, size), sky)
    pen = ImageDraw.Draw(image)
    pen.rectangle([0, size * 0.62, size, size], fill=ground)
    left, top, right, bottom = (round(part * size) for part in place_of(seed))
    inset = (right - left) // 6
    pen.rectangle([left + inset, top + inset, right - inset, bottom], fill=world.PAINT[attributes["colour"]])
    return world.Drawing(image, world.caption(attributes), attributes)


def with_hole(seed=0, size=64, **attributes):
    """A drawing and a mask over its object: a `WithHole`; arguments as for `sketch`."""
    drawing = world.draw(seed, size, **attributes)
    mask = Image.new("L", (size, size))
    ImageDraw.Draw(mask).rectangle([round(part * size) for part in place_of(seed)], fill=255)
    return WithHole(drawing.image, mask, drawing.attributes)
