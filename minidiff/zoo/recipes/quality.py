"""What the pictures of a network are worth: what `zoo.evaluate` says, and how even the classes are."""

from minidiff.zoo import world
from minidiff.zoo.evaluator import evaluate


def quality(pictures, drawings, seed):
    """Measures of pictures against all drawings that their network was trained on.

    Args:
        pictures: (B, 3, H, W), in [0, 1].
        drawings, seed: how many there were, and of `world.training_set`.
    Returns:
        the mapping of `zoo.evaluate`, and "evenness": by attribute, the "least" and the "most" of the ratios of a
        value's share in the pictures to that in the drawings.
    """
    measures = evaluate(pictures, drawings=drawings)
    _, shown = world.training_set(drawings, seed=seed, size=8)
    measures["evenness"] = {}
    for attribute, values in world.ATTRIBUTES.items():
        share = {value: sum(row[attribute] == value for row in shown) / len(shown) for value in values}
        ratios = [measures["frequencies"][attribute][value] / share[value] for value in values]
        measures["evenness"][attribute] = {"least": min(ratios), "most": max(ratios)}
    return measures
