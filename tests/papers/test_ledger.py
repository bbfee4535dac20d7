"""The ledger: its entries lead to tests and switches that exist, and print well."""

import ast
import inspect
import re
from pathlib import Path

import pytest

import minidiff
from minidiff.papers import ledger

ROOT = Path(__file__).parents[2]
CALLS = {"image_to_image": minidiff.StableDiffusionImg2ImgPipeline.__call__}  # where a call switches
each_entry = pytest.mark.parametrize("mismatch", ledger.ENTRIES, ids=lambda mismatch: mismatch.name)


@each_entry
def test_its_test_exists(mismatch):
    file, _, name = mismatch.test.partition("::")
    defined = [node.name for node in ast.parse((ROOT / file).read_text()).body if isinstance(node, ast.FunctionDef)]
    assert name in defined


@each_entry
def test_its_switch_is_accepted(mismatch):
    if mismatch.switch:
        call = ast.parse(mismatch.switch).body[0].value
        word, name = call.keywords[-1], call.func.id
        takes = CALLS.get(name) or getattr(minidiff, name)
        assert inspect.signature(takes).parameters[word.arg].default != word.value.value
        if name not in CALLS:  # of which the entry's own test makes one
            made = eval(mismatch.switch, {name: takes})
            assert made.config[word.arg] == word.value.value


@each_entry
def test_it_says_all_and_measures(mismatch):
    assert all((mismatch.paper, mismatch.original, mismatch.diffusers, mismatch.default))
    assert re.search(r"\d", mismatch.effect) and ledger.entry(mismatch.name) is mismatch


def test_names_are_unique():
    assert len({mismatch.name for mismatch in ledger.ENTRIES}) == len(ledger.ENTRIES)


def test_docstrings_name_entries_that_exist():
    cited = set()
    for path in (ROOT / "minidiff").rglob("*.py"):
        words = " ".join(path.read_text().split())
        for names in re.findall(r'the ledger, ((?:"[^"]+"(?: and )?)+)', words):
            cited |= set(re.findall('"([^"]+)"', names))
    assert {"DDIM clip", "DDIM target", "PNDM last call", "PNDM half step", "PNDM shifted index"} <= cited
    assert cited <= {mismatch.name for mismatch in ledger.ENTRIES}


def test_an_entry_in_a_terminal():
    lines = str(ledger.entry("PNDM shifted index")).splitlines()
    assert lines[0] == "PNDM shifted index" and all(line.startswith("  ") for line in lines[1:])
    labels = [line.split()[0] for line in lines[1:] if line[2] != " "]
    assert labels == ["paper", "original", "diffusers", "effect", "default", "switch", "test"]
    assert "α" in lines[1] and "\\" not in lines[1] and "$" not in "".join(lines) and max(map(len, lines)) <= 100
    narrow = ledger.text(width=72).splitlines()
    assert all(len(line) <= 72 or "tests/" in line for line in narrow)  # the names of tests are not broken


def test_what_is_printed(capsys):
    assert ledger.run() == 0
    printed = capsys.readouterr().out
    assert all(f"{mismatch.name}\n" in printed for mismatch in ledger.ENTRIES) and "\033" not in printed
    assert ledger.run("ddim") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("DDIM clip\n") and "\nDDIM target\n" in printed and "PNDM last call" not in printed


def test_an_entry_that_does_not_exist():
    for call in (ledger.entry, ledger.run):
        with pytest.raises(
            ValueError, match="no entry 'DDIM targte'; did you mean 'DDIM target'.*; it has .*PNDM last call"
        ):
            call("DDIM targte")
