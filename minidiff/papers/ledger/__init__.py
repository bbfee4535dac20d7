"""The ledger: where a paper, its authors' code and diffusers disagree, and which side this package takes.

One file for each sampler or network, and one for what they share. An entry is a difference that shows in the code of
diffusers as it is installed or in a golden, with the number that it changes and a test that demonstrates it. What only
differed in code long gone, or does not change what comes out, is a sentence at the top of the file.

    print(entry("DDIM target"))
"""

import shutil
import sys

from minidiff.config import nearest
from minidiff.papers.ledger import (
    base,
    dance_diffusion,
    ddim,
    ddpm,
    karras_ve,
    latent_diffusion,
    pndm,
    score_sde,
    sigmas,
    stable_diffusion,
    unet_2d,
)
from minidiff.papers.ledger.mismatch import Mismatch

__all__ = ["ENTRIES", "Mismatch", "entry", "run", "text"]

_FILES = (
    base,
    ddpm,
    ddim,
    pndm,
    sigmas,
    score_sde,
    karras_ve,
    latent_diffusion,
    stable_diffusion,
    dance_diffusion,
    unet_2d,
)
ENTRIES = tuple(entry for file in _FILES for entry in file.ENTRIES)


def entry(name):
    """The Mismatch of that name.

    Raises:
        ValueError: there is none.
    """
    for mismatch in ENTRIES:
        if mismatch.name == name:
            return mismatch
    names = [mismatch.name for mismatch in ENTRIES]
    raise ValueError(f"the ledger has no entry {name!r}{nearest(name, names)}; it has {', '.join(names)}")


def text(name=None, width=100):
    """All entries as text; or those whose name holds `name`, in whatever case.

    Raises:
        ValueError: no name holds it.
    """
    chosen = [mismatch for mismatch in ENTRIES if name is None or name.lower() in mismatch.name.lower()]
    chosen = chosen or [entry(name)]
    return "\n\n".join(mismatch.text(width) for mismatch in chosen)


def run(name=None):
    """What `minidiff ledger [NAME]` does: print them, as wide as the terminal. Returns the exit status, 0."""
    width = max(60, min(shutil.get_terminal_size((100, 24)).columns, 110))
    printed = text(name, width)
    if sys.stdout.isatty():
        names = {mismatch.name for mismatch in ENTRIES}
        printed = "\n".join(f"\033[1m{line}\033[0m" if line in names else line for line in printed.splitlines())
    print(printed)
    return 0
