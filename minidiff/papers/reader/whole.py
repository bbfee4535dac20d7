"""What a whole thing is made of: the paired methods of a class, and the loop, scheduler and network of a pipeline."""

import inspect
import json
from dataclasses import dataclass

import minidiff
from minidiff.papers.reader.source import Source, bare, is_notebook
from minidiff.zoo.catalogue import PIPELINES

ENTRIES = ("step", "step_pred", "forward", "__call__")  # shown also where they only call what is paired


@dataclass
class Chapter:
    """Some sources under a title, which is "" where there is only one chapter."""

    title: str
    sources: list[Source]


def chapters(obj):
    """list of Chapter: what is shown of an object, or of the pipeline of that name in the catalogue."""
    if isinstance(obj, str) and obj in PIPELINES:
        return of_pipeline(obj)
    if inspect.isclass(obj):
        sources = of_class(obj)
    elif inspect.ismodule(obj):
        sources = of_module(obj)
    else:
        sources = []
    return [Chapter("", sources or [Source(obj)])]


def pipeline_class(name):
    """The class of the pipeline that the catalogue has under that name."""
    return getattr(minidiff, PIPELINES[name].pipeline)


def of_class(cls):
    """The sources of its paired methods, its own before those that it inherits; of a class in a notebook without pairs
    those of all its methods, since Python finds no other.
    """
    methods = methods_of(cls)
    sources = {name: Source(function, cls) for name, function in methods.items()}
    paired = {name for name, source in sources.items() if source.pairs or source.failures}
    if not paired and is_notebook(inspect.getmodule(cls)):
        return list(sources.values())
    shown = paired | {name for name in ENTRIES if name in methods and paired & names_in(methods[name])}
    return [source for name, source in sources.items() if name in shown]


def of_module(module):
    """The sources of the paired functions and methods in it; none if a pair stands outside of them."""
    whole, sources = Source(module), []
    for member in vars(module).values():
        if getattr(member, "__module__", None) == module.__name__:
            if inspect.isclass(member):
                sources += [Source(function, member) for function in methods_of(member, bases=False).values()]
            elif inspect.isfunction(member):
                sources.append(Source(member))
    sources = sorted((s for s in sources if s.pairs or s.failures), key=lambda source: source.first)
    count = lambda source: len(source.pairs) + len(source.failures)
    return sources if sum(map(count, sources)) == count(whole) else []


def methods_of(cls, bases=True):
    """{name: function} of the methods and properties that a class and its bases in the same package define."""
    package, found = cls.__module__.split(".")[0], {}
    for base in cls.__mro__ if bases else [cls]:
        if base.__module__.split(".")[0] == package:
            for name, member in vars(base).items():
                function = function_of(member)
                if function and function.__code__.co_filename != "<string>":  # where a dataclass made it
                    found.setdefault(name, function)
    return found


def function_of(member):
    """The function behind a method, a property or a decorator; None for another member."""
    member = bare(member)
    return member if inspect.isfunction(member) else None


def of_pipeline(name):
    """The loop, then what it calls of the scheduler, then the blocks of the networks, each once."""
    pipeline = pipeline_class(name)
    loop, seen = methods_of(pipeline)["__call__"], set()
    sources = reached([loop], pipeline, "minidiff.pipelines", seen)
    found = [Chapter("The loop", entries_first([loop], pipeline, sources))]
    schedulers, networks = components(pipeline, name)
    for cls in schedulers:
        called = [f for n, f in methods_of(cls).items() if n in names_in(loop) and not n.startswith("set_")]
        sources = reached(called, cls, "minidiff.schedulers", seen)
        found.append(Chapter(f"The scheduler: {cls.__name__}", entries_first(called, cls, sources)))
    for cls in networks:
        places = {"forward": 0, "__init__": 2}  # the latter names the blocks
        inwards = sorted(methods_of(cls).values(), key=lambda f: places.get(f.__name__, 1))
        found.append(Chapter(f"The network: {cls.__name__}", reached(inwards, cls, "minidiff.models", seen)))
    return [chapter for chapter in found if chapter.sources]


def entries_first(functions, owner, sources):
    """The sources, with those of ENTRIES among the functions before them if they hold no pair and so are not there."""
    there = {source.name for source in sources}
    entries = [Source(function, owner) for function in functions if function.__name__ in ENTRIES]
    return [source for source in entries if source.name not in there] + sources


def components(pipeline, name):
    """(scheduler classes, network classes) that the pipeline runs with: those of its weights, and those it makes."""
    from minidiff import zoo
    from minidiff.pipelines.base import public_class

    weights, loaded = PIPELINES[name].weights, []
    if weights in zoo.names():
        index = json.loads((zoo.path(weights) / "model_index.json").read_text())
        wanted = dict.fromkeys(["unet", *inspect.signature(pipeline).parameters])  # what is asked at each step first
        loaded = [public_class(index[component][1]) for component in wanted if component in index]
    made = map(public_class, names_in(methods_of(pipeline)["__init__"]))
    classes = list(dict.fromkeys(cls for cls in [*loaded, *made] if cls))
    namesake = f"{pipeline.__name__.removesuffix('Pipeline')}Scheduler"  # which may be made of the one that is loaded
    schedulers = [cls for cls in classes if cls.__module__.startswith("minidiff.schedulers")]
    schedulers.sort(key=lambda cls: cls.__name__ != namesake)
    return schedulers[:1], [cls for cls in classes if cls.__module__.startswith("minidiff.models")]


def reached(functions, owner, package, seen):
    """The sources of the paired functions among these and those that they call, within a package, in that order."""
    found = []
    for function in functions:
        if function in seen or not function.__module__.startswith(package):
            continue
        seen.add(function)
        source = Source(function, owner)
        found += [source] if source.pairs else []
        methods = methods_of(owner) if owner else {}
        for name in names_in(function):
            if name in methods:
                found += reached([methods[name]], owner, package, seen)
            for member in members(function.__globals__.get(name)):
                if inspect.isclass(member) and member.__module__.startswith(package):
                    found += reached(methods_of(member).values(), member, package, seen)
                elif inspect.isfunction(member):
                    found += reached([inspect.unwrap(member)], None, package, seen)
    return found


def members(value):
    """What a name stands for: of a table such as DOWN_BLOCKS its entries."""
    return value.values() if isinstance(value, dict) else [value]


def names_in(function):
    """Names of the variables outside of it and of the attributes that a function uses: a dict, to keep their order."""
    waiting, found = [function.__code__], {}
    while waiting:
        code = waiting.pop()
        found |= dict.fromkeys(code.co_names)
        waiting += [constant for constant in code.co_consts if inspect.iscode(constant)]
    return found.keys()
