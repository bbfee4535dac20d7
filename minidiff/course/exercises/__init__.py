"""The checks of the lessons' exercises, a file for each lesson.

A check takes what the reader wrote, tries it, and says in a sentence "yes", "no", "almost" or "not yet", and why. It
looks for a property that only a right answer has, and compares with no formula.
"""

import torch


def noise(seed, *shape):
    """Standard normal numbers of that shape, the same for the same seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
