"""How the weights of the zoo were trained: one module a network, each run again with `minidiff train NAME`."""

from importlib import import_module

NAMES = (
    "evaluator",
    "notes-dance-diffusion",
    "storybook-clip",
    "storybook-ddpm",
    "storybook-kl",
    "storybook-ldm",
    "storybook-ldm-sr",
    "storybook-ldm-text",
    "storybook-ncsnpp",
    "storybook-sd",
    "storybook-sd-inpaint",
    "storybook-vq",
)


def recipe(name):
    """The recipe called `name`. Raises ValueError for a name that is not in `NAMES`."""
    if name not in NAMES:
        raise ValueError(f"name is {name!r}; there are recipes for {', '.join(NAMES)}")
    return import_module(f"{__name__}.{name.replace('-', '_')}").Recipe()
