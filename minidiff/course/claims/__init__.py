"""What the papers claim, measured on weights of the zoo: a file a paper.

Large, a thousand pictures a sampler, by `minidiff measure NAME`, the results lie in measured/; small, a lesson measures
them live.
"""

import json
from pathlib import Path

PAPERS = ("ddpm", "ddim", "pndm")
MEASURED = Path(__file__).parent / "measured"


def measured(paper):
    """dict: the large measurement of a paper's claims, by the names of the functions that measured them.

    Raises:
        ValueError: `paper` is none of `PAPERS`.
    """
    if paper not in PAPERS:
        raise ValueError(f"paper is {paper!r}; allowed are {', '.join(map(repr, PAPERS))}")
    return json.loads((MEASURED / f"{paper}.json").read_text(encoding="utf-8"))["measures"]
