"""Runs lessons into their notebooks: `python lessons/build.py` for all, `python lessons/build.py 03_ddim` for one.

The .py files are the source; the notebooks are generated, with outputs, and never edited by hand. The same source gives
the same bytes: cells, widgets and links get ids made of their place, and no times are kept.
"""

import hashlib
import re
import sys
import time
from pathlib import Path

import jupytext
import nbclient
import nbformat

LESSONS = Path(__file__).parent
LARGEST = 0.7 * 2**20  # bytes
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"},
}


def build(source):
    """Execute one lesson and write its notebook beside it; returns the notebook's path.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed; the old notebook stays.
        ValueError: the notebook is larger than LARGEST.
    """
    notebook = jupytext.read(source)
    for k, cell in enumerate(notebook.cells):
        cell["id"] = digest(source.stem, k)[:8]
    where = {"metadata": {"path": str(source.parent)}}
    client = nbclient.NotebookClient(notebook, kernel_name="python3", timeout=600, record_timing=False, resources=where)
    client.execute()
    notebook.metadata = METADATA | {key: value for key, value in notebook.metadata.items() if key == "widgets"}
    for cell in notebook.cells:
        cell.metadata = {key: value for key, value in cell.metadata.items() if key == "tags"}
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]  # progress bars
    nbformat.validate(notebook)
    text = with_stable_ids(nbformat.writes(notebook) + "\n", source.stem)
    if len(text.encode()) > LARGEST:
        raise ValueError(f"{source.stem} makes a notebook of {len(text.encode()):,} bytes; allowed are {LARGEST:,.0f}")
    target = source.with_suffix(".ipynb")
    target.write_text(text, encoding="utf8")
    return target


def with_stable_ids(text, stem):
    """The random ids of widgets replaced by ids made of the order in which they appear."""
    random_ids = dict.fromkeys(re.findall(r'"(?:IPY_MODEL_)?([0-9a-f]{32})"', text))
    stable = {old: digest(stem, "widget", k)[:32] for k, old in enumerate(random_ids)}
    return re.sub(r"[0-9a-f]{32}", lambda match: stable.get(match[0], match[0]), text)


def digest(*parts):
    return hashlib.sha256(":".join(map(str, parts)).encode()).hexdigest()


def main(names):
    for source in [LESSONS / f"{name}.py" for name in names] or sorted(LESSONS.glob("[0-9][0-9]_*.py")):
        started = time.perf_counter()
        target = build(source)
        print(f"{target.name}: {target.stat().st_size / 1000:.0f} kB, {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
