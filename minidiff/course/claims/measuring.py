"""The large measurement of a paper's claims: `minidiff measure NAME`.

It takes at most an hour of one core, or four minutes of a GPU (4,500 calls of the network a second), and goes on after
a stop.

Each part's result is written as soon as it is there. Until all of them are, each batch of pictures is kept beside it.
"""

import json
import shutil
from importlib import import_module
from pathlib import Path

from minidiff import files, zoo
from minidiff.course.claims import PAPERS
from minidiff.course.claims.sampling import Work
from minidiff.pipelines.ddpm import DDPMPipeline
from minidiff.progress import progress_bar

WEIGHTS = "storybook-ddpm"


def measure(paper, out, samples=1000, device="cpu"):
    """Measure all claims of a paper that `out` does not hold yet.

    Args:
        paper: one of `PAPERS`.
        out: a JSON file; what it holds stays. The folder OUT.batches beside it is there until all is done.
        samples: pictures a sampler, from 2 on.
        device: what to draw on.
    Returns:
        dict: the results, by the names of the functions that measured them.
    Raises:
        ValueError: no such paper, too few samples, or `out` is another paper's, or of another number of samples.
    """
    if paper not in PAPERS:
        raise ValueError(f"paper is {paper!r}; allowed are {', '.join(map(repr, PAPERS))}")
    if samples < 2:
        raise ValueError(f"samples is {samples}; allowed is a whole number from 2 on: one says nothing of the next")
    out, run = Path(out), {"paper": paper, "weights": WEIGHTS, "samples": samples}
    results = begun(out, run)
    parts = import_module(f"minidiff.course.claims.{paper}").PARTS
    missing = {part: calls for part, calls in parts.items() if part.__name__ not in results}
    if not missing:
        return results

    pipe = DDPMPipeline.from_pretrained(zoo.path(WEIGHTS)).to(device)
    batches = out.with_name(f"{out.name}.batches")
    total = sum(calls(samples) for calls in missing.values())
    with progress_bar(apart=600, desc=paper, total=total, unit=" calls", unit_scale=True, mininterval=5) as bar:
        for part in missing:
            bar.set_postfix_str(part.__name__)
            results[part.__name__] = part(pipe, samples, work=Work(bar, batches))[0]
            write(out, {"run": run, "measures": results})
    shutil.rmtree(batches, ignore_errors=True)
    return results


def begun(out, run):
    """The results that `out` holds; none where it is not there. Raises ValueError where they are of another run."""
    if not out.exists():
        return {}
    there = json.loads(out.read_text(encoding="utf-8"))
    if there.get("run") != run:
        told = [", ".join(f"{key} {value}" for key, value in one.items()) for one in (there.get("run", {}), run)]
        raise ValueError(f"{out} holds a measurement of {told[0]}, no beginning of {told[1]}: choose another file")
    return there["measures"]


def write(out, measurement):
    """The whole file or none of it, whenever it is stopped."""
    files.replace(out, (json.dumps(measurement, indent=1) + "\n").encode())
