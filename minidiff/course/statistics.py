"""What a number measured on a sample of pictures is worth: intervals, verdicts, and how a lesson shows them.

An *entry* is a number with its interval: {"value", "low", "high"}. The interval is a bootstrap one, of 95 %: pictures
are resampled, and for a difference the same ones on both sides.
"""

from matplotlib.ticker import LogFormatter

from minidiff.widgets.plots import Plot
from minidiff.zoo import evaluator
from minidiff.zoo.recipes.quality import frechet_distances, resamples, with_interval

OURS, PAPERS, FLOOR = "#3572b0", "#b0a8bd", "#3f8f4f"  # colours of the figures


def judged(looked, against):
    """What the evaluator said of pictures, with intervals.

    Args:
        looked: {(sampler, steps): `EvaluatorOutput`}, all of the same number of pictures, from the same noises.
        against: pairs of keys, the first of which is to be better.
    Returns:
        dict that JSON can hold: "samples", "floor" (see `floor_of`), "rows" and "comparisons".
    """
    weights = resamples(len(next(iter(looked.values())).features))
    named = {key: weights @ evaluator.named(said).double() for key, said in looked.items()}
    frechet = {key: frechet_distances(weights, said.features.double()) for key, said in looked.items()}
    rows = [
        {"sampler": name, "steps": N}
        | {"named": with_interval(named[name, N]), "frechet": with_interval(frechet[name, N], biased=True)}
        for name, N in looked
    ]
    comparisons = [
        {"better": list(one), "than": list(other), "named": with_verdict(named[one] - named[other])}
        | {"frechet": with_verdict(frechet[one] - frechet[other], less_is_better=True, biased=True)}
        for one, other in against
    ]
    samples = weights.shape[1]
    return {"samples": samples, "floor": floor_of(samples), "rows": rows, "comparisons": comparisons}


def floor_of(samples):
    """The entry of the Fréchet distance of as many true drawings, which nothing was trained on.

    What a perfect network would get; the greater, the fewer there are.
    """
    said = evaluator.look(evaluator.stream(evaluator.UNSEEN, samples, evaluator.SIZE))
    return with_interval(frechet_distances(resamples(samples), said.features.double()), biased=True)


def medians(weights, values):
    """(rows of weights,): the median of values (n,) that weigh as each row says."""
    order = values.argsort()
    return values[order][(weights[:, order].cumsum(1) >= 0.5 - 1e-9).double().argmax(1)]  # the first of the largest


def with_verdict(differences, less_is_better=False, biased=False):
    """As `with_interval`, and "verdict": whether the first was better: "yes", "no", or "within noise" where the
    interval holds 0."""
    return judge(with_interval(differences, biased), less_is_better)


def judge(entry, less_is_better):
    """The entry of a difference, and its verdict."""
    sides = (entry["high"] < 0, entry["low"] > 0)
    worse, better = sides[::-1] if less_is_better else sides
    return entry | {"verdict": "yes" if better else "no" if worse else "within noise"}


def difference(one, other, less_is_better=False):
    """`one` less `other`, entries that were measured apart, as `with_verdict` gives it.

    The interval is made of theirs: each end is as far from the difference as the ends that lead there, by Pythagoras
    (Zou & Donner, Statistics in Medicine 27, 2008). It takes them for independent. Where the same noises make them go
    up and down together it is too wide, never too narrow.
    """
    value = one["value"] - other["value"]
    below = ((one["value"] - one["low"]) ** 2 + (other["high"] - other["value"]) ** 2) ** 0.5
    above = ((one["high"] - one["value"]) ** 2 + (other["value"] - other["low"]) ** 2) ** 0.5
    entry = {"value": round(value, 6), "low": round(value - below, 6), "high": round(value + above, 6)}
    return judge(entry, less_is_better)


def verdict(one, other, less_is_better=False):
    """Whether the entry `one` is better than `other`: "yes", "no" or "within noise"; see `difference`."""
    return difference(one, other, less_is_better)["verdict"]


# -------------------------------------------------------------------------------------------------------- figures


def entries_of(result, measure, only=None):
    """{name: entry}: one measure of a result's rows, for `bars`.

    Args:
        measure: such as "named" or "frechet".
        only: names of rows, such as "DDIM, 20 steps", in the order wanted; all that have the measure if None.
    Raises:
        ValueError: there is no such row; the message lists those that there are.
    """
    found = {name_of(row): row[measure] for row in result["rows"] if measure in row}
    for name in only or ():
        if name not in found:
            raise ValueError(f"only has {name!r}; allowed are {', '.join(map(repr, found))}")
    return {name: found[name] for name in only or found}


def lines_of(result, measure, only=None, x="steps"):
    """{sampler: {steps: entry}}: one measure of a result's rows, for `curves`.

    Args:
        measure: such as "named" or "frechet".
        only: names of samplers; all if None.
        x: "steps" or "calls".
    """
    found = {}
    for row in result["rows"]:
        if measure in row and (only is None or row["sampler"] in only):
            found.setdefault(row["sampler"], {})[row[x]] = row[measure]
    return found


def bars(entries, label, *, floor=None, paper=None, paper_label="the paper's"):
    """The figure of a claim: a bar for each entry, with its interval.

    Args:
        entries: {name: entry}, from top to bottom.
        label: what is measured, and whether less is better.
        floor: entry of what true drawings get, drawn as a line with its interval.
        paper: {name: number}, what the paper has; beside ours, on an axis of its own, since its pictures are others.
        paper_label: what those are, such as "FID on CIFAR-10 (paper)".
    Returns:
        a matplotlib figure, which a notebook shows.
    """
    left, right = panels(1.2 + 0.34 * len(entries), paper)
    places = range(len(entries))
    values = [entry["value"] for entry in entries.values()]
    left.barh(places, values, xerr=both_sides(entries.values()), color=OURS, alpha=0.8, capsize=3)
    left.set(xlabel=label, yticks=places, yticklabels=list(entries))
    left.invert_yaxis()
    if floor:
        left.axvline(floor["value"], color=FLOOR, label="true drawings")
        left.axvspan(floor["low"], floor["high"], color=FLOOR, alpha=0.15, linewidth=0)
        left.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), borderpad=0)
    if paper:
        theirs = [(place, paper[name]) for place, name in enumerate(entries) if name in paper]
        shown = right.barh(*zip(*theirs, strict=True), color=PAPERS)
        right.bar_label(shown, padding=3)
        right.set(xlabel=paper_label)
        right.margins(x=0.2)
    return left.figure


def curves(lines, xlabel, ylabel, *, floor=None, paper=None, paper_label="the paper's", marks=None, **scales):
    """The figure of a claim: a curve for each line, in a band that is its interval.

    Args:
        lines: {name: {x: entry}}.
        xlabel, ylabel: of the axes.
        floor: entry of what true drawings get, drawn as a line with its interval.
        paper: {name: {x: number}}, what the paper has; beside ours, on an axis of its own.
        paper_label: what those are, such as "FID on CIFAR-10 (paper)".
        marks: {name: y}, further lines across.
        scales: of all axes, such as xscale="log", or xlim=(999, 0) for a walk from left to right.
    Returns:
        a matplotlib figure, which a notebook shows.
    """
    left, right = panels(3.2, paper, sharey=False)
    colours = {name: f"C{k}" for k, name in enumerate(lines)}
    for name, line in lines.items():
        ends = [[entry[end] for entry in line.values()] for end in ("value", "low", "high")]
        left.plot(list(line), ends[0], "o-", color=colours[name], label=name, markersize=4 if len(line) < 13 else 0)
        left.fill_between(list(line), *ends[1:], color=colours[name], alpha=0.2, linewidth=0)
    if floor:
        left.axhline(floor["value"], color=FLOOR, label="true drawings")
        left.axhspan(floor["low"], floor["high"], color=FLOOR, alpha=0.15, linewidth=0)
    for name, y in (marks or {}).items():
        left.axhline(y, color="0.5", linestyle=":", label=name)
    for name, line in (paper or {}).items():
        right.plot(list(line), list(line.values()), "s--", color=colours.get(name, PAPERS), label=name, markersize=4)
    measured_at = sorted({x for line in lines.values() for x in line})
    for axes, y in ((left, ylabel), (right, paper_label)):
        if axes:
            axes.set(xlabel=xlabel, ylabel=y, **scales)
            if axes.get_xscale() == "log":
                axes.set_xticks(measured_at, map(str, measured_at))
                axes.set_xticks([], minor=True)
            if axes.get_yscale() == "log":
                axes.yaxis.set_major_formatter(PlainLogFormatter())
                axes.yaxis.set_minor_formatter(PlainLogFormatter())
            axes.legend(frameon=False, fontsize="small")
    return left.figure


class PlainLogFormatter(LogFormatter):
    """Numbers at the same ticks, but 0.2 and not 2 x 10^-1."""

    def __call__(self, x, pos=None):
        return super().__call__(x, pos) and f"{x:g}"


def panels(height, two, sharey=True):
    """One or two axes side by side, the second None where it is not wanted."""
    figure = Plot(figsize=(8.0 if two else 6.4, height), layout="constrained")
    return figure.subplots(1, 2, sharey=sharey) if two else (figure.subplots(), None)


def both_sides(entries):
    """(2, n): how far the ends of n entries are below and above their values."""
    pairs = [(entry["value"] - entry["low"], entry["high"] - entry["value"]) for entry in entries]
    return list(zip(*pairs, strict=True))


# --------------------------------------------------------------------------------------------------------- tables


def table(result):
    """str: the rows of a result as a lesson prints them."""
    lines = [f"{result['samples']} pictures a row, in brackets the 95 % interval"]
    width = max(len(name_of(row)) for row in result["rows"])
    for row in result["rows"]:
        head = f"{name_of(row):{width}}"
        if "calls" in row:
            head += f" {row['calls']:4} calls"
        cells = [form(row[name]) for name, form in SHOWN.items() if name in row]
        lines.append("  ".join([head, *cells]))
    return "\n".join(lines)


def name_of(row):
    """str: what a row is about, such as "DDIM, 20 steps" or "t = 999"."""
    what = [row[key] for key in ("sampler", "attribute", "part") if key in row]
    what += [form.format(row[key]) for key, form in (("steps", "{} steps"), ("t", "t = {}")) if key in row]
    return ", ".join(what)


def verdicts(result, measure="named"):
    """dict of str to str: what was claimed, and whether it is so: yes, no, or within noise."""
    return {
        "{} {} better than {} {}".format(*c["better"], *c["than"]): c[measure]["verdict"] for c in result["comparisons"]
    }


def spread(entry, form, scale=1):
    return "{} [{}, {}]".format(*(format(scale * entry[key], form) for key in ("value", "low", "high")))


SHOWN = {
    "named": lambda entry: f"named {spread(entry, '.0f', 100)} %",
    "frechet": lambda entry: f"Fréchet {spread(entry, '.2f')}",
    "same": lambda entry: f"same object {spread(entry, '.0f', 100)} %",
    "distance": lambda entry: f"distance {spread(entry, '.1f')}",
    "half": lambda entry: f"half decided at t = {spread(entry, '.0f')}",
    "moved": lambda entry: f"moved by {spread(entry, '.2f')} shades",
    "wrong": lambda entry: f"wrong by {spread(entry, '.2f')} shades",
    "std": lambda entry: f"spread of the noise {spread(entry, '.2f')}",
    "psnr": lambda entry: f"PSNR {spread(entry, '.1f')} dB",
    "mse": lambda entry: f"MSE {spread(entry, '.4f')}",
    "lost": lambda entry: f"lost {spread(entry, '.1f', 100)} %",
}
