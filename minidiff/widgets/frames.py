"""Frames of HTML, small in bytes: pictures travel at their own size and are enlarged by the browser."""

import base64
import io
import math

import torch
from PIL import Image

FINE = 1.5  # pixels of a figure for one on the page, so that its letters are sharp
CURVES = ("#3572b0", "#c1571b", "#3f8f4f", "#8a56a8")


def picture(image, height):
    """An <img> of a PIL image, drawn `height` CSS pixels high, its pixels sharp."""
    file = io.BytesIO()
    image.save(file, "WEBP", quality=65, method=6)
    data = base64.b64encode(file.getvalue()).decode()
    width = round(height * image.width / image.height)
    style = f"width:{width}px;height:{height}px;image-rendering:pixelated;display:block"
    return f'<img src="data:image/webp;base64,{data}" style="{style}">'


def shown(content, height=None):
    """A PIL image, sharp and `height` CSS pixels high, or a matplotlib figure, as large as it was made, as an <img>.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(content, Image.Image):
        return picture(content, height or content.height)
    if not hasattr(content, "savefig"):
        raise TypeError(f"a frame is a {type(content).__name__}; allowed are PIL images and matplotlib figures")
    file, dense = io.BytesIO(), io.BytesIO()
    content.savefig(file, format="png", dpi=FINE * content.dpi)
    with Image.open(file) as image:
        image.convert("RGB").save(dense, "WEBP", quality=70, method=6)
        style = f"width:{round(image.width / FINE)}px;height:{round(image.height / FINE)}px;display:block"
    return f'<img src="data:image/webp;base64,{base64.b64encode(dense.getvalue()).decode()}" style="{style}">'


def side_by_side(*tensors):
    """Tensors (3, H, W) in [-1, 1], clipped, beside each other: a PIL image."""
    row = torch.cat([x.detach().float().cpu() for x in tensors], dim=2)
    levels = ((row / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).numpy())


def chart(curves, x, at, xlabel, ylabel, ticks=None, width=300, height=170):
    """An inline SVG of curves of one quantity, with a dot on each at place `at`.

    Args:
        curves: {name: list of numbers}, all as long as `x`; they are named where there are several.
        x: numbers, where the entries of a curve stand; rising.
        at: a place in these lists.
        xlabel, ylabel: what stands along the axes.
        ticks: {number: text} along the x axis; round numbers if None.
    """
    numbers = [value for curve in curves.values() for value in curve]
    low, high = min(numbers), max(numbers)
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)  # flat: half way up
    left, top, right, bottom = 44, 22, width - 10, height - 34
    across = lambda value: left + (right - left) * (value - x[0]) / (x[-1] - x[0] or 1)
    up = lambda value: bottom - (bottom - top) * (value - low) / (high - low)
    text = lambda words, x, y, more="": f'<text x="{x:.0f}" y="{y:.0f}"{more}>{words}</text>'

    frame = f'<rect x="{left}" y="{top}" width="{right - left}" height="{bottom - top}"/>'
    marks = "".join(f'<path d="M{left} {up(number):.1f}h-4"/>' for number in round_numbers(low, high))
    ticks = ticks or {number: f"{number:g}" for number in round_numbers(x[0], x[-1])}
    below = [text(words, across(number), bottom + 14) for number, words in ticks.items()]
    below.append(text(xlabel, (left + right) / 2, height - 4))
    beside = [text(f"{number:g}", left - 6, up(number) + 4) for number in round_numbers(low, high)]
    parts = [
        text(ylabel, 4, 12),
        f'<g text-anchor="middle">{"".join(below)}</g><g text-anchor="end">{"".join(beside)}</g>',
        f'<g fill="none" stroke="currentColor" opacity=".4">{frame}{marks}</g>',
    ]
    for k, (name, curve) in enumerate(curves.items()):
        colour, last = CURVES[k % len(CURVES)], len(curve) - 1
        some = sorted({round(share / 60 * last) for share in range(61)})  # all, if they are no more
        points = " ".join(f"{across(x[i]):.0f},{up(curve[i]):.0f}" for i in some)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<circle cx="{across(x[at]):.1f}" cy="{up(curve[at]):.1f}" r="5" fill="{colour}"/>')
        if len(curves) > 1:
            place = right - 60 * (len(curves) - k - 1)
            parts.append(text(name, place, 12, f' fill="{colour}" text-anchor="end"'))
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return f'<svg {size} fill="currentColor" font-family="sans-serif" font-size="11">{"".join(parts)}</svg>'


def round_numbers(low, high):
    """Up to six round numbers, a step apart, from low to high, which is larger."""
    power = 10 ** math.floor(math.log10(high - low))
    step = next(power * k for k in (0.2, 0.5, 1, 2) if (high - low) / (power * k) < 6)
    return [round(k * step, 10) for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def table(rows, head=None):
    """A plain table without lines: rows of cells, each a string of HTML."""
    style = 'style="border-collapse:collapse;font:14px sans-serif;background:none;color:inherit"'
    cell = 'style="padding:2px 8px 2px 0;text-align:left;vertical-align:middle;border:none;background:none"'
    lines = [[f"<b>{text}</b>" for text in head]] if head else []
    body = "".join(f"<tr>{''.join(f'<td {cell}>{text}</td>' for text in row)}</tr>" for row in [*lines, *rows])
    return f"<table {style}>{body}</table>"
