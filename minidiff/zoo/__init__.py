"""The zoo: the drawn world, its evaluator, the sounds, and the small trained weights that belong to the pipelines.

DDPMPipeline.from_pretrained(zoo.path("storybook-ddpm"))   # weights that came with the package
zoo.world.draw(seed=3, object="cat", colour="yellow")      # a drawing and its caption
zoo.sounds.note(seed=3, name="A4")                         # a note, and what made it
zoo.evaluate(images, prompts)                              # what generated pictures are worth
"""

import importlib
import json
from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
_MODULES = ("world", "sounds", "evaluator", "recipes")

__all__ = ["evaluate", "measures", "names", "path", *_MODULES]


def names():
    """list of str: the names of the trained weights in the package, in alphabetical order."""
    configs = [*WEIGHTS.glob("*/model_index.json"), *WEIGHTS.glob("*/config.json")]
    return sorted(file.parent.name for file in configs)


def path(name):
    """Path: the folder of the trained weights called `name`, for `from_pretrained`.

    Raises:
        ValueError: there are no weights of that name; the message lists those that there are.
    """
    if name not in names():
        raise ValueError(f"name is {name!r}; the zoo has {', '.join(names())}")
    return WEIGHTS / name


def measures(name):
    """dict: what the trained weights called `name` are worth, as their recipe measured them. ValueError as `path`."""
    return json.loads((path(name) / "measures.json").read_text(encoding="utf-8"))["measures"]


def __getattr__(name):
    if name == "evaluate":
        return importlib.import_module(f"{__name__}.evaluator").evaluate
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
