"""What the pictures of a network are worth: what `zoo.evaluate` says, how sure that is, and how even the classes are.

An interval is a bootstrap one, of 95 %: pictures are resampled.
"""

import torch

from minidiff.zoo import evaluator, world

RESAMPLES = 1000


def quality(pictures, drawings, seed):
    """Measures of pictures against all drawings that their network was trained on.

    Args:
        pictures: (B, 3, H, W), in [0, 1].
        drawings, seed: how many there were, and of `world.training_set`.
    Returns:
        the mapping of `zoo.evaluate`; "evenness": by attribute, the "least" and the "most" of the ratios of a value's
        share in the pictures to that in the drawings; "intervals": [value, low, high] of what is named, and of the
        Fréchet distance.
    """
    measures = evaluator.evaluate(pictures, drawings=drawings)
    _, shown = world.training_set(drawings, seed=seed, size=8)
    measures["evenness"] = {}
    for attribute, values in world.ATTRIBUTES.items():
        share = {value: sum(row[attribute] == value for row in shown) / len(shown) for value in values}
        ratios = [measures["frequencies"][attribute][value] / share[value] for value in values]
        measures["evenness"][attribute] = {"least": min(ratios), "most": max(ratios)}

    said, weights = evaluator.look(evaluator.as_pictures(pictures)[0]), resamples(len(pictures))
    named = with_interval(weights @ evaluator.named(said).double())
    frechet = with_interval(frechet_distances(weights, said.features.double()), biased=True)
    measures["intervals"] = {"named": list(named.values()), "frechet": list(frechet.values())}
    return measures


def resamples(n, draws=RESAMPLES, seed=0):
    """(1 + draws, n) float64: what each of n pictures weighs, first in the sample itself and then in samples drawn from
    it."""
    chosen = torch.randint(n, (draws, n), generator=torch.Generator().manual_seed(seed))
    counts = torch.zeros(draws, n, dtype=torch.float64).scatter_add_(
        1, chosen, torch.ones(draws, n, dtype=torch.float64)
    )
    return torch.cat([torch.ones(1, n, dtype=torch.float64), counts]) / n


def frechet_distances(weights, features):
    """(rows of weights,): `evaluator.distance_to_world` of features (n, d) that weigh as each row says, all at once."""
    network, (n, d) = evaluator.evaluator(), features.shape
    m_w, C_w = network.reference_mean.double(), network.reference_covariance.double()
    m = weights @ features  # (R, d)
    squares = (weights @ (features[:, :, None] * features[:, None, :]).reshape(n, d * d)).reshape(-1, d, d)
    C = (squares - m[:, :, None] * m[:, None, :]) * n / (n - 1)
    A = evaluator.square_root(C_w)
    trace = torch.linalg.eigvalsh(A @ C @ A).clamp(min=0).sqrt().sum(1)  # of the root of C C_w
    return ((m - m_w) ** 2).sum(1) + C.diagonal(dim1=1, dim2=2).sum(1) + C_w.trace() - 2 * trace


def with_interval(values, biased=False):
    """{"value", "low", "high"} of what `resamples` gave: the sample's own value, and the middle 95 % of the others.

    A mean needs no more. A Fréchet distance is `biased`: a sample drawn from a sample has fewer different pictures and
    so a greater distance, which says nothing of the model. So the others are moved until their mean is the value, but
    no end below 0 where no value is, so that no distance gets negative.
    """
    ends = values[1:].quantile(torch.tensor([0.025, 0.975], dtype=values.dtype))
    if biased:
        ends = (ends - values[1:].mean() + values[0]).clamp(min=values.min().clamp(max=0))
    low, high = ends
    return {"value": round(values[0].item(), 6), "low": round(low.item(), 6), "high": round(high.item(), 6)}
