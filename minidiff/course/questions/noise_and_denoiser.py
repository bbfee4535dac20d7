"""The questions of lesson 1."""

from minidiff.widgets.questions import ask


def loss():
    return ask(
        "The network trains for a long time. Where does its loss, the mean of the squared error, end?",
        {
            "at 0: it learns to say each point": "A large network can learn much. But many points can become "
            "the same noised point, and it has one answer for all of them.",
            "somewhere above 0": "The noise has destroyed something. No network can tell which of the possible points "
            "it was, so some error stays for ever.",
            "it never stops falling": "More training often helps. But a loss cannot fall below what the "
            "noise has destroyed.",
        },
        right="somewhere above 0",
    )


def all_noise():
    return ask(
        r"At $t = 999$ a noised point is nothing but noise. What does a network answer there whose loss is as small as "
        "possible?",
        {
            "a point of the spiral, by chance": "That is what we want in the end. But a point by chance is "
            "far from most others, and the square makes large errors count most.",
            "the point that it was shown": "It works where there is little noise. But here what it is "
            "shown says nothing of the point.",
            "the mean of all points": "It knows nothing, so every point is possible. The mean has the least squared "
            "error.",
        },
        right="the mean of all points",
    )


def at_once(one, many):
    """Args: the shares of points near the spiral after one step and after many."""
    return ask(
        "The network knows an answer for every noise. So why not take its answer to pure noise, in one step?",
        {
            "it works, but less precisely": "The answer has the least error that is possible. But an answer "
            "with a small error need not look like the data.",
            "all particles land on one place": "The answer to pure noise is the mean, for each of them. And the mean "
            "of a spiral is no point of it.",
            "they land at wrong places of the spiral": "The data are all it has seen. But it answers means, "
            "and these need not be data.",
        },
        right="all particles land on one place",
        because=f"Counted below: near the spiral are {100 * one:.0f} % after one step, {100 * many:.0f} % after 50.",
    )
