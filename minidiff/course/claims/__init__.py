"""What the papers claim, measured on weights of the zoo: a file a paper.

Large, a thousand pictures a sampler, the results lie in measured/; small, a lesson measures them live.
"""

import json
from pathlib import Path

MEASURED = Path(__file__).parent / "measured"


def measured(paper):
    """dict: the large measurement of a paper's claims, by the names of the functions that measured them.

    Args:
        paper: "ddpm", "ddim" or "pndm".
    Raises:
        ValueError: this paper was not measured; the message lists those that were.
    """
    known = sorted(file.stem for file in MEASURED.glob("*.json"))
    if paper not in known:
        raise ValueError(f"paper is {paper!r}; allowed are {', '.join(map(repr, known))}")
    return json.loads((MEASURED / f"{paper}.json").read_text(encoding="utf-8"))["measures"]
