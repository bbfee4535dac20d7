"""Data that one can see whole: points near a spiral in the plane, and how lesson 1 draws them."""

import math

import torch

from minidiff.widgets.frames import chart, table
from minidiff.widgets.plots import Plot

TURNS = 1.5
START, END = 0.6, 2.0  # how far from the middle the line begins and ends; the mean of the points is 0.5 away from it
THICK = 0.04  # standard deviation of the points around the line
NEAR = 0.2  # counted as near: five of these standard deviations
SPAN = 3.0  # pictures show -SPAN to SPAN
BLUE = "#3572b0"


def curve(radius):
    """The line of the spiral, at these distances from the middle, from START to END: (n,) -> (n, 2)."""
    angle = 2 * math.pi * TURNS * (radius - START) / (END - START)
    return radius[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)


def spiral(n, generator=None):
    """n points near the spiral, about as dense everywhere on its line: (n, 2)."""
    u = torch.rand(n, generator=generator)
    radius = (START**2 + (END**2 - START**2) * u) ** 0.5  # the further out, the longer the way
    return curve(radius) + THICK * torch.randn(n, 2, generator=generator)


def share_near(points, within=NEAR):
    """The share of points (n, 2) that are no further from the line of the spiral than `within`."""
    distances = torch.cdist(points.float(), curve(torch.linspace(START, END, 2000))).min(dim=1).values
    return (distances <= within).float().mean().item()


def cloud(points, title="", size=230):
    """An inline SVG of points (n, 2); those outside the picture are left out."""
    inside = points[(points.abs() < SPAN).all(dim=1)]
    places = ((inside * torch.tensor([1, -1]) / SPAN + 1) * size / 2).tolist()
    dots = "".join(f"M{x:.0f} {y:.0f}h0" for x, y in places)
    return (
        f'<svg width="{size}" height="{size + 18}" viewBox="0 -18 {size} {size + 18}" fill="none">'
        f'<text x="2" y="-5" font-family="sans-serif" font-size="12" fill="currentColor">{title}</text>'
        f'<rect x=".5" y=".5" width="{size - 1}" height="{size - 1}" stroke="currentColor" opacity=".4"/>'
        f'<path d="{dots}" stroke="{BLUE}" stroke-width="3" stroke-linecap="round"/></svg>'
    )


def progress(losses, particles):
    """A frame of a training, as HTML: the loss so far, in means of 50 steps, beside the particles (n, 2) of now."""
    means = torch.tensor(losses[: len(losses) // 50 * 50]).view(-1, 50).mean(dim=1).tolist()
    steps = [50 * (k + 1) for k in range(len(means))]
    curve = chart({"loss": means}, steps, len(means) - 1, "training step", "loss, mean of 50 steps")
    return table([[curve, cloud(particles, f"after {len(losses)} steps")]])


def panels(clouds, size=2.2):
    """A matplotlib figure with a square for each cloud of points, side by side.

    Args:
        clouds: {title: points (n, 2)}.
        size: of a square, in inches.
    """
    figure = Plot(figsize=(size * len(clouds), size + 0.3), layout="constrained")
    for axes, (title, points) in zip(figure.subplots(1, len(clouds), squeeze=False)[0], clouds.items(), strict=True):
        axes.scatter(*points.T, s=2, color=BLUE, alpha=0.6)
        axes.set(xlim=(-SPAN, SPAN), ylim=(-SPAN, SPAN), xticks=[], yticks=[], aspect="equal")
        axes.set_title(title, fontsize=9)
    return figure
