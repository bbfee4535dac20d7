"""The questions of lesson 2."""

from minidiff.widgets.questions import ask


def half_way():
    return ask(
        r"Half of the 1000 ticks are over. How much of the picture's variance is left, $\bar\alpha_{500}$?",
        {
            "a half": "The $\\beta_t$ are small at first, but they add up.",
            "a quarter": "Still too much: many small losses add up.",
            "a thirteenth": "The $\\beta_t$ of the first 500 ticks have the sum 2.53, and $\\bar\\alpha_{500}$ is "
            "about exp(-2.53) = 0.08.",
        },
        right="a thirteenth",
    )


def easier_times():
    return ask(
        "At which times does the network recognise the noise better?",
        {
            "with little noise, at small t": "There the noise is one part in a hundred. It must be found among the "
            "details of the picture.",
            "at all times alike": "The same is asked for at all times, but it is not equally easy to see.",
            "with much noise, at large t": "There nearly everything is noise, and it need only repeat what it sees.",
        },
        right="with much noise, at large t",
    )


def decided_first():
    return ask(
        "What is decided first?",
        {
            "which object it is": "A matter of edges, and those come late.",
            "the object's colour": "A shape without edges already has a colour. But there is something larger.",
            "day, sunset, night or snow": "It colours every pixel of the picture, so a little of it can be seen "
            "through much noise.",
            "whether there are mountains": "They fill a strip of the picture, of a few pixels.",
        },
        right="day, sunset, night or snow",
    )
