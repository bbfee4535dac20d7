"""Holds every pair of a package against its statement, with random inputs, in float64.

The package is imported afresh through a hook in which each paired statement reports what it computed. Scenarios drive
it: functions that call the code of one module with inputs of all kinds. Each statement is compared with its equation
every time it runs, and its mutants with the same equation: a mutant that passes shows that the scenario is too weak
to find a misprint.
"""

import contextlib
import functools
import importlib
import importlib.util
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from pathlib import Path

import torch

from minidiff.papers.check.compare import Mismatch, compare, distribution_mismatch, standardised
from minidiff.papers.check.instrument import File, Statement, instrument
from minidiff.papers.pairs import Failure, Where
from minidiff.papers.tex.equations import DRAWN, EQUALS


@dataclass
class Scenario:
    """Drives the paired statements of one module.

    Attributes:
        module: its full name.
        drive: called with the module, freshly imported, under default dtype float64 and seed 0.
        equivalent: {mutant: reason} of this module's mutants that are equal by mathematics: no input tells them apart.
    """

    module: str
    drive: Callable
    equivalent: dict = field(default_factory=dict)


@dataclass
class Report:
    """What a check found.

    Attributes:
        package: its name.
        files: of the package that hold a pair or arithmetic, by path.
        failures: in the order of files and lines; empty if all is well.
        equivalent: [(statement, mutant, reason)] of the mutants that nothing told apart and that are listed.
    """

    package: str
    files: list[File]
    failures: list[Failure]
    equivalent: list[tuple[Statement, str, str]]


def check(package, scenarios, equivalent=(), sources=()):
    """Check all pairs of a package.

    Args:
        package: name of a package that can be imported. It may be the one that this module belongs to.
        scenarios: list of Scenario, or {module name: function}.
        equivalent: {mutant: reason}, as in Scenario, for all modules together.
        sources: {path relative to the package's folder: text} of files to replace for this check.
    Returns:
        Report.
    Raises:
        ModuleNotFoundError: there is no such package.
        KeyError: a path in `sources` is none of the package's.
        SyntaxError: a file is no Python.

    What had been imported before, the default dtype and the CPU's random state are afterwards what they were.
    """
    if isinstance(scenarios, dict):
        scenarios = [Scenario(module, drive) for module, drive in scenarios.items()]
    files = read_package(package, dict(sources))
    witness = Witness()
    failures = [f for file in files.values() for f in file.failures]
    with imported_afresh(package, files, witness):
        for scenario in scenarios:
            failures += drive(scenario, package)
    listed = [(path_of(s.module, files), dict(s.equivalent)) for s in scenarios] + [("", dict(equivalent))]
    failures += [
        f for file in files.values() for s in file.statements.values() if s.pairs for f in statement_failures(s)
    ]
    used, more = judge_mutants(files.values(), listed)
    failures = sorted(failures + more, key=lambda f: f.where)
    return Report(package, sorted(files.values(), key=lambda f: f.path), failures, used)


def read_package(package, sources):
    """{absolute path: File} of all source files of the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"there is no package {package!r} to check; it must be a folder that can be imported")
    root = Path(list(spec.submodule_search_locations)[0]).resolve()
    files = {}
    for path in sorted(root.rglob("*.py")):
        inside = path.relative_to(root).as_posix()
        source = sources.pop(inside, None)
        text = path.read_text(encoding="utf-8") if source is None else source
        files[str(path)] = instrument(text, f"{root.name}/{inside}", str(path))
    if sources:
        raise KeyError(f"`sources` names {', '.join(sources)}, which {package} does not have")
    return files


@contextlib.contextmanager
def imported_afresh(package, files, witness):
    """Within it, imports of the package give new modules whose statements report to the witness."""
    before, dtype, threads = set_aside(package), torch.get_default_dtype(), torch.get_num_threads()
    hook = ImportHook(package, files, witness)
    importlib.invalidate_caches()
    sys.meta_path.insert(0, hook)
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)  # the tensors are tiny: more threads would only wait for each other
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        sys.meta_path.remove(hook)
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
        set_aside(package)
        sys.modules.update(before)


def set_aside(package):
    """Take the package's modules out of sys.modules and return them."""
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == package}


class ImportHook:
    """Finds the modules of the package where any import would, and runs their rewritten code."""

    def __init__(self, package, files, witness):
        self.package, self.files, self.witness = package, files, witness

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] != self.package:
            return None
        others = (finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec"))
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        file = self.files.get(str(Path(spec.origin).resolve())) if spec and spec.origin and spec.has_location else None
        if file:
            spec.loader = Loader(name, spec.origin)
            spec.loader.file, spec.loader.witness = file, self.witness
        return spec


class Loader(SourceFileLoader):
    def get_code(self, name):
        return self.file.code

    def exec_module(self, module):
        module.__before__ = Before
        module.__pair__ = functools.partial(self.witness.paired, self.file)
        module.__value__ = functools.partial(self.witness.unpaired, self.file)
        super().exec_module(module)


class Before(dict):
    """The local variables before a statement, which can tell what it changed in place."""

    def __init__(self, variables):
        super().__init__(variables)
        self.versions = {name: version(tensor) for name, tensor in self.tensors()}

    def tensors(self):
        own = vars(self["self"]) if hasattr(self.get("self"), "__dict__") else {}
        yield from ((name, value) for name, value in self.items() if isinstance(value, torch.Tensor))
        yield from ((f"self.{name}", value) for name, value in own.items() if isinstance(value, torch.Tensor))

    def changed(self):
        """Names of the tensors that were changed in place since."""
        return [
            name for name, tensor in self.tensors() if name in self.versions and version(tensor) != self.versions[name]
        ]


def version(tensor):
    return None if tensor.is_inference() else tensor._version


class Witness:
    """Sees every paired statement at work."""

    def __init__(self):
        self.busy = False  # evaluating an equation or a mutant, which may call paired code: nothing of that counts

    def unpaired(self, file, line, augmented, value):
        if not self.busy:
            joins_lists = augmented and isinstance(value, list | tuple | str)
            file.statements[line].values.add(joins_lists or is_whole(value))
        return value

    def paired(self, file, line, before, module, value):
        if not self.busy:
            self.busy = True
            try:
                self.examine(file.statements[line], before, module, value)
            finally:
                self.busy = False
        return value

    def examine(self, statement, before, module, value):
        statement.runs += 1
        self.examine_changes(statement, before, module)
        self.examine_draws(statement, before, value)
        for pair in statement.pairs:
            for k, equation in enumerate(pair.equations):
                if equation.relation == EQUALS and (found := difference(pair, k, statement, before, value)):
                    what, details = found
                    fail(statement, pair, what, *details)
        if statement.mutants:
            self.examine_mutants(statement, before, module, value)

    def examine_changes(self, statement, before, module):
        if changed := before.changed():
            what = f"the statement changes {', '.join(changed)} in place, and its equation sees that: make a new tensor"
            fail(statement, statement.pairs[0], what)
        if statement.augmented and not isinstance(old := eval(statement.augmented, module, before), int | float):
            what = f"this operator changes a {type(old).__name__} in place: write `x = x + ...` instead of `x += ...`"
            fail(statement, statement.pairs[0], what)

    def examine_draws(self, statement, before, value):
        for drawn, (pair, equation) in zip(statement.draws, statement.equations(DRAWN)):
            if isinstance(value, torch.Tensor):
                statement.repeats |= value.numel() > value.unique().numel()
                try:
                    drawn.append(standardised(equation, before, value))
                except Exception as error:
                    fail(statement, pair, said(error))
            elif not (isinstance(value, int | float) and value == 0):
                fail(
                    statement,
                    pair,
                    f"a draw is a tensor, or a plain 0 where nothing is drawn; this one is {value!r:.60}",
                )

    def examine_mutants(self, statement, before, module, value):
        variables = module | before
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for text, code in list(statement.mutants.items()):
                if is_told_apart(code, variables, statement, before, value):
                    del statement.mutants[text]


def is_told_apart(mutant, variables, statement, before, value):
    """Whether a mutant fails, has another shape than the statement's value, or is not what the equations say.

    An equation that holds for every entry of a table says nothing of its length, hence the second.
    """
    try:
        other = eval(mutant, variables)
    except Exception:
        return True
    return getattr(other, "shape", None) != getattr(value, "shape", None) or any(
        difference(pair, k, statement, before, other)
        for pair in statement.pairs
        for k, equation in enumerate(pair.equations)
        if equation.relation == EQUALS
    )


def difference(pair, k, statement, before, value):
    """(sentence, details) where the statement differs from equation k of the pair, or None."""
    try:
        compare(pair.equations[k], (k, len(pair.equations)), statement, before, value)
    except Mismatch as mismatch:
        return mismatch.args[0], mismatch.args[1:]
    except Exception as error:
        return said(error), ()
    return None


def said(error):
    return f"the equation cannot be evaluated: {error or type(error).__name__}"


def fail(statement, pair, what, *details):
    key = str(pair), what.split(",")[0]
    statement.failures.setdefault(key, Failure(statement.where, what, (str(pair), statement.text, *details)))


def is_whole(value):
    """Whether a value is made of Python's own whole numbers, strings and the like, which no paper has a formula for."""
    if isinstance(value, list | tuple | set):
        return all(map(is_whole, value))
    if isinstance(value, dict):
        return all(map(is_whole, value.values()))
    return (
        not isinstance(value, float | complex | torch.Tensor)
        and not hasattr(value, "__array__")
        and not hasattr(value, "__dict__")
    )


def drive(scenario, package):
    """Run a scenario; the failures that stopped it."""
    torch.manual_seed(0)
    try:
        scenario.drive(importlib.import_module(scenario.module))
    except Exception as error:
        inside = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename]
        place = inside[-1] if inside else None
        what = f"the scenario of {scenario.module} stopped: {type(error).__name__}: {error}"
        lines = [f"{frame.filename}:{frame.lineno}: {frame.line}" for frame in inside[1:]]
        return [Failure(Where(scenario.module, place.lineno if place else 0), what, tuple(lines))]
    return []


def statement_failures(statement):
    """What is wrong with a paired statement, its mutants apart."""
    if not statement.runs:
        what = (
            "no scenario runs this statement: let the scenario of its module call it with the settings that lead here"
        )
        return [Failure(statement.where, what, (str(statement.pairs[0]),))]
    found = list(statement.failures.values())
    for drawn, (pair, _) in zip(statement.draws, statement.equations(DRAWN)):
        problem = distribution_mismatch(drawn)
        if not problem and statement.repeats:
            problem = "a draw holds the same number several times, so its numbers are not independent"
        if problem:
            found.append(Failure(statement.where, problem, (str(pair), statement.text)))
    return found


def path_of(module, files):
    """What messages call the file of a module."""
    names = [module.replace(".", "/") + end for end in (".py", "/__init__.py")]
    return next((file.path for file in files.values() if file.path in names), names[0])


def judge_mutants(files, listed):
    """Failures for mutants that pass unlisted and for entries that nothing needs; the entries used.

    Args:
        listed: [(path of the file or "" for all, {mutant: reason})].
    """
    used, failures, needed = [], [], set()
    for file in files:
        reasons = {}
        for k, (path, entries) in enumerate(listed):
            if path in ("", file.path):
                reasons |= {text: (k, reason) for text, reason in entries.items()}
        for statement in file.statements.values():
            alive = statement.mutants if statement.runs and not statement.failures else ()
            for text in (text for text in alive if text in reasons):
                k, reason = reasons[text]
                needed.add((k, text))
                used.append((statement, text, reason))
            if unlisted := [text for text in alive if text not in reasons]:
                failures.append(survivors(statement, unlisted))
    for k, (path, entries) in enumerate(listed):
        for text in entries:
            if (k, text) not in needed:
                what = "listed as equal by mathematics, but told apart by a scenario, or gone: remove the entry"
                failures.append(Failure(Where(path or "equivalent", 0), what, (text,)))
    return used, failures


def survivors(statement, mutants):
    what = ("no scenario tells the statement from what a misprint would make of it: give the scenario inputs that do "
            "(no two values or sizes alike), or, if no input can, list it in `equivalent` with the reason")  # fmt: skip
    passing = (f"passes  {mutant}" for mutant in mutants)
    return Failure(statement.where, what, (str(statement.pairs[0]), f"is      {statement.text}", *passing))
