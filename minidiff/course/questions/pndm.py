"""The questions of lesson 4."""

from minidiff.widgets.questions import ask


def eight_calls():
    return ask(
        "With 8 calls each, which comes nearer to the exact ends?",
        {
            "DDIM": "It looks only at the slope where it stands.",
            "PLMS": "It looks back at four slopes. But with 8 calls they are far apart.",
            "about the same": "Looking back helps in one place and misleads in another.",
        },
        right="about the same",
        because="Now move the slider below: with how many calls does PLMS win?",
    )


def longest_step():
    return ask(
        "How far can one step of $\\phi$ go there without an error?",
        {
            "one timestep": "Even this small step would be exact, but so are longer ones.",
            "a tenth of the walk": "There is nothing that would go wrong farther on.",
            "all the way": "The noise is the same everywhere, so the straight line is the curve.",
        },
        right="all the way",
    )


def calls():
    return ask(
        "F-PNDM makes 50 steps, the first three of them by Runge and Kutta. How often does it call the network?",
        {
            "50 times": "So often does DDIM.",
            "59 times": "Three steps of four calls each, and 47 of one: 12 + 47.",
            "200 times": "So it would be if all steps were made by Runge and Kutta.",
        },
        right="59 times",
    )


def order():
    return ask(
        "The weights of (12) come from a cubic. Which order will PLMS show on the two heaps?",
        {
            "1": "It is better than Euler.",
            "2": "The paper proves 2, and no more. The text below the figure says why.",
            "4": "So it would be if the curve were followed in equal steps of its own coordinate. It is not.",
        },
        right="2",
    )
