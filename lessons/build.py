"""Runs lessons into their notebooks: `python lessons/build.py` for all, `python lessons/build.py 03_ddim` for one.

The .py files are the source; the notebooks are generated, with outputs, and never edited by hand. The same source gives
the same bytes: cells, widgets and links get ids made of their place, and no times are kept. Where pyproject.toml names
the project's repository, each notebook begins with a badge that opens it in Colab and a cell that installs the package
there; where it names none, nothing claims to know where the project lives.
"""

import hashlib
import re
import sys
import time
import tomllib
from pathlib import Path

import jupytext
import nbclient
import nbformat

from minidiff import files

LESSONS = Path(__file__).parent
LARGEST = 0.7 * 2**20  # bytes
KEPT = ("tags", "jupyter")  # of a cell's metadata; `jupyter={"source_hidden": true}` folds its code in JupyterLab
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"},
}


SET_UP = """\
import sys

if "google.colab" in sys.modules:  # elsewhere the package is already here
    import subprocess

    wanted = "minidiff[lessons] @ git+{address}"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", wanted], check=True)"""


def repository(project=LESSONS.parent / "pyproject.toml"):
    """The address of the project's repository, from `[project.urls]`; None where it stands nowhere."""
    return tomllib.loads(project.read_text())["project"].get("urls", {}).get("Repository")


def read(source, address=None):
    """The notebook that a source makes, not executed; with badge and set-up cell where there is an address.

    Raises:
        ValueError: Colab opens nothing from this address, or the source does not begin with a title.
    """
    notebook = jupytext.read(source)
    if address:
        if not (place := re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)/?", address)):
            raise ValueError(f"the repository is {address!r}; allowed is https://github.com/OWNER/NAME")
        first = notebook.cells[0]
        title, _, rest = first.source.partition("\n")
        if not title.startswith("# "):
            raise ValueError(f"{source.stem} begins with {title!r}; allowed is a title")
        colab = "https://colab.research.google.com"
        lesson = f"{colab}/github/{place[1]}/blob/main/lessons/{source.stem}.ipynb"
        first.source = f"{title}\n\n[![Open in Colab]({colab}/assets/colab-badge.svg)]({lesson})\n{rest}"
        notebook.cells.insert(1, nbformat.v4.new_code_cell(SET_UP.format(address=address.rstrip("/"))))
    for k, cell in enumerate(notebook.cells):
        cell["id"] = digest(source.stem, k)[:8]
    return notebook


def build(source):
    """Execute one lesson and write its notebook beside it; returns the notebook's path.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed; the old notebook stays.
        ValueError: the notebook is larger than LARGEST.
    """
    notebook = read(source, repository())
    where = {"metadata": {"path": str(source.parent)}}
    # One text a stream, however a busy machine cuts it up; no times.
    same = dict(coalesce_streams=True, record_timing=False)
    nbclient.NotebookClient(notebook, kernel_name="python3", timeout=600, resources=where, **same).execute()
    notebook.metadata = METADATA | {key: value for key, value in notebook.metadata.items() if key == "widgets"}
    for cell in notebook.cells:
        cell.metadata = {key: value for key, value in cell.metadata.items() if key in KEPT}
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]  # progress bars
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    output.data.pop("image/jpeg", None)  # Pillow gives each picture twice
    nbformat.validate(notebook)
    text = with_stable_ids(nbformat.writes(notebook) + "\n", source.stem)
    if len(text.encode()) > LARGEST:
        raise ValueError(f"{source.stem} makes a notebook of {len(text.encode()):,} bytes; allowed are {LARGEST:,.0f}")
    target = source.with_suffix(".ipynb")
    files.replace(target, text.encode())
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
