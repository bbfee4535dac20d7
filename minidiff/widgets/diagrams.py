"""Diagrams: boxes and pictures, with arrows between them."""

import math

import numpy as np
import torch
from matplotlib.patches import FancyBboxPatch, Rectangle
from PIL import Image

from minidiff.widgets.frames import side_by_side
from minidiff.widgets.plots import Plot

PAPER, INK, PALE, LINE = "#fdfbf6", "#282430", "#e7eef6", "#3572b0"
PICTURE = 0.8  # inches, of a picture's side


def diagram(boxes, arrows=(), width=7.2, height=2.0):
    r"""Draw boxes and arrows: a matplotlib figure.

    Args:
        boxes: {name: (x, y, content)} or {name: (x, y, content, caption)}; x and y in inches from below on the left,
            of the middle. The content is a text of one or more lines; a picture, from PIL or a tensor (3, H, W) in
            [-1, 1]; or None for a caption alone, which stands below. Both may hold TeX between dollar signs.
        arrows: (from, to), (from, to, text) or (from, to, text, bend) with names of boxes; a bend of 0.3 is an arc to
            the right of the way, one of -0.3 to its left.
        width, height: of the whole, in inches.
    Raises:
        ValueError: an arrow names no box.
    """
    figure = Plot(figsize=(width, height), dpi=110, facecolor=PAPER)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    patches = {name: draw_box(axes, *box) for name, box in boxes.items()}
    for start, end, *more in arrows:
        if unknown := [name for name in (start, end) if name not in boxes]:
            raise ValueError(f"an arrow names {unknown[0]!r}; allowed are {', '.join(map(repr, boxes))}")
        draw_arrow(axes, boxes[start][:2], boxes[end][:2], patches[start], patches[end], *more)
    return figure


def draw_box(axes, x, y, content, caption=""):
    """One box of a diagram; returns the patch that its arrows end at."""
    content = side_by_side(content) if isinstance(content, torch.Tensor) else content
    if isinstance(content, Image.Image):
        side, shape = PICTURE, Rectangle((x - PICTURE / 2, y - PICTURE / 2), PICTURE, PICTURE, fill=False, ec=INK)
        extent = (x - side / 2, x + side / 2, y - side / 2, y + side / 2)
        axes.imshow(np.asarray(content.convert("RGB")), extent=extent, aspect="auto", interpolation="nearest")
        below = y - side / 2
    else:
        lines = (content or "").split("\n")
        wide, high = 0.082 * max(map(len, lines)) + 0.2, 0.18 * len(lines) + 0.16
        style = {"fc": PALE if content else "none", "ec": LINE if content else "none"}
        shape = FancyBboxPatch(
            (x - wide / 2, y - high / 2), wide, high, boxstyle="round,pad=0,rounding_size=0.08", **style
        )
        axes.text(x, y, content or "", ha="center", va="center", color=INK, fontsize=10, linespacing=1.25)
        below = y - high / 2
    axes.add_patch(shape)
    axes.text(x, below - 0.06, caption, ha="center", va="top", color=INK, fontsize=10)
    return shape


def draw_arrow(axes, start, end, from_patch, to_patch, text="", bend=0.0):
    """An arrow between the middles of two boxes, cut at their edges, with a text beside it."""
    axes.annotate(
        "", end, start, arrowprops=dict(arrowstyle="-|>", color=INK, lw=1.2, patchA=from_patch, patchB=to_patch,
                                        shrinkA=3, shrinkB=3, connectionstyle=f"arc3,rad={bend}"))  # fmt: skip
    (x, y), (across, up) = start, (end[0] - start[0], end[1] - start[1])
    length = math.hypot(across, up)
    aside = bend * length / 2 + (0.12 if bend >= 0 and (across, up) > (0, 0) else -0.12)  # of the arc's middle
    place = x + across / 2 + aside * up / length, y + up / 2 - aside * across / length
    axes.text(*place, text, ha="center", va="center", color=INK, fontsize=9, linespacing=1.2)
