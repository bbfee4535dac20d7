"""The training loop that all recipes share: seeded, resumable, with a moving average of the weights.

Everything random in step k is drawn from a generator seeded with (seed, k), so a run that was stopped and resumed
goes on as if it had never stopped.
"""

import json
import math
import sys
import textwrap
import time
from abc import ABC, abstractmethod
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path

import torch

from minidiff import files
from minidiff.progress import progress_bar

CHECKPOINT_SECONDS = 120


class TrainingRecipe(ABC):
    """What a recipe must say; see `train` for how it is used.

    Attributes:
        name: of the weights.
        seed, steps, batch_size: as usual.
        learning_rate: its peak, after `warmup` steps; from there it falls to 0 along half a cosine.
        restarts: the steps at which all this begins anew from the averaged weights, for a run of several parts (SGDR,
            Loshchilov & Hutter, ICLR 2017).
        ema_decay: of the moving average of the weights, which is what is kept.
        bfloat16: whether to multiply in it where that is fast; False where 8 bits are too few.
    """

    name, seed, steps, batch_size = "", 0, 0, 64
    learning_rate, warmup, restarts, ema_decay = 1e-3, 300, (), 0.999
    bfloat16 = True

    @abstractmethod
    def network(self):
        """The network to train, freshly initialised."""

    @abstractmethod
    def data(self):
        """A tuple of tensors with one entry a drawing."""

    @abstractmethod
    def loss(self, network, batch, generator, step):
        """A scalar. `batch` holds rows of `data`, on the device; `generator` is a CPU generator for all that is
        random.
        """

    def optimizers(self, network, step):
        """A list of optimizers that share out the network's weights, for the part of the run that `step` is in.

        The learning rates that they are made with are the peaks.
        """
        return [torch.optim.AdamW(network.parameters(), self.learning_rate, betas=(0.9, 0.99), weight_decay=0.01)]

    @abstractmethod
    def save(self, network, folder):
        """Write the trained weights to `folder`, float16."""

    @abstractmethod
    def measure(self, folder, device="cpu"):
        """A dict of what the trained weights are worth, with the sizes of the samples.

        Args:
            device: where samples are drawn, if there are any.
        """

    def described(self, measures):
        """`measures` in Markdown, for people."""
        rows = [f"| {key} | {value} |" for key, value in flat(measures)]
        return "\n".join(["In brackets, where there are any, 95 % intervals.", "", "| | |", "|---|---|", *rows])


def train(recipe, out, device="cpu", steps=None):
    """Train, resuming from the checkpoint in `out` if there is one. Returns (the averaged network, a dict about the
    run).

    Args:
        out: a folder; `checkpoint.pt` in it holds the state of the run and is written every two minutes.
        steps: at most the recipe's; fewer of them to try something out.
    Raises:
        ValueError: more steps, or the checkpoint in `out` is no beginning of this run.
    """
    out, steps = Path(out), steps or recipe.steps
    if steps > recipe.steps:
        raise ValueError(
            f"steps is {steps}; allowed is a whole number from 1 to {recipe.steps}, as many as the recipe has"
        )
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    network = recipe.network().to(device).train()
    ema = deepcopy(network).requires_grad_(False)
    network.to(memory_format=torch.channels_last)  # the faster layout for convolutions, on processors and GPUs alike
    first, seconds, smooth, optimizers = load_checkpoint(out / "checkpoint.pt", recipe, steps, network, ema)
    data = recipe.data()

    started = saved = time.monotonic()
    count = {"initial": first, "total": steps}
    bar = progress_bar(range(first, steps), apart=600, desc=f"train {recipe.name}", mininterval=10, **count)
    for step in bar:
        if step in recipe.restarts:
            network.load_state_dict(ema.state_dict())
            optimizers = recipe.optimizers(network, step)
        generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
        rows = torch.randint(len(data[0]), (recipe.batch_size,), generator=generator)
        batch = [column[rows].to(device) for column in data]

        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = group.setdefault("peak", group["lr"]) * learning_rate_share(recipe, step, steps)
        with half_precision(device) if recipe.bfloat16 else nullcontext():
            loss = recipe.loss(network, batch, generator, step)
        network.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        average(ema, network, min(recipe.ema_decay, (1 + step) / (10 + step)))

        smooth = 0.99 * smooth + 0.01 * loss.item() if step else loss.item()
        bar.set_postfix(loss=f"{smooth:.4f}", refresh=False)
        if time.monotonic() - saved > CHECKPOINT_SECONDS or step == steps - 1:
            saved = time.monotonic()
            state = dict(name=recipe.name, steps=steps, step=step + 1, seconds=seconds + saved - started, smooth=smooth)
            state |= dict(network=network.state_dict(), ema=ema.state_dict())
            state["optimizers"] = [optimizer.state_dict() for optimizer in optimizers]
            files.save(state, out / "checkpoint.pt")
    run = dict(seed=recipe.seed, steps=steps, batch_size=recipe.batch_size, drawings=len(data[0]), device=str(device))
    return ema.eval(), run | dict(minutes=round((seconds + time.monotonic() - started) / 60, 1), loss=round(smooth, 5))


def learning_rate_share(recipe, step, steps):
    """Up in a line from 0 to 1, then down along half a cosine to 0: once in each part of the run."""
    begin = max((start for start in recipe.restarts if start <= step), default=0)
    end = min((start for start in recipe.restarts if step < start < steps), default=steps)
    passed, length = step - begin - recipe.warmup, end - begin - recipe.warmup
    return 1 + (passed + 1) / recipe.warmup if passed < 0 else 0.5 + 0.5 * math.cos(math.pi * passed / max(1, length))


@torch.no_grad()
def average(ema, network, decay):
    """Move the averaged weights a little towards the network's."""
    torch._foreach_lerp_(list(ema.parameters()), list(network.parameters()), 1 - decay)


def half_precision(device):
    """bfloat16 where it is fast: on a GPU, and on processors that multiply tiles (AMX) of it."""
    on_cpu = torch.device(device).type == "cpu"
    capabilities = getattr(torch.cpu, "get_capabilities", dict)  # older versions of torch cannot tell
    if on_cpu and not capabilities().get("amx_tile"):
        return nullcontext()
    return torch.autocast(torch.device(device).type, torch.bfloat16)


def load_checkpoint(file, recipe, steps, network, ema):
    """(next step, seconds trained so far, smoothed loss, optimizers); the first three 0 where there is no checkpoint.

    Raises:
        ValueError: it is another recipe's, or of a run whose learning rate fell to another end than this one's. Only
            where a part begins may a run of so many steps be prolonged.
    """
    if not file.exists():
        return 0, 0.0, 0.0, recipe.optimizers(network, 0)
    state = torch.load(file, weights_only=True, map_location="cpu")
    name, of, step = (state.get(key) for key in ("name", "steps", "step"))
    if name != recipe.name or of != steps and not (step == of and step in recipe.restarts):
        raise ValueError(
            f"{file} is at step {step} of {of} of {name}, which is no beginning of {steps} steps of {recipe.name}: "
            "choose another folder, or go on as it was begun"
        )
    network.load_state_dict(state["network"])
    ema.load_state_dict(state["ema"])
    optimizers = recipe.optimizers(network, step)
    if step not in recipe.restarts:  # where a part begins they begin anew
        for optimizer, its_state in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(its_state)
    return step, state["seconds"], state["smooth"], optimizers


def finish(recipe, out, device="cpu", steps=None):
    """Train, save the weights in `out`, and after all of the recipe's steps measure them and write a report beside
    them. Returns the measures; None after fewer steps.

    Arguments as for `train`. The checkpoint stays in `out`: who starts again measures again, without training.
    """
    network, run = train(recipe, out, device, steps)
    recipe.save(network.cpu(), Path(out))
    if run["steps"] < recipe.steps:
        return None
    measures = recipe.measure(Path(out), device)
    write_report(Path(out), recipe, run, measures)
    return measures


def write_report(folder, recipe, run, measures):
    """Write `measures.json` and a `README.md` for people into a folder of weights."""
    files.replace(folder / "measures.json", (json.dumps({"run": run, "measures": measures}, indent=2) + "\n").encode())
    about = textwrap.dedent(sys.modules[type(recipe).__module__].__doc__).strip()
    lines = [f"# {recipe.name}", "", about, "", f"Trained by `minidiff train {recipe.name}`:", "", "| | |", "|---|---|"]
    lines += [f"| {key.replace('_', ' ')} | {value} |" for key, value in run.items()]
    lines += ["", "## What came of it", "", recipe.described(measures)]
    files.replace(folder / "README.md", ("\n".join(lines) + "\n").encode())


def flat(measures, before=""):
    """(name, value as text) of all measures, those in nested dicts too."""
    for key, value in measures.items():
        name = f"{before}{str(key).replace('_', ' ')}"
        if isinstance(value, dict):
            yield from flat(value, f"{name}: ")
        else:
            yield name, shown(value)


def shown(value):
    if isinstance(value, list | tuple):
        first, *interval = map(shown, value)
        return f"{first} ({' to '.join(interval)})"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
