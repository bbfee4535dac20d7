"""The questions of lesson 0."""

from minidiff.widgets.questions import ask


def first_belief():
    return ask(
        "In the first step the network sees nothing but noise. In which picture does it believe?",
        {
            "in no picture: all grey": "It has learnt more than that. The sky is above in every drawing, for example.",
            "in one of the 50,000 drawings": "Which one? Nothing in the noise tells it yet.",
            "in the mean of all drawings": "All drawings are still possible. Their mean is the guess with the smallest "
            "error, on average; lesson 1 shows why.",
        },
        right="in the mean of all drawings",
    )
