"""The questions of lesson 3."""

from minidiff.widgets.questions import ask


def spread():
    return ask(
        "For which $\\eta$ will $x_{t-1}$ spread the most?",
        {
            "0": "Nothing is replaced, but the old noise fills the whole budget.",
            "1": "The most is replaced: fresh noise comes in, and old noise goes out to make room.",
            "all the same": "The budget $1 - \\bar\\alpha_{t-1}$ is always spent, all of it.",
        },
        right="all the same",
        because="$\\eta$ says how much of the noise is replaced on the way, not how much there is.",
    )


def long_steps():
    return ask(
        "Where does a long step hurt most?",
        {
            "the beginning, where nearly all is noise": "The steps in σ are huge, but the slope turns very little.",
            "the middle": "Here the object is decided, and it does cost. But many steps share the cost.",
            "the end, close to the picture": "The steps in σ are small, but here edges and windows are decided, "
            "and the slope turns most.",
        },
        right="the end, close to the picture",
        because="The two figures below have the numbers.",
    )


def first_difference():
    return ask(
        "At which of the 20 steps do the two guesses of the picture begin to differ?",
        {
            "at step 2": "DDPM has added fresh noise once, and the guess moves with it.",
            "at step 10": "Until then both x look like noise to you. The guesses differ long before.",
            "at step 18": "By then they are different pictures.",
        },
        right="at step 2",
    )


def half_way_along_the_chord():
    return ask(
        "How long is the noise half way along the chord, as a part of $\\sqrt d$?",
        {
            "1": "This is the great circle.",
            "0.7": "The two noises have nothing to do with each other, so their squares add up: 1/4 + 1/4 is 1/2, and "
            "its root is 0.7.",
            "0": "So it would be if the two noises were opposite to each other.",
        },
        right="0.7",
        because="On the chord the network is shown too little noise.",
    )
