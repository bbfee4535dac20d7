"""The architecture of a network as a diagram, drawn from the network itself."""

from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from minidiff.widgets.plots import Plot

INK, DOWN, UP, KEPT, TIME = "#333333", "#3572b0", "#3f8f4f", "#8a8a8a", "#c1571b"


def diagram(model):
    """A UNet2DModel as a U: a box a level on the way down and on the way up, between them what is kept.

    Args:
        model: with `sample_size` in its config; plain levels, each half as high and wide as the one above.
    Returns:
        a matplotlib figure.
    """
    size, channels = model.sample_shape[-1], model.config.block_out_channels
    figure = Plot(figsize=(7.4, 1.1 + 1.05 * len(channels)), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(-1.9, 11.5), ylim=(-1.5 * len(channels) - 0.6, 1.5))
    axes.axis("off")

    def box(x, y, text, colour, wide=2.4):
        shape = dict(boxstyle="round,pad=0.02,rounding_size=0.15", linewidth=1.6, edgecolor=colour, facecolor="white")
        axes.add_patch(FancyBboxPatch((x - wide / 2, y - 0.42), wide, 0.84, **shape))
        axes.text(x, y, text, ha="center", va="center", fontsize=8.5, color=INK)

    def arrow(start, end, colour=INK, text="", dashed=False):
        style = dict(arrowstyle="-|>", mutation_scale=11, linewidth=1.4, linestyle="--" if dashed else "-")
        axes.add_patch(FancyArrowPatch(start, end, color=colour, shrinkA=0, shrinkB=0, **style))
        middle = [(one + other) / 2 for one, other in zip(start, end, strict=True)]
        axes.text(middle[0], middle[1] + 0.12, text, ha="center", va="bottom", fontsize=8, color=colour)

    last = len(channels) - 1
    for k, maps in enumerate(channels):
        side, y, left, right = size // 2**k, -1.5 * k, 1.2 + 0.75 * k, 8.4 - 0.75 * k
        what = f"{maps} maps\nof {side} x {side}"
        box(left, y, what, DOWN)
        box(right, y, what, UP)
        arrow((left + 1.25, y), (right - 1.25, y), KEPT, "kept, put beside" if k == 0 else "", dashed=True)
        if k < last:
            arrow((left + 0.3, y - 0.45), (left + 0.6, y - 1.05), DOWN)
            arrow((right - 0.6, y - 1.05), (right - 0.3, y - 0.45), UP)
    bottom, middle = -1.5 * last - 1.35, 4.8
    box(middle, bottom, f"middle: {channels[-1]} maps of {size // 2**last} x {size // 2**last}", INK, wide=3.4)
    for sign, colour in ((-1, DOWN), (1, UP)):
        ends = [(middle + sign * 1.3, -1.5 * last - 0.45), (middle + sign * 0.9, bottom + 0.45)]
        arrow(*ends[::-sign], colour)
    axes.text(-1.25, 0, f"$x_t$\n3 x {size} x {size}", ha="center", va="center", fontsize=9, color=INK)
    axes.text(10.75, 0, f"$\\hat\\epsilon$\n3 x {size} x {size}", ha="center", va="center", fontsize=9, color=INK)
    arrow((-0.5, 0), (-0.05, 0))
    arrow((9.65, 0), (10.05, 0))
    box(4.8, 1.05, "the time $t$, told to every box", TIME, wide=3.6)
    for x in (2.5, 7.1):
        arrow((4.8 + (x - 4.8) * 0.8, 1.05), (x, 0.42), TIME)
    return figure
