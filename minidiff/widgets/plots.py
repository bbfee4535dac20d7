"""Plots of noise schedules."""

import io

import torch
from matplotlib.figure import Figure
from PIL import Image


class Plot(Figure):
    """A matplotlib figure that a notebook shows as a picture, whether or not pyplot was imported there.

    The picture has 64 colours: a third of the bytes, and nobody sees it in a plot.
    """

    def _repr_png_(self):
        full, small = io.BytesIO(), io.BytesIO()
        self.savefig(full, format="png")
        few = Image.open(full).convert("RGB").quantize(64, dither=Image.Dither.NONE)
        few.save(small, format="png", optimize=True)
        return small.getvalue()


def schedule_plot(*schedulers, labels=None):
    r"""\bar\alpha_t and the signal-to-noise ratio of schedulers over t: a matplotlib figure.

    Args:
        schedulers: with `alpha_bar`.
        labels: a name for each; the class's if None.
    """
    figure = Plot(figsize=(7.2, 2.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for k, scheduler in enumerate(schedulers):
        alpha_bar = scheduler.alpha_bar.double().cpu()
        label = labels[k] if labels else type(scheduler).__name__
        left.plot(alpha_bar, label=label)
        right.plot(10 * torch.log10(alpha_bar / (1 - alpha_bar)), label=label)
    left.set(xlabel="t", ylabel=r"$\bar\alpha_t$, the share of the picture")
    right.set(xlabel="t", ylabel="signal-to-noise ratio, dB")
    for axes in (left, right):
        axes.legend(frameon=False)
    return figure
