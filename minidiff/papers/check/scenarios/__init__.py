"""What drives the paired statements of this package, so that `checker.check` can compare them with their equations.

A file for each folder of the package, in it one function a module, with every config and branch: random inputs from a
fixed seed, batch 2, no two sizes alike, T = 12, random weights, all in float64. Imports inside a function give the
freshly imported modules; these files import none of them themselves.
"""

from minidiff.papers.check.scenarios import models, pipelines, schedulers, zoo  # noqa: F401, each registers its own
from minidiff.papers.check.scenarios.driving import SCENARIOS

__all__ = ["SCENARIOS", "UNPAIRED", "WHOLLY_PAIRED"]

# In these files (beginnings of paths) every statement of arithmetic has a pair ...
WHOLLY_PAIRED = ("schedulers/", "pipelines/guidance")
# ... but these, {"path: statement": reason}.
UNPAIRED = {}
