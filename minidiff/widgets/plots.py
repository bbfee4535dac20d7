"""Plots of noise schedules."""


def schedule_plot(*schedulers, labels=None):
    r"""\bar\alpha_t and the signal-to-noise ratio of schedulers over t: a matplotlib figure.

    Args:
        schedulers: with `alpha_bar`.
        labels: a name for each; the class's if None.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 2.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for k, scheduler in enumerate(schedulers):
        alpha_bar = scheduler.alpha_bar.double()
        label = labels[k] if labels else type(scheduler).__name__
        left.plot(alpha_bar, label=label)
        right.plot(alpha_bar / (1 - alpha_bar), label=label)
    left.set(xlabel="t", ylabel=r"$\bar\alpha_t$, how much of the picture is left")
    right.set(xlabel="t", ylabel="signal-to-noise ratio", yscale="log")
    left.legend(frameon=False)
    return figure
