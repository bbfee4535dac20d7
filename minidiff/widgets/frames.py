"""Frames of HTML, small in bytes: pictures travel at their own size and are enlarged by the browser."""

import base64
import io

import torch
from PIL import Image

CURVES = ("#3572b0", "#c1571b", "#3f8f4f", "#8a56a8")


def picture(image, height):
    """An <img> of a PIL image, drawn `height` CSS pixels high, its pixels sharp."""
    file = io.BytesIO()
    image.save(file, "WEBP", quality=65, method=6)
    data = base64.b64encode(file.getvalue()).decode()
    width = round(height * image.width / image.height)
    style = f"width:{width}px;height:{height}px;image-rendering:pixelated;display:block"
    return f'<img src="data:image/webp;base64,{data}" style="{style}">'


def side_by_side(*tensors):
    """Tensors (3, H, W) in [-1, 1], clipped, beside each other: a PIL image."""
    row = torch.cat([x.detach().float().cpu() for x in tensors], dim=2)
    levels = ((row / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).numpy())


def chart(curves, at, width=300, height=150, low=None, high=None):
    """An inline SVG of curves, with a dot on each at place `at`.

    Args:
        curves: {name: list of numbers}, all of one length.
        at: a place in these lists.
        low, high: the range shown; that of the numbers if None.
    """
    numbers = [value for curve in curves.values() for value in curve]
    low, high = min(numbers) if low is None else low, max(numbers) if high is None else high
    left, top, right, bottom = 8, 8, width - 8, height - 18
    x = lambda k, n: left + (right - left) * k / max(n - 1, 1)
    share = lambda value: (min(max(value, low), high) - low) / (high - low) if high > low else 0.5  # flat: half way up
    y = lambda value: bottom - (bottom - top) * share(value)
    parts = [f'<rect x="{left}" y="{top}" width="{right - left}" height="{bottom - top}" fill="none" opacity=".3"/>']
    for k, (name, curve) in enumerate(curves.items()):
        colour, n = CURVES[k % len(CURVES)], len(curve)
        every = range(0, n, max(1, n // 60))
        points = " ".join(f"{x(i, n):.0f},{y(curve[i]):.0f}" for i in every)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<circle cx="{x(at, n):.1f}" cy="{y(curve[at]):.1f}" r="5" fill="{colour}" stroke="none"/>')
        place = left + k * (right - left) / len(curves)
        parts.append(
            f'<text x="{place:.0f}" y="{height - 4}" font-size="12" fill="{colour}" stroke="none">{name}</text>'
        )
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return f'<svg {size} stroke="currentColor" font-family="sans-serif">{"".join(parts)}</svg>'


def table(rows, head=None):
    """A plain table without lines: rows of cells, each a string of HTML."""
    style = 'style="border-collapse:collapse;font:14px sans-serif;background:none;color:inherit"'
    cell = 'style="padding:2px 8px 2px 0;text-align:left;vertical-align:middle;border:none;background:none"'
    lines = [[f"<b>{text}</b>" for text in head]] if head else []
    body = "".join(f"<tr>{''.join(f'<td {cell}>{text}</td>' for text in row)}</tr>" for row in [*lines, *rows])
    return f"<table {style}>{body}</table>"
