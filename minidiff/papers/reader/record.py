"""What the paired lines compute while a function runs, step by step."""

import ast
import base64
import contextlib
import io
import numbers
import re
import sys
from collections import Counter
from dataclasses import dataclass, field

import torch
from PIL import Image

KEPT = 32  # steps; of a longer run so many, evenly spread
SIZE = 32  # pixels of a thumbnail's longer side
QUALITY = 25
PRIVATE = re.compile(r"\b__\w+(?<!__)\b")
COMPREHENSIONS = {"<lambda>", "<genexpr>", "<listcomp>", "<setcomp>", "<dictcomp>"}


@dataclass
class Value:
    """What one target of a statement was.

    Attributes:
        name: the target, "" for what is returned.
        text: the value in a few words.
        picture: Image of the first sample, or None.
        times: how often the statement ran in that step; this is its last value.
    """

    name: str
    text: str
    picture: Image.Image | None = None
    times: int = 1

    def __str__(self):
        often = f" (the last of {self.times})" if self.times > 1 else ""
        return (f"{self.name} = " if self.name else "") + self.text + often


@dataclass
class Recording:
    """A run, cut into steps.

    Attributes:
        steps: [{(file, line of a statement): [Value, one a target]}].
        times: the time t of each step, as text; "" where it is not known.
        word: "step", or "call" where a step of the sampler has several calls of the network.
        start: the step that is shown first.
    """

    steps: list[dict]
    times: list[str]
    word: str = "step"
    start: int = 0

    @property
    def kept(self):
        """Numbers of the steps that a page shows: all, or KEPT of them, with the first, the last and `start`."""
        last = len(self.steps) - 1
        spread = (round(k * last / (KEPT - 1)) for k in range(KEPT)) if last >= KEPT else range(last + 1)
        return sorted({*spread, self.start})

    def label(self, step):
        t = f", t = {self.times[step]}" if self.times[step] else ""
        return f"{self.word} {step} of 0 to {len(self.steps) - 1}{t}"


def record(sources, run, start, name):
    """Run `run` and note what the paired statements of `sources` compute.

    Args:
        sources: list of Source.
        run: a function without arguments.
        start: the number of the step that is shown first.
        name: of all that is read, for messages.
    Returns:
        Recording. A step is a call of `step` where that is among what is read; else of the outermost function that is
        called several times; where there is none, a pass of the loop in which a line is reached again.
    Raises:
        ValueError: no paired line was reached; there is no such step.
    """
    recorder = Recorder(sources)
    before = sys.gettrace()
    sys.settrace(recorder.enter)
    try:
        run()
    finally:
        sys.settrace(before)
    recording = cut(recorder.events)
    if not any(recording.steps):
        raise ValueError(f"run() did not reach a paired line of {name}: let it call what it is to show")
    count = len(recording.steps)
    if start >= count:
        raise ValueError(f"step is {start}; the run went through {name} {count} times, so allowed is 0 to {count - 1}")
    recording.start = start
    return recording


@dataclass
class Event:
    """A function begins or ends, or a statement has computed its values.

    Attributes:
        kind: "begin", "end" or "value".
        code: of the function.
        frame: a number for each call.
        depth: how many functions that are read have begun before it and not ended.
        place: (file, line) of the statement.
        values: list of Value.
        time: the argument `timestep` or `t`, as text.
        several_calls: whether the scheduler has more timesteps than steps.
    """

    kind: str
    code: object
    frame: int
    depth: int = 0
    place: tuple | None = None
    values: list = field(default_factory=list)
    time: str = ""
    several_calls: bool = False


class Recorder:
    """Follows the frames of some code; `events` are what happened, in order."""

    def __init__(self, sources):
        self.files = {}  # {file: (ranges of lines, {every line of a paired statement: (its first, its targets)})}
        for source in sources:
            ranges, statements = self.files.setdefault(source.filename, ([], {}))
            ranges.append(range(source.first, source.in_file(len(source.lines)) + 1))
            for line, statement in source.statements.items():
                targets = getattr(statement, "targets", None) or [getattr(statement, "target", None)]
                targets = [t for target in targets if target for t in getattr(target, "elts", [target])]
                names = [ast.unparse(t.value if isinstance(t, ast.Starred) else t) for t in targets]
                last = line + statement.end_lineno - statement.lineno
                statements |= dict.fromkeys(range(line, last + 1), (line, names))
        self.events, self.frames, self.depth = [], 0, 0

    def enter(self, frame, event, arg):
        """What Python calls when a function begins; what it returns is called at each of the function's lines."""
        code = frame.f_code
        ranges, statements = self.files.get(code.co_filename, ((), {}))
        if code.co_name in COMPREHENSIONS or not any(code.co_firstlineno in lines for lines in ranges):
            return None
        self.frames += 1
        number, waiting = self.frames, None
        known = {}
        with contextlib.suppress(Exception):  # a property of `self` may raise whatever it likes
            known = known_of(frame)
        self.events.append(Event("begin", code, number, self.depth, **known))
        self.depth += 1

        def note(values):
            self.events.append(Event("value", code, number, place=(code.co_filename, waiting[0]), values=values))

        def follow(frame, event, arg):
            nonlocal waiting
            here = statements.get(frame.f_lineno)
            if event == "exception":
                waiting = None
            elif event == "return":
                if waiting:
                    note(seen(waiting[1], frame) or [value("", lambda: arg)])
                waiting = None
                self.depth -= 1
                self.events.append(Event("end", code, number))
            elif event == "line":
                if waiting and here != waiting:
                    note(seen(waiting[1], frame))
                waiting = here
            return follow

        return follow


def known_of(frame):
    """What a function that begins knows of the time, or those that called it."""
    variables = frame.f_locals
    timesteps, N = (getattr(variables.get("self"), name, None) for name in ("timesteps", "num_inference_steps"))
    several = isinstance(N, int) and hasattr(timesteps, "__len__") and len(timesteps) > N
    callers = [frame, *filter(None, [frame.f_back, frame.f_back and frame.f_back.f_back])]
    time = next(
        (caller.f_locals["timestep"] for caller in callers if "timestep" in caller.f_locals), variables.get("t")
    )
    is_number = isinstance(time, numbers.Real) or isinstance(time, torch.Tensor) and time.numel() == 1
    return {"time": f"{float(time):.5g}" if is_number else "", "several_calls": several}


def seen(names, frame):
    """list of Value of the targets of a statement."""
    return [value(name, lambda: eval(in_class(name, frame.f_code), frame.f_globals, frame.f_locals)) for name in names]


def in_class(name, code):
    """A target as the code of a class's method knows it, where Python makes _A__x of a private __x."""
    known = [*code.co_names, *code.co_varnames]
    mangled = lambda private: next((n for n in known if n.startswith("_") and n.endswith(private[0])), private[0])
    return PRIVATE.sub(mangled, name)


def cut(events):
    """The events as a Recording."""
    code = clock([event for event in events if event.kind == "begin"])
    return by_passes(events) if code is None else by_calls(events, code)


def clock(begun):
    """The code whose calls are the steps, or None."""
    calls = Counter(event.code for event in begun)
    depths = {event.code: event.depth for event in reversed(begun)}
    several = [code for code, count in calls.items() if count > 1]
    steppers = [code for code in calls if code.co_name in ("step", "step_pred")]
    outermost = [code for code in several if depths[code] == min(depths[c] for c in several)]
    return min(steppers or outermost, key=lambda code: calls[code], default=None)


def by_calls(events, code):
    """What runs between two calls belongs to the second: the network is asked before the scheduler steps."""
    begun = [event for event in events if event.kind == "begin" and event.code is code]
    steps, now, within = [{} for _ in begun], 0, False
    for event in events:
        if event.kind == "value":
            keep(steps[min(now, len(steps) - 1)], event)
        elif event.code is code:
            within = event.kind == "begin"
            now += not within
    word = "call" if any(event.several_calls for event in begun) else "step"
    return Recording(steps, [event.time for event in begun], word)


def by_passes(events):
    """A line that the same call of a function reaches again begins a new step."""
    steps, reached = [{}], set()
    for event in events:
        if event.kind == "value":
            if (event.frame, event.place) in reached:
                steps.append({})
                reached = set()
            reached.add((event.frame, event.place))
            keep(steps[-1], event)
    return Recording(steps, [""] * len(steps))


def keep(step, event):
    before = step.get(event.place)
    for value in event.values:
        value.times = before[0].times + 1 if before else 1
    step[event.place] = event.values


def value(name, look):
    """The Value of what `look` returns; "?" where it fails, for no look may end the run that it looks at."""
    try:
        of = look()
        return Value(name, shown(of), thumbnail(of))
    except Exception:
        return Value(name, "?")


def shown(value):
    """A value in a few words: a number, or a tensor's shape with its mean and standard deviation."""
    if isinstance(value, torch.Tensor) and value.ndim == 0:
        value = value.item()
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, torch.Tensor) or hasattr(value, "__array__"):
        x = torch.as_tensor(value).detach().double()
        if x.ndim == 0:
            return f"{x.item():.5g}"
        if not x.numel():
            return f"{tuple(x.shape)}"
        return f"{tuple(x.shape)}, mean {x.mean().item():.3g}, std {x.std(correction=0).item():.3g}"
    if isinstance(value, list | tuple) and len(value) > 4:
        return f"{len(value)} values"
    if isinstance(value, list | tuple):
        return "; ".join(map(shown, value))
    return f"{value!r:.60}"


def thumbnail(value):
    """The first sample of a tensor as a small Image; None for what is no picture, such as attention or a feature map.

    Pictures are (B, 3, H, W), or square with 1 or 4 channels, of which the first three are shown. What lies within one
    and a half standard deviations, or within [-1, 1], is not clipped. Where little is below 0, it is a picture in
    [0, 1].
    """
    if not isinstance(value, torch.Tensor) or value.ndim != 4 or value.shape[1] not in (1, 3, 4) or not len(value):
        return None
    x = value[0].detach().float().cpu()  # (C, H, W)
    short, long = sorted(x.shape[1:])
    if short < 8 or long > (2 * short if len(x) == 3 else short) or not x.isfinite().all():
        return None
    x = 2 * x - 1 if -3 * x.min() < x.max() else x
    levels = ((x / max(1.0, 1.5 * x.std().item()) / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    image = Image.fromarray(levels[..., 0] if len(x) == 1 else levels[..., :3])
    image.thumbnail((SIZE, SIZE), Image.Resampling.BOX)
    return image


def webp(image):
    """An Image as a WEBP in base64."""
    file = io.BytesIO()
    image.save(file, "WEBP", quality=QUALITY, method=6)
    return base64.b64encode(file.getvalue()).decode()
