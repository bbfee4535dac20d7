"""Sliders over frames that were all computed ahead."""

import ipywidgets
import torch

from minidiff.noise import randn
from minidiff.widgets.frames import chart, picture, shown, side_by_side, table
from minidiff.widgets.trajectory import Trajectory


def player(frames, name, values):
    """Frames with a slider and a play button, linked in the browser: they move without Python.

    Args:
        frames: strings of HTML.
        name: what the slider counts.
        values: what it shows at each frame, such as the step.
    """
    stack, readout = stack_of(ipywidgets.HTML, frames), stack_of(ipywidgets.Label, map(str, values))
    last = len(frames) - 1
    slider = ipywidgets.IntSlider(0, 0, last, description=name, readout=False)
    play = ipywidgets.Play(value=0, min=0, max=last, interval=200, show_repeat=False)
    links = [(play, "value", slider, "value"), (slider, "value", stack, "selected_index")]
    links.append((slider, "value", readout, "selected_index"))
    for source, trait, target, other in links:
        ipywidgets.jslink((source, trait), (target, other))
    return ipywidgets.VBox([ipywidgets.HBox([play, slider, readout]), stack])


def stack_of(kind, contents):
    """A Stack of such widgets with one layout and one style: a notebook keeps each of its own, at a kilobyte each."""
    layout, style = ipywidgets.Layout(), kind().style
    made = [kind(content, layout=layout, style=style) for content in contents]
    return ipywidgets.Stack(made, selected_index=0)


def slides(pictures, name, values, size=None):
    """A slider over pictures, or over matplotlib figures.

    Args:
        pictures: a list, one a value; or {label: such a list}, whose pictures stand beside each other.
        name: what the slider is called.
        values: what it shows at each picture.
        size: how high a picture is on the page; as high as it is if None. Figures keep their size.
    Raises:
        TypeError: there is something else than PIL images and matplotlib figures.
        ValueError: there are no values, or a list is not as long.
    """
    columns = pictures if isinstance(pictures, dict) else {"": pictures}
    for label, entries in columns.items():
        if not entries or len(entries) != len(values):
            raise ValueError(f"{label or 'pictures'} has {len(entries)} entries; allowed is one for each of {values}")
    head = list(columns) if any(columns) else None
    rows = zip(*columns.values(), strict=True)
    return player([table([[shown(one, size) for one in row]], head) for row in rows], name, values)


def grid(pictures, names, size=None):
    """A picture for each pair of two values, with a slider for either; both are linked in the browser.

    Args:
        pictures: {(value of the first, value of the second): a PIL image or matplotlib figure}, with every pair.
        names: what the two sliders are called.
        size: how high a picture is on the page; as high as it is if None. Figures keep their size.
    Raises:
        TypeError: there is something else than PIL images and matplotlib figures.
        ValueError: there is no picture, or none for some pair.
    """
    firsts, seconds = (list(dict.fromkeys(pair[k] for pair in pictures)) for k in (0, 1))
    if missing := [(a, b) for a in firsts for b in seconds if (a, b) not in pictures]:
        raise ValueError(f"pictures has none for {missing[0]}; allowed is one for each pair of {firsts} and {seconds}")
    if not pictures:
        raise ValueError("pictures is empty; allowed is one for each pair of two values")
    inner = [stack_of(ipywidgets.HTML, [shown(pictures[a, b], size) for b in seconds]) for a in firsts]
    outer, controls = ipywidgets.Stack(inner, selected_index=0), []
    for name, values, stacks in ((names[0], firsts, [outer]), (names[1], seconds, inner)):
        readout = stack_of(ipywidgets.Label, map(str, values))
        slider = ipywidgets.IntSlider(0, 0, len(values) - 1, description=name, readout=False)
        for stack in (*stacks, readout):
            ipywidgets.jslink((slider, "value"), (stack, "selected_index"))
        controls.append(ipywidgets.HBox([slider, readout]))
    return ipywidgets.VBox([*controls, outer])


def places(length, frames):
    """Up to `frames` places, evenly spread over 0 ... length - 1, both ends among them."""
    count = max(1, min(frames, length))
    return [round(k * (length - 1) / max(count - 1, 1)) for k in range(count)]


def scrub(*trajectories, labels=None, frames=24, size=128, by="step"):
    r"""Walk through recorded trajectories: x_t, and what the network makes of it, \hat x_0 and the noise, side by side.

    The first frame is x_T, the last one x_0, where there is nothing left to predict.

    Args:
        trajectories: of `record`; the first picture of each batch is shown, one row each.
        labels: a name for each row.
        frames: at most so many are shown, evenly spread; a shorter walk stands still between its steps.
        size: of each picture on the page.
        by: "step", all rows are at the same part of their steps; "t", at the same timestep, that of the first walk: the
            others show where they were last when they came to it.
    Raises:
        TypeError: an argument is no Trajectory.
        ValueError: there is none, `labels` are not as many, or `by` is something else.
    """
    if by not in ("step", "t"):
        raise ValueError(f"by is {by!r}; allowed are 'step' and 't'")
    for walk in trajectories:
        if not isinstance(walk, Trajectory):
            raise TypeError(f"scrub takes trajectories, made by record(pipe, ...), not a {type(walk).__name__}")
    labels = [""] * len(trajectories) if labels is None else labels
    if not trajectories or len(labels) != len(trajectories):
        raise ValueError(f"labels are {len(labels)}; allowed is one for each of the {len(trajectories)} trajectories")
    columns = ("x_t", "predicted x_0", "predicted noise / 3")  # a third, so that it does not burn out
    head = table([[f'<div style="width:{size - 8}px">{text}</div>' for text in columns]])
    longest = len(trajectories[0]) if by == "t" else max(map(len, trajectories))
    count, what = min(frames, longest + 1), "call" if by == "t" else "step"
    made = []
    for k in range(count):
        rows = []
        for walk, label in zip(trajectories, labels, strict=True):
            i = last_before(walk, trajectories[0], places(longest + 1, count)[k]) if by == "t" else part(walk, k, count)
            rows.append(
                [f'<div style="width:{3 * size}px">{moment(walk, i, size)}</div>', f"{label}<br>{when(walk, i, what)}"]
            )
        made.append(head + table(rows))
    return player(made, "frame", [f"{k + 1} of {count}" for k in range(count)])


def part(walk, k, count):
    """The step before which a walk is seen in frame k of `count`."""
    moments = len(walk) + 1
    return places(moments, count)[k] if moments >= count else k * moments // count


def last_before(walk, leader, i):
    """The last step of a walk that is made at the timestep of the leader's step i, or before it."""
    if i == len(leader):
        return len(walk)
    return max((j for j, t in enumerate(walk.timesteps) if t >= leader.timesteps[i]), default=0)


def moment(walk, i, size):
    """What there is to see before step i of a walk, counted from 0; after the last step the picture alone."""
    seen = [walk.x[i][0]] if i == len(walk) else [walk.x[i][0], walk.x_0_hat[i][0], walk.eps[i][0] / 3]
    return picture(side_by_side(*seen), size)


def when(walk, i, what="step"):
    if i == len(walk):
        return f"after all {i} {what}s<br>x_0"
    return f"{what} {i + 1} of {len(walk)}<br>t = {walk.timesteps[i]:g}"


def noising(drawing, scheduler, frames=24, size=192, seed=0):
    r"""Noise a drawing and watch x_t, \bar\alpha_t and the signal-to-noise ratio move together.

    Args:
        drawing: of `zoo.world.draw`.
        scheduler: one with `alpha_bar` and `add_noise`.
    """
    pixels = torch.frombuffer(bytearray(drawing.image.tobytes()), dtype=torch.uint8)
    x_0 = pixels.view(1, drawing.image.height, drawing.image.width, 3).permute(0, 3, 1, 2) / 127.5 - 1
    eps = randn(x_0.shape, torch.Generator().manual_seed(seed))
    alpha_bar = scheduler.alpha_bar.double()
    snr = 10 * torch.log10(alpha_bar / (1 - alpha_bar))  # in dB
    times, made, ticks = range(len(alpha_bar)), [], places(len(alpha_bar), frames)
    for t in ticks:
        x_t = scheduler.add_noise(x_0, eps, torch.tensor([t]))
        said = f"t = {t}<br>alpha_bar = {alpha_bar[t]:.4f}<br>SNR = {snr[t]:.1f} dB"
        left = chart({"alpha_bar": alpha_bar.tolist()}, times, t, "t", "alpha_bar, the share of the picture", width=230)
        right = chart({"SNR": snr.tolist()}, times, t, "t", "signal-to-noise ratio, dB", width=230)
        made.append(table([[picture(side_by_side(x_t[0]), size), left, right, said]]))
    return player(made, "t", ticks)


def steps_and_quality(grids, values, labels, measure):
    """Steps against quality: a sheet of pictures for each sampler, beside the curve of a number.

    Args:
        grids: {sampler: [PIL sheet, one for each number of steps]}.
        values: {sampler: [a number for each number of steps]}.
        labels: the numbers of steps.
        measure: what the number is, such as "Fréchet distance".
    Raises:
        ValueError: a list is not as long as `labels`.
    """
    for name, entries in [*grids.items(), *values.items()]:
        if len(entries) != len(labels):
            raise ValueError(f"{name} has {len(entries)} entries; allowed is one for each of the {len(labels)} labels")
    made = []
    for k in range(len(labels)):
        rows = [
            [f"{name}<br>{values[name][k]:.2f}" if name in values else name, picture(sheets[k], sheets[k].height)]
            for name, sheets in grids.items()
        ]
        steps = dict(enumerate(map(str, labels)))
        made.append(table([[table(rows), chart(values, list(steps), k, "steps", measure, steps, height=220)]]))
    return player(made, "steps", labels)
