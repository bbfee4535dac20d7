"""The drawn world: small storybook scenes, each with a caption, drawn from a seed.

A picture shows one object (house, tree, cat, boat, mushroom, star) in one of eight colours, at one of four times, with
or without mountains: 6 * 8 * 4 * 2 = 384 combinations, few enough to count, enough to be worth generating. Because the
world is ours, every picture can be judged: a classifier says what it shows, the caption says what it should show, and
38 combinations are held out of training, so that what a model has *understood* is told apart from what it has seen.

The rest of a scene (where things stand, how tall they are) is a handful of numbers, all drawn before the first stroke
and measured in fractions of the picture: one seed is one scene, in every colour and at every size. The stroke itself is
four times finer than the picture, which is then averaged down: that is all the anti-aliasing there is.
"""

import itertools
import math
import operator
import random
from collections import Counter
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

OBJECTS = ("house", "tree", "cat", "boat", "mushroom", "star")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "white", "black")
TIMES = ("day", "sunset", "night", "snow")
ATTRIBUTES = MappingProxyType({"object": OBJECTS, "colour": COLOURS, "time": TIMES, "mountains": (False, True)})
COMBINATIONS = tuple(itertools.product(*ATTRIBUTES.values()))

FINER = 4  # strokes are drawn on a canvas this many times the picture's size
SIZES = range(8, 513)
OUTLINE = 0.025  # its width: most of a pixel at 32 px, enough to part white from snow and black from night

# Snowflakes, and of these the first five are stars: few, because a small network cannot learn where fifty of them are.
DOTS = ((0.08, 0.68), (0.5, 0.94), (0.92, 0.64), (0.38, 0.8), (0.64, 0.8), (0.06, 0.46), (0.94, 0.4), (0.06, 0.94),
        (0.94, 0.94))  # fmt: skip

PAINT = {
    "red": (217, 38, 44), "orange": (247, 130, 25), "yellow": (255, 217, 46), "green": (38, 152, 66),
    "blue": (42, 92, 224), "purple": (146, 58, 190), "white": (250, 250, 248), "black": (36, 34, 42),
}  # fmt: skip
WOOD, BRICK, CREAM, INK, ROSE = (124, 78, 50), (165, 92, 72), (250, 236, 208), (44, 34, 48), (244, 150, 160)
PALE, GREY = (255, 255, 255), (176, 184, 206)


class Light(NamedTuple):
    """The colours of one time of day: all that tells day from night."""

    sky: tuple  # at the top ...
    haze: tuple  # ... and at the horizon
    sun: tuple
    mountain: tuple
    cap: tuple
    hill: tuple
    meadow: tuple
    water: tuple
    outline: tuple
    window: tuple
    glow: tuple = (0.22, 0.42)  # how much the outer and the inner ring around the sun have of its colour


LIGHT = {
    "day": Light((92, 178, 245), (206, 238, 252), (255, 226, 92), (116, 136, 186), (255, 255, 255), (106, 190, 112),
                 (146, 212, 104), (88, 172, 222), (58, 48, 74), (196, 232, 250)),
    "sunset": Light((138, 92, 168), (255, 190, 122), (255, 240, 178), (160, 98, 134), (255, 222, 206), (176, 112, 104),
                    (206, 146, 104), (198, 134, 156), (48, 24, 54), (255, 232, 128)),
    "night": Light((14, 18, 58), (58, 70, 130), (250, 244, 214), (84, 92, 150), (160, 170, 214), (26, 50, 70),
                   (34, 66, 74), (26, 42, 98), (226, 230, 252), (255, 222, 104), (0.06, 0.14)),
    "snow": Light((150, 170, 200), (214, 224, 236), (240, 238, 226), (128, 144, 176), (255, 255, 255), (226, 234, 244),
                  (246, 249, 253), (136, 164, 192), (44, 48, 76), (255, 222, 104)),
}  # fmt: skip


class Drawing(NamedTuple):
    """A picture (PIL, RGB, size x size), its caption, and its attributes (a dict with the keys of `ATTRIBUTES`)."""

    image: Image.Image
    caption: str
    attributes: dict


class Scene(NamedTuple):
    """All that chance decides besides the attributes, in fractions of the picture; heights count from below."""

    x: float  # middle of the object
    base: float  # height it stands on
    tall: float  # its own height
    turn: int  # 1, or -1: mirrored
    sun_x: float
    sun_y: float
    horizon: float
    slope: float  # how far the hills are shifted
    ridge: int  # 1, or -1: the mountains mirrored
    peak: float  # how high the mountains rise, about 1
    dots: tuple  # shifts of the stars or snowflakes


def _scene(rng):
    """Draw a scene's numbers, always in the same order and by `random()` alone, whose values Python promises."""

    def between(a, b):
        return a + (b - a) * rng.random()

    def sign():
        return 1 if rng.random() < 0.5 else -1

    return Scene(
        x=between(0.36, 0.64), base=between(0.09, 0.13), tall=between(0.52, 0.58), turn=sign(),
        sun_x=0.5 + 0.32 * sign() + between(-0.03, 0.03), sun_y=between(0.83, 0.86), horizon=between(0.36, 0.40),
        slope=between(-0.1, 0.1), ridge=sign(), peak=between(0.92, 1.0),
        dots=tuple((between(-0.03, 0.03), between(-0.03, 0.03)) for _ in DOTS),
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------------- the pen


class Pen:
    """Draws on an image in the thing's own measure: (0, 0) is the point it stands on, u goes right, v goes up."""

    def __init__(self, image, x=0.0, y=0.0, unit=1.0, turn=1):
        self.draw, self.width = ImageDraw.Draw(image), image.width
        self.x, self.y, self.unit, self.turn = x, y, unit, turn

    def at(self, u, v):
        x, y = self.x + self.turn * self.unit * u, 1 - self.y - self.unit * v
        return round(x * self.width), round(y * self.width)

    def length(self, u):
        return max(1, round(u * self.unit * self.width))

    def shape(self, colour, *points):
        self.draw.polygon([self.at(*point) for point in points], fill=colour)

    def box(self, colour, u, v, wide, high):
        """A rectangle that stands at (u, v), its middle above u."""
        self.shape(colour, *[(u - wide / 2, v), (u + wide / 2, v), (u + wide / 2, v + high), (u - wide / 2, v + high)])

    def disc(self, colour, u, v, wide, high=None):
        """An ellipse around (u, v)."""
        (x, y), a, b = self.at(u, v), self.length(wide / 2), self.length((high or wide) / 2)
        self.draw.ellipse([x - a, y - b, x + a, y + b], fill=colour)

    def dome(self, colour, u, v, wide, high):
        """The upper half of an ellipse, `high` high, on the line at v."""
        arch = [math.pi * k / 24 for k in range(25)]
        self.shape(colour, *[(u + wide / 2 * math.cos(a), v + high * math.sin(a)) for a in arch])

    def stroke(self, colour, thick, *points):
        """A thick line with round ends and corners."""
        self.draw.line([self.at(*point) for point in points], fill=colour, width=self.length(thick))
        for point in points:
            self.disc(colour, *point, thick)


def mix(a, b, share):
    """Colour a with a share of colour b."""
    return tuple(round(p + (q - p) * share) for p, q in zip(a, b))


def shade(colour):
    """A neighbouring tone for what lies in shadow; black, which has nothing darker, gets a lighter one."""
    return mix(colour, (104, 104, 128), 0.35) if sum(colour) < 200 else mix(colour, (60, 30, 90), 0.22)


# ------------------------------------------------------------------------------- what stands behind the object


def _sky(width, light, scene, time):
    """A gradient down to the horizon, and the sun or the moon in a soft glow, always higher than any object reaches."""
    pair = Image.new("RGB", (1, 2))
    pair.putpixel((0, 0), light.sky)
    pair.putpixel((0, 1), light.haze)
    height = round(width * (1 - scene.horizon))
    image = Image.new("RGB", (width, width), light.haze)
    image.paste(pair.resize((width, height), Image.Resampling.BILINEAR, box=(0, 0.5, 1, 1.5)))
    pen = Pen(image, scene.sun_x, scene.sun_y)
    outer, inner = [mix(mix(light.sky, light.haze, 0.2), light.sun, glow) for glow in light.glow]
    for colour, wide in ((outer, 0.25), (inner, 0.2), (light.sun, 0.15)):
        pen.disc(colour, 0, 0, wide)
    if time == "night":  # a bite makes the moon a crescent, which no sun and no star is
        pen.disc(inner, -math.copysign(0.036, scene.sun_x - 0.5), 0.016, 0.118)
    return image


def _clouds(image, light, scene):
    """One cloud, across the sky from the sun."""
    pen = Pen(image, 1 - scene.sun_x, scene.sun_y - 0.03)
    for u, v, wide, high in ((0, 0, 0.26, 0.08), (-0.04, 0.035, 0.12, 0.11), (0.05, 0.025, 0.1, 0.08)):
        pen.disc(mix(light.haze, PALE, 0.7), u, v, wide, high)


def _dots(image, scene, count, wide):
    """Stars or snowflakes, each near its own place."""
    pen = Pen(image)
    for (u, v), (du, dv) in zip(DOTS[:count], scene.dots):
        pen.disc(PALE, u + du, v + dv, wide)


def _mountains(image, light, scene):
    """Three peaks, one on either side where no object hides it, lit from one side and capped with snow."""
    pen = Pen(image, 0.5, scene.horizon, 1.0, scene.ridge)
    for u, high, wide in ((0.06, 0.26, 0.7), (-0.34, 0.37, 0.62), (0.37, 0.34, 0.56)):
        high *= scene.peak
        top, foot, cap = (u, high), wide / 2, 0.4
        side, low = foot * cap, high * (1 - cap)
        pen.shape(light.mountain, (u - foot, 0), top, (u + foot, 0))
        pen.shape(shade(light.mountain), (u + foot * 0.15, 0), top, (u + foot, 0))
        pen.shape(light.cap, top, (u - side, low), (u - side / 2, low + 0.035), (u, low - 0.01),
                  (u + side / 2, low + 0.035), (u + side, low))  # fmt: skip


def _meadow(image, light, scene):
    """Two round hills, and a meadow in front of them."""
    pen = Pen(image, 0.5 + scene.slope, 0)
    pen.draw.rectangle([pen.at(-2, scene.horizon), pen.at(2, 0)], fill=light.hill)
    pen.disc(light.hill, -0.36, scene.horizon - 0.03, 0.8, 0.16)
    pen.disc(light.hill, 0.42, scene.horizon - 0.04, 0.7, 0.16)
    pen.disc(light.meadow, 0.1, -0.1, 2.4, 0.8)


def _sea(image, light, scene):
    """Water to the horizon, with a few long waves that glitter below the sun."""
    pen = Pen(image)
    pen.draw.rectangle([pen.at(0, scene.horizon), pen.at(1, 0)], fill=light.water)
    wave = mix(light.water, light.haze, 0.45)
    pen.box(wave, 0.5, scene.horizon - 0.02, 1.0, 0.02)
    for u, v, wide in ((0.12, 0.27, 0.2), (0.88, 0.22, 0.22), (0.1, 0.07, 0.24), (0.86, 0.06, 0.26)):
        pen.stroke(wave, 0.02, (u - wide / 2, v), (u + wide / 2, v))
    pen.disc(wave, scene.x, scene.base + 0.015, scene.tall * 1.15, 0.05)


def _shadow(image, light, scene):
    """What ties the object to the ground."""
    Pen(image, scene.x, scene.base).disc(mix(light.meadow, INK, 0.25), 0, 0, scene.tall * 0.95, 0.07)


def _background(width, attributes, scene):
    """The whole scene but for its object: an RGB image of `width` x `width`."""
    time = attributes["time"]
    light = LIGHT[time]
    image = _sky(width, light, scene, time)
    if time == "day":
        _clouds(image, light, scene)
    if time == "night":
        _dots(image, scene, 5, 0.034)
    if attributes["mountains"]:
        _mountains(image, light, scene)
    if attributes["object"] == "boat":
        _sea(image, light, scene)
    else:
        _meadow(image, light, scene)
        _shadow(image, light, scene)
    if time == "snow":
        _dots(image, scene, len(DOTS), 0.05)
    return image


# ------------------------------------------------------------------- the objects: about 1 wide, 1 high, on (0, 0)


def _house(pen, colour, light):
    pen.box(BRICK, 0.26, 0.5, 0.14, 0.46)
    pen.shape(colour, (-0.42, 0), (0.42, 0), (0.42, 0.5), (0, 0.9), (-0.42, 0.5))
    pen.box(shade(colour), 0, 0, 0.84, 0.07)
    pen.stroke(WOOD, 0.12, (-0.49, 0.48), (0, 0.93), (0.49, 0.48))
    pen.box(WOOD, 0, 0, 0.2, 0.27)
    pen.dome(WOOD, 0, 0.27, 0.2, 0.1)
    for u in (-0.25, 0.25):
        pen.box(WOOD, u, 0.2, 0.21, 0.24)
        pen.box(light.window, u, 0.23, 0.15, 0.18)
    pen.disc(light.window, 0, 0.59, 0.15)


def _tree(pen, colour, light):
    pen.box(WOOD, 0, 0, 0.15, 0.3)
    for low, high, wide in ((0.16, 0.6, 0.9), (0.42, 0.82, 0.68), (0.67, 1.0, 0.48)):
        tip, half = (0, high), wide / 2
        pen.disc(shade(colour), 0, low - 0.03, half * 1.2, 0.1)
        pen.shape(colour, (-half, low), tip, (half, low))
        pen.shape(shade(colour), (half * 0.45, low), tip, (half, low))
        for u in (-0.67, -0.22, 0.22, 0.67):  # a scalloped hem
            pen.disc(shade(colour) if u > 0.5 else colour, u * half, low, half * 0.5, half * 0.34)


def _cat(pen, colour, light):
    pen.stroke(colour, 0.11, (0.2, 0.07), (0.4, 0.1), (0.47, 0.24), (0.44, 0.38), (0.47, 0.46))
    pen.disc(colour, 0, 0.24, 0.56, 0.5)
    pen.disc(colour, 0, 0.36, 0.4, 0.5)
    for side in (-1, 1):
        pen.shape(colour, (side * 0.31, 0.66), (side * 0.29, 1.0), (side * 0.03, 0.82))
        pen.shape(ROSE, (side * 0.25, 0.76), (side * 0.25, 0.91), (side * 0.12, 0.83))
        pen.disc(shade(colour), side * 0.12, 0.05, 0.2, 0.12)
    pen.disc(colour, 0, 0.67, 0.64, 0.46)
    for side in (-1, 1):
        pen.disc(PALE, side * 0.14, 0.7, 0.15, 0.17)
        pen.disc(INK, side * 0.13, 0.69, 0.08, 0.14)
    pen.disc(ROSE, 0, 0.58, 0.1, 0.07)


def _boat(pen, colour, light):
    pen.stroke(WOOD, 0.05, (0, 0.15), (0, 0.97))
    pen.shape(colour, (0.05, 0.96), (0.2, 0.82), (0.36, 0.6), (0.46, 0.3), (0.05, 0.3))
    pen.shape(shade(colour), (-0.05, 0.88), (-0.22, 0.62), (-0.38, 0.3), (-0.05, 0.3))
    pen.shape(WOOD, (-0.5, 0.24), (0.52, 0.24), (0.36, 0), (-0.34, 0))
    pen.shape(colour, (-0.5, 0.24), (0.52, 0.24), (0.46, 0.14), (-0.44, 0.14))


def _mushroom(pen, colour, light):
    pen.shape(CREAM, (-0.13, 0.5), (0.13, 0.5), (0.18, 0.05), (-0.18, 0.05))
    pen.disc(CREAM, 0, 0.06, 0.38, 0.12)
    for side in (-1, 1):
        pen.disc(INK, side * 0.075, 0.24, 0.06, 0.09)
    pen.disc(shade(colour), 0, 0.44, 0.94, 0.16)
    pen.dome(colour, 0, 0.44, 0.98, 0.5)
    spot = GREY if colour == PAINT["white"] else CREAM
    for u, v, wide in ((0, 0.76, 0.2), (-0.28, 0.59, 0.16), (0.28, 0.59, 0.16)):
        pen.disc(spot, u, v, wide, wide * 0.85)


def _star(pen, colour, light):
    tips = [math.pi / 2 + math.pi / 5 * k for k in range(10)]
    for tone, outer in ((shade(colour), 0.56), (colour, 0.5)):
        reach = (outer, outer * 0.56) * 5
        pen.shape(tone, *[(r * math.cos(a), 0.46 + r * math.sin(a)) for r, a in zip(reach, tips)])
    for side in (-1, 1):
        pen.disc(PALE, side * 0.12, 0.52, 0.13, 0.16)
        pen.disc(INK, side * 0.115, 0.51, 0.085, 0.12)
        pen.disc(ROSE, side * 0.21, 0.4, 0.09, 0.06)
    pen.stroke(INK, 0.035, (-0.07, 0.38), (0, 0.345), (0.07, 0.38))


STROKES = {"house": _house, "tree": _tree, "cat": _cat, "boat": _boat, "mushroom": _mushroom, "star": _star}


def _layers(attributes, scene, size):
    """The picture and the scene without its object (RGB), and the object's mask, outline included (L): size x size."""
    width, light = size * FINER, LIGHT[attributes["time"]]
    background = _background(width, attributes, scene)
    thing = Image.new("RGBA", (width, width))
    pen = Pen(thing, scene.x, scene.base, scene.tall, scene.turn)
    STROKES[attributes["object"]](pen, PAINT[attributes["colour"]], light)
    inside = thing.getchannel("A")
    mask = inside.filter(ImageFilter.BoxBlur(round(OUTLINE * width))).point([0] + [255] * 255)
    picture = background.copy()
    picture.paste(light.outline, mask=mask)
    picture.paste(thing, mask=inside)
    return tuple(layer.reduce(FINER) for layer in (picture, background, mask))


# ------------------------------------------------------------------------------------------------- what is public


def caption(attributes):
    """The caption of a mapping with all four attributes, such as "an orange cat in front of mountains at night"."""
    thing = f"{attributes['colour']} {attributes['object']}"
    where = " in front of mountains" if attributes["mountains"] else ""
    when = {"day": "on a sunny day", "sunset": "at sunset", "night": "at night", "snow": "in the snow"}
    return f"{'an' if thing[0] == 'o' else 'a'} {thing}{where} {when[attributes['time']]}"


def _held_out(count=38):
    """Hold out one combination after another: each time one whose values, alone and in pairs, were held out least."""

    def parts(combination):
        return [part for many in (1, 2) for part in itertools.combinations(enumerate(combination), many)]

    def held_share(combination):
        return sum(held_parts[part] / all_parts[part] for part in parts(combination))

    all_parts = Counter(part for combination in COMBINATIONS for part in parts(combination))
    rng, held, held_parts = random.Random("held out"), set(), Counter()
    while len(held) < count:
        rest = [combination for combination in COMBINATIONS if combination not in held]
        rest.sort(key=lambda _: rng.random())  # chance breaks the ties
        held.add(chosen := min(rest, key=held_share))
        held_parts.update(parts(chosen))
    return frozenset(held)


HELD_OUT = _held_out()  # tuples (object, colour, time, mountains) that no training set shows
SEEN = tuple(combination for combination in COMBINATIONS if combination not in HELD_OUT)


def _check_integer(name, value, allowed=None):
    try:
        value = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {value!r}") from None
    if allowed is not None and value not in allowed:
        raise ValueError(f"{name} must be from {allowed.start} to {allowed.stop - 1}, not {value}")
    return value


def draw(seed=None, size=64, **attributes):
    """Draw one scene.

    seed        an integer; the same seed is the same drawing everywhere. None draws a seed by chance.
    size        width and height in pixels, 8 to 512
    attributes  any of `ATTRIBUTES`: object, colour, time, mountains. What is not given is drawn from the seed,
                uniformly (held-out combinations too); what is given changes nothing else in the scene.

    Returns a `Drawing`. Raises TypeError for an attribute that does not exist and for a seed or size that is no
    integer, ValueError for a value or size that is not allowed.
    """
    size = _check_integer("size", size, SIZES)
    seed = random.randrange(2**32) if seed is None else _check_integer("seed", seed)
    for name, value in attributes.items():
        if name not in ATTRIBUTES:
            raise TypeError(f"draw() has no attribute {name!r}; there are {', '.join(ATTRIBUTES)}")
        if not any(value is known or isinstance(value, str) and value == known for known in ATTRIBUTES[name]):
            raise ValueError(f"{name} must be one of {', '.join(map(str, ATTRIBUTES[name]))}, not {value!r}")
    rng = random.Random(f"drawing {seed}")
    drawn = {name: values[int(rng.random() * len(values))] for name, values in ATTRIBUTES.items()}
    drawn |= attributes
    return Drawing(_layers(drawn, _scene(rng), size)[0], caption(drawn), drawn)


def training_set(n, seed=0, size=32, first=0):
    """Drawings first, first + 1, ..., first + n - 1 of an endless stream in which held-out combinations never come.

    Drawing k depends on (seed, k) alone, so processes may share the work; other seeds, and `draw`, give other drawings.
    Returns a uint8 array (n, size, size, 3) and a list of n dicts of attributes. Raises TypeError for what is no
    integer, ValueError for a negative n or first and for a size outside 8 to 512.
    """
    size, seed = _check_integer("size", size, SIZES), _check_integer("seed", seed)
    n, first = _check_integer("n", n, range(2**63)), _check_integer("first", first, range(2**63))
    pixels, all_attributes = np.empty((n, size, size, 3), np.uint8), []
    for k in range(n):
        attributes, scene, _ = _of_stream(seed, first + k)
        pixels[k] = np.asarray(_layers(attributes, scene, size)[0])
        all_attributes.append(attributes)
    return pixels, all_attributes


def _of_stream(seed, k):
    """(attributes, scene, rng) of drawing k of the stream `seed`; more can be drawn from `rng` afterwards."""
    rng = random.Random(f"training {seed} {k}")
    attributes = dict(zip(ATTRIBUTES, SEEN[int(rng.random() * len(SEEN))]))
    return attributes, _scene(rng), rng
