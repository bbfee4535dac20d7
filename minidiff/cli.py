"""The command `minidiff`: a tour, pictures, lessons, code beside its equations, their check, the ledger, training,
measuring."""

import argparse
import contextlib
import hashlib
import importlib.util
import inspect
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from minidiff.course.claims import PAPERS
from minidiff.zoo.catalogue import CATALOGUE

EPILOG = """\
start here:
  minidiff tour                      one gallery from all pipelines, in a few minutes
  minidiff lessons                   the course, in JupyterLab
  minidiff generate ddim --seed 7    pictures of your own
  minidiff read ddim                 the code that drew them, beside its equations
"""


SCHEDULERS = {
    "ddpm": "DDPMScheduler",
    "ddim": "DDIMScheduler",
    "pndm": "PNDMScheduler",
    "lms": "LMSDiscreteScheduler",
    "euler": "EulerDiscreteScheduler",
    "euler_ancestral": "EulerAncestralDiscreteScheduler",
    "heun": "HeunDiscreteScheduler",
    "dpm_solver": "DPMSolverMultistepScheduler",
}
OPTIONS = {  # of `generate` -> the argument of a pipeline's call that it needs
    "prompt": "prompt",
    "negative": "negative_prompt",
    "scale": "guidance_scale",
    "image": "image",
    "mask": "mask_image",
    "strength": "strength",
    "scheduler": "prompt",  # those that take one run with every scheduler
}


class Parser(argparse.ArgumentParser):
    def __init__(self, **options):
        super().__init__(allow_abbrev=False, **options)  # half an option is a misspelt one

    def error(self, message):
        """One line, exit status 2."""
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments=None):
    """Run the command line; returns the exit status: 0, 1 if a check failed, 2 for a wrong argument."""
    top = parser()
    arguments = top.parse_args(arguments)
    if arguments.command is None:
        top.print_help()
        return 0
    try:
        status = arguments.run(arguments) or 0
        sys.stdout.flush()  # here, where it is no error that nobody reads on
        return status
    except BrokenPipeError:  # as behind `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python flushes once more and complains
        return 141
    except (ValueError, OSError, ImportError, MemoryError, RuntimeError, argparse.ArgumentTypeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        print(f"minidiff {arguments.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130


def parser():
    top = Parser(
        prog="minidiff",
        description="The first generation of diffusion models, each line beside the equation it implements.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND")

    def command(name, run, text):
        sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        sub.set_defaults(run=run)
        return sub

    sub = command("tour", tour, "draw with every pipeline and lay the pictures out in one gallery")
    add_seed(sub)
    add_device(sub)
    sub.add_argument(
        "--out", type=picture_file, default="minidiff-tour.png", metavar="FILE", help="default %(default)s"
    )

    sub = command("generate", generate, "draw pictures, or sounds, with one pipeline")
    sub.add_argument(
        "pipeline", metavar="PIPELINE", type=str.lower, choices=CATALOGUE, help=f"one of {', '.join(CATALOGUE)}"
    )
    sub.add_argument(
        "--steps", type=positive, metavar="N", help="steps of the sampler; the pipeline's choice if absent"
    )
    add_seed(sub)
    sub.add_argument("--batch", type=positive, default=1, metavar="B", help="how many of them (default %(default)s)")
    sub.add_argument("--seconds", type=seconds, metavar="T", help="how long, of a pipeline that draws sound")
    sub.add_argument("--prompt", metavar="TEXT", help='what to draw, such as "a yellow cat in the snow"')
    sub.add_argument("--negative", metavar="TEXT", help="what to lead away from")
    sub.add_argument("--scale", type=float, metavar="S", help="how strongly the prompt guides; 1 is no guidance")
    sub.add_argument(
        "--image", type=Path, metavar="FILE", help="the picture to begin with; a drawing of ours if absent"
    )
    sub.add_argument("--mask", type=Path, metavar="FILE", help="white where the picture shall be drawn anew")
    sub.add_argument("--strength", type=float, metavar="S", help="how much of the walk is made, from 0 to 1")
    sub.add_argument(
        "--scheduler", choices=SCHEDULERS, metavar="NAME", help=f"another scheduler: {', '.join(SCHEDULERS)}"
    )
    sub.add_argument("--weights", metavar="WHERE", help="a name in the zoo, a folder, or a Hub id")
    add_device(sub)
    sub.add_argument(
        "--out", metavar="FILE", help="default minidiff-PIPELINE-SEED.png; .wav for sound, with its picture beside it"
    )

    sub = command("lessons", lessons, "copy the lessons' notebooks and open them in JupyterLab")
    sub.add_argument("folder", nargs="?", type=Path, default=Path("minidiff-lessons"), metavar="FOLDER")
    sub.add_argument("--copy-only", action="store_true", help="do not open JupyterLab")

    sub = command("read", read, "show code beside its equations")
    sub.add_argument("name", metavar="NAME", help="such as ddim, DDIMScheduler.step or models.resnet")
    sub.add_argument("--out", type=page_file, metavar="FILE.html", help="write a page for the browser instead")

    sub = command("pairs", pairs, "check every line of arithmetic against the equation beside it")
    sub.add_argument("--letters", action="store_true", help="print the glossary of letters instead")

    sub = command("ledger", ledger, "where paper, original code and diffusers disagree")
    sub.add_argument("name", nargs="?", metavar="NAME", help="one entry only")

    sub = command(
        "train", train, "train the zoo's weights again, and measure them; goes on where a stopped run left off"
    )
    sub.add_argument("name", metavar="NAME", help="such as storybook-ddpm")
    sub.add_argument("--steps", type=positive, metavar="N", help="fewer steps, to try it out, without measuring")
    add_device(sub)
    sub.add_argument("--out", type=Path, metavar="FOLDER", help="default ./NAME")

    sub = command(
        "measure", measure, "measure what a paper claims, in half an hour to an hour; goes on where it was stopped"
    )
    sub.add_argument("name", metavar="NAME", type=str.lower, choices=PAPERS, help=f"one of {', '.join(PAPERS)}")
    sub.add_argument(
        "--samples", type=samples, default=1000, metavar="N", help="pictures a sampler (default %(default)s)"
    )
    add_device(sub)
    sub.add_argument("--out", type=json_file, metavar="FILE", help="default ./NAME.json")
    return top


def add_seed(sub):
    sub.add_argument("--seed", type=seed, default=0, metavar="S", help="the same seed, the same pictures (default 0)")


def add_device(sub):
    sub.add_argument("--device", metavar="D", help='"cpu" or "cuda"; a GPU is taken if there is one')


def positive(text):
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return value


def samples(text):
    value = positive(text)
    if value < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 2 on")
    return value


def seed(text):
    if not text.isdecimal() or int(text) >= 2**64:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 2^64 - 1")
    return int(text)


def seconds(text):
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


PICTURES, SOUNDS, PAGES = (".png", ".jpg", ".jpeg", ".webp"), (".wav",), (".html", ".htm")


def picture_file(text, suffixes=PICTURES):
    """A path that a picture can be written to, so that nobody waits for one that cannot be kept."""
    file = Path(text)
    if not file.parent.is_dir() or not os.access(file.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text!r} lies in no folder that exists and can be written to")
    if file.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is a folder")
    if file.suffix.lower() not in suffixes:
        raise argparse.ArgumentTypeError(f"{text!r} does not end in {' or '.join(suffixes)}")
    return file


def page_file(text):
    """A path that a page for the browser can be written to."""
    return picture_file(text, PAGES)


def json_file(text):
    """A path that results can be written to."""
    return picture_file(text, (".json",))


DEVICES = ("cpu", "cuda", "mps")


def chosen_device(name):
    import torch

    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.empty(0, device=name).device.type
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"--device is {name!r}, which this machine does not have: {str(error).splitlines()[0]}"
        ) from None
    if kind not in DEVICES:
        raise ValueError(f"--device is {name!r}, where nothing can be drawn; allowed are {', '.join(DEVICES)}")
    return name


def load(name, weights, device):
    """The pipeline that CATALOGUE[name] describes, with the given weights or its own from the zoo."""
    import minidiff

    source = weights or minidiff.zoo.path(CATALOGUE[name].weights)
    if weights in minidiff.zoo.names() and not Path(weights).is_dir():  # `minidiff train` makes such a folder
        source = minidiff.zoo.path(weights)
    return pipeline_of(name).from_pretrained(source).to(device)


def pipeline_of(name):
    import minidiff

    return getattr(minidiff, CATALOGUE[name].pipeline)


def draw(name, weights, device, seed, batch, call, scheduler=None):
    """(PIL images, sounds, seconds, the call): of sounds each has a picture, and `sounds` is (array (B, C, L), samples
    a second), else None. The time is the sampler's alone, without loading.

    Raises:
        ValueError: the sounds would have no rate, or more channels than can be heard; nothing was drawn then.
    """
    import torch

    import minidiff
    from minidiff.zoo.gallery import sound_picture

    pipe = load(name, weights, device)
    if scheduler is not None:
        pipe.scheduler = getattr(minidiff, SCHEDULERS[scheduler]).from_config(pipe.scheduler.config)
    if CATALOGUE[name].draws_sound:
        check_sounds(pipe.unet.config)
    pipe.set_progress_bar_config(desc=f"{name:>6}", leave=True)
    started = time.perf_counter()
    call = for_batch(pipe, batch, call)
    result = pipe(generator=torch.Generator().manual_seed(seed), **call)
    passed = time.perf_counter() - started
    if not CATALOGUE[name].draws_sound:
        return result.images, None, passed, call
    rate = pipe.unet.config.sample_rate
    return [sound_picture(sound, rate) for sound in result.audios], (result.audios, rate), passed, call


def check_sounds(config):
    """Raises ValueError where a network's sounds could not be written, see `write_sounds`."""
    from minidiff import audio

    audio.checked_rate(config.sample_rate)
    if config.in_channels > 2:
        raise ValueError(f"in_channels is {config.in_channels}; allowed are 1 and 2, since a WAV file has no more")


def write_sounds(file, sounds, rate):
    """One WAV file, in which they follow each other."""
    import numpy as np

    from minidiff import audio

    audio.write(file, np.concatenate(list(sounds), axis=1), rate)


def takes(pipe, argument):
    """Whether a pipeline, or its class, can be called with that argument."""
    return argument in inspect.signature(pipe.__call__).parameters


def for_batch(pipe, batch, call):
    """The arguments of a call for `batch` pictures: its prompts in turn, or so many of one image or of none.

    An image is a file, of which the middle square is shrunk to what the network was trained on; in its place come
    drawings of so many pixels.
    """
    if takes(pipe, "prompt"):
        pictures = pictures_for(pipe, batch, call) if takes(pipe, "image") else {}
        prompts = call.get("prompt", pictures.pop("captions", None))
        prompts = prompts if isinstance(prompts, list | tuple) else (prompts,)
        return call | {"prompt": [prompts[k % len(prompts)] for k in range(batch)]} | pictures
    if takes(pipe, "image"):
        return call | small_pictures(call.get("image"), pipe.unet.config.sample_size, pipe.vqvae.factor, batch)
    return call | {"batch_size": batch}


def pictures_for(pipe, batch, call):
    """What image to image and inpainting are called with: the middle squares of files, or sketches and drawings.

    Raises:
        ValueError: of a picture and its mask only one is a file, or they differ in size.
    """
    from PIL import Image, ImageOps

    from minidiff.zoo import sketches

    size = pipe.unet.config.sample_size * pipe.vae_scale_factor
    names = [name for name in ("image", "mask_image") if takes(pipe, name)]
    given = [name for name in names if name in call]
    if not given and "mask_image" not in names:
        made = [sketches.sketch(k, size) for k in range(batch)]
        return {"image": [one.image for one in made], "captions": [one.caption for one in made]}
    if not given:
        made = [sketches.with_hole(k, size, time="day", mountains=False) for k in range(batch)]
        return {"image": [one.image for one in made], "mask_image": [one.mask for one in made]}
    if given != names:
        raise ValueError(f"--image and --mask belong together, and only --{given[0].partition('_')[0]} is there")
    opened = [ImageOps.exif_transpose(Image.open(call[name])) for name in names]
    if len({image.size for image in opened}) > 1:
        (w, h), (w_mask, h_mask) = (image.size for image in opened)
        raise ValueError(
            f"--mask is {w_mask} x {h_mask} and --image {w} x {h}; allowed are masks as large as the image"
        )
    return {name: ImageOps.fit(image, (size, size)) for name, image in zip(names, opened)}


def small_pictures(file, size, factor, batch):
    """What a pipeline that makes pictures of size x size `factor` times as large is called with."""
    import torch
    from PIL import Image, ImageOps

    from minidiff.pipelines.images import as_rgb, pictures
    from minidiff.zoo import world

    if file is None:
        drawings = [world.draw(seed=k, size=size * factor).image.reduce(factor) for k in range(batch)]
        return {"image": torch.cat([pictures(drawing, size) for drawing in drawings])}
    with Image.open(file) as image:
        small = ImageOps.fit(as_rgb(image), (size, size), Image.Resampling.LANCZOS)
    return {"image": small, "batch_size": batch}


def tour(arguments):
    from minidiff.zoo.gallery import save, sheet, stack

    device, sheets, heard = chosen_device(arguments.device), [], None
    if any(entry.draws_sound for entry in CATALOGUE.values()):
        wav = picture_file(str(arguments.out.with_suffix(".wav")), SOUNDS)
    for name, entry in CATALOGUE.items():
        pictures, sounds, passed, call = draw(name, None, device, arguments.seed, entry.in_tour, entry.call)
        many = f"{len(pictures)} {'sounds' if sounds else 'pictures'}"
        steps = f"{entry.call['num_inference_steps']} steps, {many}, {passed:.1f} s"
        for given in (call[name] for name in ("mask_image", "image") if name in call):
            pictures = [*as_images(given), *pictures]  # before, mask, after, a row each
        laid_out = sheet(pictures, columns=4, size=pictures[0].width) if sounds else sheet(pictures)
        sheets.append((f"{name.upper()}: {entry.task}", steps, laid_out))
        heard = sounds or heard
    save(stack(sheets), arguments.out, optimize=True)  # a smaller file, where the format knows how
    if heard:
        write_sounds(wav, *heard)
    for caption, remark, _ in sheets:
        print(f"{caption} ({remark})")
    beside = f", its sounds are {wav}" if heard else ""
    print(f"The gallery is {arguments.out}{beside}. How it was drawn: minidiff lessons")


def as_images(given):
    """PIL images: those in a list, or those of a tensor (B, 3, h, w) in [-1, 1]."""
    from minidiff.pipelines.base import pil_images

    return given if isinstance(given, list) else pil_images((given / 2 + 0.5).permute(0, 2, 3, 1).numpy())


def generate(arguments):
    from minidiff.zoo.gallery import save, sheet

    name, sound = arguments.pipeline, CATALOGUE[arguments.pipeline].draws_sound
    call = dict(CATALOGUE[name].call)
    if arguments.steps:
        call["num_inference_steps"] = arguments.steps
    for option, argument in OPTIONS.items():
        value = getattr(arguments, option)
        if value is not None and not takes(pipeline_of(name), argument):
            raise ValueError(f"--{option} is {str(value)!r}, but {name} takes no {option}")
        if value is not None and option != "scheduler":
            call[argument] = value
    if arguments.seconds and not sound:
        raise ValueError(
            f"--seconds is {arguments.seconds:g}, but {name} draws pictures; allowed is it for sound alone"
        )
    if arguments.seconds:
        call["audio_length_in_s"] = arguments.seconds
    device = chosen_device(arguments.device)
    suffix = ".wav" if sound else ".png"
    out = picture_file(arguments.out or f"minidiff-{name}-{arguments.seed}{suffix}", SOUNDS if sound else PICTURES)
    picture = picture_file(str(out.with_suffix(".png"))) if sound else out
    where = (arguments.weights, device, arguments.seed, arguments.batch)
    pictures, sounds, passed, _ = draw(name, *where, call, arguments.scheduler)
    save(pictures[0] if len(pictures) == 1 else sheet(pictures, size=max(pictures[0].size)), picture)
    many = f"{len(pictures)} {'sound' if sound else 'picture'}{'s' * (len(pictures) > 1)}"
    if sound:
        write_sounds(out, *sounds)
        waves, rate = sounds
        print(f"{out}: {many} of {waves.shape[2] / rate:g} s, {passed:.1f} s; seen in {picture}")
    else:
        print(f"{out}: {many} of {pictures[0].width}x{pictures[0].height}, {passed:.1f} s")


def lessons(arguments):
    source, folder = lessons_folder(), arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    for notebook in sorted(source.glob("*.ipynb")):
        print(f"{copy_unless_changed(notebook, folder)}")
    if arguments.copy_only:
        return
    if importlib.util.find_spec("jupyterlab") is None:
        raise ImportError("JupyterLab is not installed: pip install 'minidiff[lessons]'. The notebooks are copied.")
    with interrupts_ignored():  # Ctrl-C is JupyterLab's, which asks whether it shall stop
        return subprocess.call([sys.executable, "-m", "jupyterlab", "00_start_here.ipynb"], cwd=folder)


def lessons_folder():
    """Where the notebooks lie: beside the package in a checkout, inside it when installed from a wheel."""
    package = Path(__file__).parent
    for folder in (package.parent / "lessons", package / "lessons"):
        if any(folder.glob("*.ipynb")):
            return folder
    raise FileNotFoundError("the lessons are not installed with this package")


def copy_unless_changed(notebook, folder):
    """Copy a notebook to `folder`, never over one that somebody worked in; a line that says what was done.

    A hidden file beside the copies remembers what each looked like when it was copied. A copy as it left this package
    is signed, so that JupyterLab shows its widgets when it is opened, before anything was run.
    """
    from minidiff import files

    target, note = folder / notebook.name, folder / f".{notebook.stem}.copied"
    new = notebook.read_bytes()
    if target.exists() and target.read_bytes() != new:
        if not note.exists() or note.read_text() != digest(target.read_bytes()):
            return f"{target}: kept, it was changed"
    note.write_text(digest(new))
    files.replace(target, new)
    sign(target)
    return f"{target}: copied"


def sign(notebook):
    """Tell Jupyter on this machine that a notebook's outputs can be trusted; nothing where Jupyter keeps no record."""
    if importlib.util.find_spec("nbformat"):
        import nbformat
        from nbformat.sign import NotebookNotary

        with contextlib.suppress(OSError):
            NotebookNotary().sign(nbformat.read(notebook, as_version=4))


def digest(content):
    return hashlib.sha256(content).hexdigest()


def read(arguments):
    import minidiff

    try:
        reading = minidiff.read(arguments.name)
    except TypeError as error:  # a number, say
        raise ValueError(f"{arguments.name}: {error}") from None
    if arguments.out:
        return print(f"{reading.save(arguments.out)}: open it in a browser")
    in_terminal, size = sys.stdout.isatty(), shutil.get_terminal_size()
    text = reading.text(size.columns, colour=in_terminal and "NO_COLOR" not in os.environ)
    pager = shlex.split(os.environ.get("PAGER", "less"))
    if in_terminal and text.count("\n") + 2 > size.lines and pager and shutil.which(pager[0]):
        with interrupts_ignored():  # Ctrl-C is the pager's: one that is killed leaves the terminal as it set it
            subprocess.run(pager, input=text, text=True, env={"LESS": "-R"} | os.environ)
    else:
        print(text)


@contextlib.contextmanager
def interrupts_ignored():
    before = signal.signal(signal.SIGINT, lambda *_: None)  # SIG_IGN would be a child's too
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def pairs(arguments):
    from minidiff.papers import letters
    from minidiff.papers.check import report

    if arguments.letters:
        return print(letters.glossary())
    return report.run()


def ledger(arguments):
    from minidiff.papers import ledger

    return ledger.run(arguments.name)


def train(arguments):
    from minidiff.zoo.recipes import recipe
    from minidiff.zoo.recipes.training import finish

    chosen = recipe(arguments.name)
    out = arguments.out or Path(arguments.name)
    measures = finish(chosen, out, chosen_device(arguments.device), arguments.steps)
    print(f"The weights are in {out}" + ("." if measures else f", not measured after fewer than {chosen.steps} steps."))


def measure(arguments):
    from minidiff.course.claims.measuring import measure

    out = arguments.out or Path(f"{arguments.name}.json")
    results = measure(arguments.name, out, arguments.samples, chosen_device(arguments.device))
    print(f"What {arguments.name} claims is measured in {out}: {', '.join(results)}.")
