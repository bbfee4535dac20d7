"""Plots of noise schedules."""

import io

import torch
from matplotlib.figure import Figure


class Plot(Figure):
    """A matplotlib figure that a notebook shows as a picture, whether or not pyplot was imported there."""

    def _repr_png_(self):
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()


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
