"""What a number measured on a sample of pictures is worth: intervals, verdicts, and how a lesson prints them.

An interval is a bootstrap one, of 95 %: pictures are resampled, and for a difference the same ones on both sides.
"""

from minidiff.zoo import evaluator
from minidiff.zoo.recipes.quality import frechet_distances, resamples, with_interval


def judged(looked, against):
    """Rows for what the evaluator said of pictures, by (sampler, steps); for each pair of keys in `against`, whether
    the first is better."""
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
    return {"samples": weights.shape[1], "rows": rows, "comparisons": comparisons}


def medians(weights, values):
    """(rows of weights,): the median of values (n,) that weigh as each row says."""
    order = values.argsort()
    return values[order][(weights[:, order].cumsum(1) >= 0.5 - 1e-9).double().argmax(1)]  # the first of the largest


def with_verdict(differences, less_is_better=False, biased=False):
    """As `with_interval`, and "verdict": whether the first was better: "yes", "no", or "within noise" where the
    interval holds 0."""
    result = with_interval(differences, biased)
    sides = (result["high"] < 0, result["low"] > 0)
    worse, better = sides[::-1] if less_is_better else sides
    return result | {"verdict": "yes" if better else "no" if worse else "within noise"}


def table(result):
    """str: the rows of a result as a lesson prints them."""
    lines = [f"{result['samples']} pictures a row, in brackets the 95 % interval"]
    for row in result["rows"]:
        if "attribute" in row:
            head = f"{row['attribute']:10}"
        elif "sampler" in row:
            head = f"{row['sampler']:16} {row['steps']:3} steps {row['calls']:3} calls"
        else:
            head = f"{row['steps']:3} steps"
        cells = [form(row[name]) for name, form in SHOWN.items() if name in row]
        lines.append("  ".join([head, *cells]))
    return "\n".join(lines)


def quality_table(quality):
    """str: a recipe's quality in three lines, as lesson 2 prints it."""
    named, frechet = (dict(zip(("value", "low", "high"), quality["intervals"][name])) for name in ("named", "frechet"))
    return "\n".join(
        [
            f"{quality['images']} pictures, DDIM, {quality['steps']} steps, in brackets the 95 % interval",
            f"named {spread(named, '.1f', 100)} %",
            f"Fréchet {spread(frechet, '.2f')}; of as many true drawings {quality['frechet_floor']:.2f}",
        ]
    )


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
    "decided": lambda entry: f"decided at t = {spread(entry, '.0f')}",
    "psnr": lambda entry: f"PSNR {spread(entry, '.1f')} dB",
    "mse": lambda entry: f"MSE {spread(entry, '.4f')}",
    "lost": lambda entry: f"lost {spread(entry, '.1f', 100)} %",
}
