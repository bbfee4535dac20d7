"""What a person means who asks for code by a name: `ddim`, `DDIMScheduler.step`, `models.resnet`."""

import importlib
from pathlib import Path

import minidiff
from minidiff.config import nearest

FOLDERS = ("schedulers", "pipelines", "models")  # where a bare name is looked for first: `ddim` is the scheduler


def named(name):
    """The module, class or function of that name.

    Args:
        name: a module of this package, with its folders or bare, in whatever case; a public name; or what one of them
            holds, such as `resnet.ResnetBlock2D.forward`.
    Raises:
        ValueError: there is none.
    """
    parts = name.removeprefix("minidiff.").split(".")
    if parts in [[folder] for folder in FOLDERS]:
        held = [one.partition(".")[2] for one in modules() if one.startswith(f"{parts[0]}.")]
        raise ValueError(f"{name!r} is a folder; allowed are the modules in it: {', '.join(held)}")
    for count in range(len(parts), 0, -1):
        if found := module(".".join(parts[:count])):
            return inside(importlib.import_module(f"minidiff.{found}"), parts[count:])
    if parts[0] in minidiff.__all__:
        return inside(getattr(minidiff, parts[0]), parts[1:])
    known = [*minidiff.__all__, *modules(), *(one.rpartition(".")[2] for one in modules())]
    raise ValueError(
        f"there is no {name!r}{nearest(name, known)}; allowed are modules, such as ddim or models.resnet, and what "
        "they hold, such as DDIMScheduler.step"
    )


def module(name):
    """The module of that name, as `schedulers.ddim`; None if there is none."""
    found = [one for one in modules() if f".{one}".endswith(f".{name.lower()}")]
    ranks = {one: FOLDERS.index(folder) for one in found if (folder := one.partition(".")[0]) in FOLDERS}
    return min(found, key=lambda one: (ranks.get(one, len(FOLDERS)), one.count(".")), default=None)


def modules():
    """Names of all modules of the package, without its own, and without the one that runs the command line."""
    root = Path(minidiff.__file__).parent
    files = [file.relative_to(root).with_suffix("") for file in sorted(root.rglob("*.py"))]
    names = (file.parent if file.name == "__init__" else file for file in files if file.name != "__main__")
    return [".".join(path.parts) for path in names if path.parts]


def inside(owner, names):
    for name in names:
        if not hasattr(owner, name):
            raise ValueError(f"{owner.__name__} has no {name!r}{nearest(name, dir(owner))}")
        owner = getattr(owner, name)
    return owner
