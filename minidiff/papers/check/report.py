"""What `minidiff pairs` prints: the check of this package's pairs, file by file, and what failed.

python -m minidiff.papers.check.report
"""

import sys

from minidiff.papers.check.checker import check
from minidiff.papers.check.scenarios import SCENARIOS, UNPAIRED, WHOLLY_PAIRED
from minidiff.papers.pairs import REMARKS, Failure, Where
from minidiff.papers.tex.equations import DRAWN, EQUALS, SHOWN

FOLDERS = ("models/", "schedulers/", "pipelines/")  # whose arithmetic is counted even in files without a pair
COLUMNS = ("arithmetic", "unpaired", "checked", "drawn", "shown", "mutants told apart")


def run():
    """Check the package and print the report. Returns the exit status: 0 if nothing failed, else 1."""
    report = check_package()
    print(text(report))
    return 1 if report.failures else 0


def check_package(sources=()):
    """The Report of this package with its scenarios, with a failure for each statement that should have a pair.

    Args:
        sources: as in `checker.check`.
    """
    report = check("minidiff", SCENARIOS, sources=sources)
    report.failures += unpaired_failures(report, WHOLLY_PAIRED, UNPAIRED)
    return report


def unpaired(file):
    """The file's statements of arithmetic that no pair stands above, those left out that yield whole Python numbers."""
    return [s for s in file.statements.values() if s.arithmetic and not s.pairs and not s.yields_whole_numbers]


def unpaired_failures(report, wholly_paired, listed):
    """Failures for statements that should have a pair.

    Args:
        report: of the check.
        wholly_paired: beginnings of paths of files, relative to the package, where all arithmetic has a pair ...
        listed: ... but these, {"path: statement": reason}.
    Returns:
        list of Failure; an entry of `listed` that has a pair now, or is gone, is one too.
    """
    failures, needed = [], set()
    for file in report.files:
        inside = file.path.removeprefix(f"{report.package}/")
        for statement in unpaired(file) if inside.startswith(tuple(wholly_paired)) else ():
            entry = f"{inside}: {statement.text}"
            if entry in listed:
                needed.add(entry)
            else:
                what = ("arithmetic without its equation: put a pair above it, or list it with a reason in UNPAIRED in "
                        "papers/check/scenarios, as")  # fmt: skip
                failures.append(Failure(statement.where, what, (repr(entry),)))
    for entry in sorted(set(listed) - needed):
        what = "this entry of UNPAIRED stands for no unpaired statement any more: remove it"
        failures.append(Failure(Where("papers/check/scenarios", 0), what, (repr(entry),)))
    return failures


def text(report):
    """The report as text: a line for each file, remarks, lines without pairs, the listed mutants, the failures."""
    files = [f for f in report.files if is_reported(f, report.package)]
    rows = [(f.path, *map(str, counts(f))) for f in files]
    parts = [table([("file", *COLUMNS), *rows, ("together", *totals(files))]), remarks(files)]
    if alone := [f"{f.path}: lines {', '.join(str(s.where.line) for s in unpaired(f))}" for f in files if unpaired(f)]:
        parts.append("\n".join(["Unpaired arithmetic:", *alone]))
    if report.equivalent:
        listed = (f"{s.where}: {mutant}\n    {reason}" for s, mutant, reason in report.equivalent)
        parts.append("\n".join(["Mutants listed as equal by mathematics:", *listed]))
    parts += map(str, report.failures)
    parts.append(f"{len(report.failures)} failures." if report.failures else "Every pair holds.")
    return "\n\n".join(parts)


def summary(report):
    """The report in a sentence: how many pairs were compared, and how many misprints were noticed."""
    pairs = sum(len(s.pairs) for file in report.files for s in file.statements.values())
    made, told = map(sum, zip(*map(mutants, report.files)))
    return f"{pairs} pairs, {len(report.failures)} failures; {told:,} of {made:,} misprints noticed"


def remarks(files):
    """How many pairs are not quite what their paper prints, by remark."""
    found = [pair.remark for file in files for s in file.statements.values() for pair in s.pairs]
    kinds = ", ".join(f"{found.count(remark)} {remark}" for remark in REMARKS if remark in found)
    return f"Of {len(found)} pairs {len(found) - found.count('')} differ from the print{': ' * bool(kinds)}{kinds}."


def is_reported(file, package):
    inside = file.path.removeprefix(f"{package}/")
    has_pairs = any(s.pairs for s in file.statements.values())
    return (
        has_pairs
        or bool(file.failures)
        or bool(arithmetic(file))
        and (package != "minidiff" or inside.startswith(FOLDERS))
    )


def arithmetic(file):
    return [s for s in file.statements.values() if s.arithmetic and (s.pairs or not s.yields_whole_numbers)]


def counts(file):
    """The numbers of a file's line, in the order of COLUMNS; the last is text."""
    relations = [e.relation for s in file.statements.values() for pair in s.pairs for e in pair.equations]
    made, told = mutants(file)
    return (
        len(arithmetic(file)),
        len(unpaired(file)),
        *map(relations.count, (EQUALS, DRAWN, SHOWN)),
        f"{told} of {made}",
    )


def mutants(file):
    """(made, told apart)."""
    made = sum(s.made for s in file.statements.values())
    return made, made - sum(len(s.mutants) for s in file.statements.values())


def totals(files):
    columns = list(zip(*(counts(f)[:-1] for f in files))) or [(0,)] * (len(COLUMNS) - 1)
    made, told = map(sum, zip(*map(mutants, files))) if files else (0, 0)
    return (*(str(sum(column)) for column in columns), f"{told} of {made}")


def table(rows):
    """Text columns; the first flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join(
        "  ".join([first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(rest, widths[1:]))]) for first, *rest in rows
    )


if __name__ == "__main__":
    sys.exit(run())
