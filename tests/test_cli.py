"""The command line, as a person types it."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import stable_pipelines
import torch
from latent_pipelines import both_pipelines, tiny_tokenizer
from nbformat.sign import NotebookNotary
from PIL import Image

from minidiff import audio, cli, zoo
from minidiff.cli import copy_unless_changed, main, parser
from minidiff.zoo.catalogue import CATALOGUE, PIPELINES, Entry

COMMANDS = ("tour", "generate", "lessons", "read", "pairs", "ledger", "train", "measure")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_every_option(command, capsys):
    with pytest.raises(SystemExit) as exit:
        main([command, "--help"])
    assert exit.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    (commands,) = (action.choices for action in parser()._actions if action.choices)
    for action in commands[command]._actions:
        assert action.help or action.metavar, action
        for option in action.option_strings:
            assert option in said
        assert action.help is None or (action.help % {"default": action.default}) in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["paint"], "invalid choice: 'paint'"),
        (["generate", "ddpn"], "invalid choice: 'ddpn'"),
        (["generate", "ddim", "--steps", "0"], "'0' is not a whole number from 1 on"),
        (["generate", "ddim", "--steps", "\u00b2"], "'\u00b2' is not a whole number from 1 on"),
        (["generate", "ddim", "--stpes", "5"], "--stpes"),
        (["generate", "ddim", "--seconds", "2"], "--seconds is 2, but ddim draws pictures"),
        (["generate", "ddim", "--seconds", "0"], "'0' is not a number of seconds above 0"),
        (["generate", "ddim", "--seconds", "nan"], "'nan' is not a number of seconds above 0"),
        (["generate", "ddim", "--out", "note.wav"], "'note.wav' does not end in .png"),
        (["pairs", "--letter"], "--letter"),
        (["generate", "ddim", "--steps", "2000"], "num_inference_steps is 2000"),
        (["generate", "ddim", "--weights", "no-such-folder-here"], "no-such-folder-here"),
        (["generate", "ddim", "--device", "abacus"], "--device is 'abacus'"),
        (["generate", "ddim", "--device", "meta"], "--device is 'meta', where nothing can be drawn; allowed are cpu,"),
        (["generate", "ddim", "--seed", "-1"], "'-1' is not a whole number from 0 to 2^64 - 1"),
        (["generate", "ddim", "--seed", str(2**64)], "is not a whole number from 0 to 2^64 - 1"),
        (
            ["generate", "ddim", "--out", "no/such/folder.png"],
            "'no/such/folder.png' lies in no folder that exists and can",
        ),
        (["tour", "--out", "gallery.txt"], "'gallery.txt' does not end in .png"),
        (["read", "ddim", "--out", "page.png"], "'page.png' does not end in .html"),
        (["read", "ddim", "--out", "no/such/page.html"], "'no/such/page.html' lies in no folder"),
        (["train", "storybook-ddpn"], "storybook-ddpn"),
        (["measure", "ddpn"], "invalid choice: 'ddpn'"),
        (["measure", "ddim", "--samples", "1"], "'1' is not a whole number from 2 on"),
        (["measure", "ddim", "--out", "found.txt"], "'found.txt' does not end in .json"),
        (["ledger", "no such entry"], "no such entry"),
        (["read", "pndn"], "there is no 'pndn'; did you mean 'pndm'?"),
        (["read", "DDIMScheduler.stpe"], "DDIMScheduler has no 'stpe'; did you mean 'step'?"),
        (["read", "models"], "'models' is a folder; allowed are the modules in it: attention, autoencoder_kl,"),
        (["read", "__main__"], "there is no '__main__'"),
        (["read", "schedulers.base.SPACINGS"], "cannot be read: allowed is a module, a class, a function"),
    ],
)
def test_a_wrong_argument_gets_one_line_and_status_2(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        status = main(arguments)
    except SystemExit as exit:
        status = exit.code
    error = capsys.readouterr().err
    error = "\n".join(line for line in error.splitlines() if "it/s" not in line and "%|" not in line)
    assert status == 2
    assert said in error and error.count("\n") == 0
    assert not list(tmp_path.iterdir())


def test_alone_it_says_what_there_is_and_where_to_start(capsys):
    assert main([]) == 0
    said = capsys.readouterr()
    assert said.err == "" and "start here:\n  minidiff tour" in said.out
    assert all(f"\n    {command}" in said.out for command in COMMANDS)


def test_who_reads_only_the_beginning_sees_no_error():
    command = subprocess.Popen([sys.executable, "-m", "minidiff", "ledger"], stdout=-1, stderr=-1)
    command.stdout.close()
    assert command.stderr.read() == b"" and command.wait() == 141


def test_generate_writes_the_picture_that_the_seed_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["generate", "ddim", "--steps", "4", "--seed", "3", "--device", "cpu"]) == 0
    assert main(["generate", "ddim", "--steps", "4", "--seed", "3", "--device", "cpu", "--out", "again.png"]) == 0
    first, again = Image.open("minidiff-ddim-3.png"), Image.open("again.png")
    assert first.size == (32, 32) and first.tobytes() == again.tobytes()
    assert main(["generate", "ddim", "--steps", "4", "--batch", "3", "--weights", str(zoo.path("storybook-ddpm"))]) == 0
    assert Image.open("minidiff-ddim-0.png").width > 3 * 32


def test_a_pipeline_goes_by_its_name_in_whatever_case(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["generate", "DDIM", "--steps", "1", "--device", "cpu"]) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["minidiff-ddim-0.png"]


def test_a_file_gets_one_line_for_a_progress_bar(monkeypatch, tmp_path, capfd):
    monkeypatch.chdir(tmp_path)
    assert main(["generate", "ddim", "--steps", "30", "--device", "cpu"]) == 0
    assert re.fullmatch(r" *ddim: 100%.* 30/30 .*\n", capfd.readouterr().err)


@pytest.mark.parametrize(
    ("name", "title", "line"),
    [
        ("ddim", "minidiff.pipelines.ddim.DDIMPipeline", "The network: UNet2DModel\n"),
        ("DDIM", "minidiff.pipelines.ddim.DDIMPipeline", "DDIM (12), guarded:"),
        ("schedulers.ddim", "minidiff.schedulers.ddim", "def inverse_step(self, model_output"),
        ("pipelines.ddim", "minidiff.pipelines.ddim", "for i, t in enumerate"),
        ("models.resnet", "minidiff.models.resnet", "return (F_x + W_s_x) / scale"),
        ("minidiff.models.resnet", "minidiff.models.resnet", "return (F_x + W_s_x) / scale"),
        ("DDIMScheduler.step", "minidiff.schedulers.ddim.DDIMScheduler.step", "DDIM (12), guarded:"),
        ("resnet.ResnetBlock2D.forward", "minidiff.models.resnet.ResnetBlock2D.forward", "h = h + e"),
        ("tex.typeset", "minidiff.papers.tex.typeset", "def unicode_text(source):"),
        ("storybook_ddpm", "minidiff.zoo.recipes.storybook_ddpm", "DDPM (14), weighted:"),
    ],
)
def test_code_is_read_beside_its_equations(name, title, line, capsys):
    assert main(["read", name]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{title}\n") and line in said and "\033" not in said


def test_code_is_written_as_a_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["read", "ddim", "--out", "ddim.html"]) == 0
    assert capsys.readouterr().out == "ddim.html: open it in a browser\n"
    page = Path("ddim.html").read_text()
    assert page.startswith("<!doctype html>") and "DDIMScheduler.step</span>" in page and "<math" in page


def test_a_terminal_gets_colour_and_a_pager(monkeypatch, capsys):
    import shutil

    paged, handler = [], signal.getsignal(signal.SIGINT)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(
        "subprocess.run",
        lambda pager, input, env, **_: (
            paged.append((pager, input, env)) or signal.raise_signal(signal.SIGINT) or SimpleNamespace(returncode=2)
        ),
    )
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("PAGER", "more -f")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "20")
    assert main(["read", "ddim"]) == 0 and capsys.readouterr().out == ""
    ((pager, text, environment),) = paged  # Ctrl-C was the pager's
    assert signal.getsignal(signal.SIGINT) is handler
    assert pager == ["more", "-f"] and environment["LESS"] == "-R" and "\033[36mDDIM (12), guarded:\033[0m" in text
    monkeypatch.setenv("LINES", "1000")  # all of it fits
    monkeypatch.setenv("NO_COLOR", "1")
    assert main(["read", "ddim"]) == 0 and len(paged) == 1
    assert "DDIM (12), guarded:" in (said := capsys.readouterr().out) and "\033" not in said


def test_generate_takes_a_folder_before_the_zoo(tmp_path, monkeypatch, capsys):
    """Where `minidiff train` has written weights, these are meant, and not the zoo's of the same name."""
    monkeypatch.chdir(tmp_path)
    Path("storybook-ddpm").mkdir()
    call = ["generate", "ddim", "--steps", "1", "--weights", "storybook-ddpm", "--device", "cpu"]
    assert main(call) == 2 and "storybook-ddpm" in capsys.readouterr().err  # an empty one cannot be loaded
    Path("storybook-ddpm").rmdir()
    assert main(call) == 0


@pytest.fixture
def latent_pipelines(tmp_path, monkeypatch):
    """In a folder of its own the command knows the pipelines over latents, with tiny random weights beside it."""
    monkeypatch.chdir(tmp_path)
    for name in ("latent_diffusion_uncond", "latent_diffusion", "latent_diffusion_superresolution"):
        entry = PIPELINES[name]
        monkeypatch.setitem(CATALOGUE, name, entry)
        tokenizer = tiny_tokenizer(tmp_path) if name == "latent_diffusion" else None
        both_pipelines(entry.pipeline, tokenizer, unet={"sample_size": 16})[0].save_pretrained(name)


def generated(capsys, name, *options):
    """The picture that `minidiff generate NAME` writes."""
    status = main(["generate", name, "--weights", name, "--steps", "2", "--device", "cpu", "--out", "it.png", *options])
    assert status == 0, capsys.readouterr().err
    return Image.open("it.png").copy()


def test_generate_draws_what_a_prompt_says(latent_pipelines, capsys, monkeypatch):
    first = generated(capsys, "latent_diffusion", "--prompt", "a yellow cat in the snow")
    other = generated(capsys, "latent_diffusion", "--prompt", "boats")
    assert first.size == other.size and first.tobytes() != other.tobytes()
    default = generated(capsys, "latent_diffusion")  # the first of the catalogue's
    assert default.tobytes() == first.tobytes()
    asked = []
    monkeypatch.setattr("minidiff.LDMTextToImagePipeline.encode", lambda self, prompts: asked.append(prompts) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        generated(capsys, "latent_diffusion", "--batch", "6")
    prompts = PIPELINES["latent_diffusion"].call["prompt"]
    assert asked == [[""] * 6 + [*prompts, *prompts[:2]]]


def test_generate_without_words(latent_pipelines, capsys):
    assert generated(capsys, "latent_diffusion_uncond", "--batch", "2").width > 200


def test_generate_enlarges_a_picture(latent_pipelines, capsys):
    name = "latent_diffusion_superresolution"
    zoo.world.draw(seed=5, size=64).image.resize((96, 64)).save("mine.png")
    of_file = generated(capsys, name, "--image", "mine.png")
    drawn = generated(capsys, name)
    assert of_file.size == drawn.size == (128, 128) and of_file.tobytes() != drawn.tobytes()
    assert generated(capsys, name, "--image", "mine.png", "--batch", "2").width > 250
    Path("mine.txt").write_text("no picture")
    for file in ("mine.txt", "yours.png"):
        assert main(["generate", name, "--weights", name, "--image", file]) == 2
        assert file in capsys.readouterr().err


def test_generate_refuses_what_a_pipeline_does_not_take(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["generate", "ddim", "--prompt", "a cat"]) == 2
    assert capsys.readouterr().err == "minidiff generate: --prompt is 'a cat', but ddim takes no prompt\n"
    assert main(["generate", "ddim", "--image", "cat.png"]) == 2
    assert capsys.readouterr().err == "minidiff generate: --image is 'cat.png', but ddim takes no image\n"


def test_the_catalogue_has_what_can_run():
    assert {"ddpm", "ddim", "pndm"} <= set(CATALOGUE) <= set(PIPELINES)
    assert {entry.weights for entry in CATALOGUE.values()} <= set(zoo.names())


def test_generate_draws_nothing_that_it_cannot_keep(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("minidiff.cli.draw", lambda *arguments: pytest.fail("it drew"))
    Path("minidiff-ddim-0.png").mkdir()
    assert main(["generate", "ddim", "--device", "cpu"]) == 2
    assert capsys.readouterr().err == "minidiff generate: 'minidiff-ddim-0.png' is a folder\n"


@pytest.fixture
def with_sound(monkeypatch):
    """A tiny Dance Diffusion in the catalogue."""
    from minidiff import DanceDiffusionPipeline, IPNDMScheduler, UNet1DModel

    blocks = {
        "down_block_types": ("DownBlock1DNoSkip", "DownBlock1D"),
        "up_block_types": ("UpBlock1D", "UpBlock1DNoSkip"),
    }
    unet = UNet1DModel(2000, 1000, 1, 1, block_out_channels=(4, 32), **blocks)
    pipe = DanceDiffusionPipeline(unet.eval(), IPNDMScheduler())
    entry = Entry("DanceDiffusionPipeline", "", "sound", None, "", {"num_inference_steps": 2}, in_tour=4)
    monkeypatch.setitem(CATALOGUE, "dance_diffusion", entry)
    loaded = cli.load
    monkeypatch.setattr(cli, "load", lambda name, *rest: pipe if name == "dance_diffusion" else loaded(name, *rest))


def test_generate_writes_the_sound_that_the_seed_names_and_its_picture(with_sound, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    call = ["generate", "dance_diffusion", "--device", "cpu"]
    assert main([*call, "--seconds", "1.5", "--out", "note.wav"]) == 0
    assert "note.wav: 1 sound of 1.5 s, " in capsys.readouterr().out
    sound, rate = audio.read("note.wav")
    assert sound.shape == (1, 1500) and rate == 1000 and Image.open("note.png").size == (198, 198)
    assert main([*call, "--seconds", "1.5", "--out", "again.wav"]) == 0
    assert Path("again.wav").read_bytes() == Path("note.wav").read_bytes()
    assert main([*call, "--batch", "3", "--seed", "4"]) == 0
    assert audio.read("minidiff-dance_diffusion-4.wav")[0].shape == (1, 6000)
    assert Image.open("minidiff-dance_diffusion-4.png").width > 3 * 198


def test_generate_keeps_sound_in_wav_files_alone(with_sound, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("minidiff.cli.draw", lambda *arguments: pytest.fail("it drew"))
    for out, said in (
        ("note.png", "'note.png' does not end in .wav"),
        ("no/note.wav", "lies in no folder that exists"),
    ):
        assert main(["generate", "dance_diffusion", "--out", out, "--device", "cpu"]) == 2
        assert said in capsys.readouterr().err
    Path("note.png").mkdir()
    assert main(["generate", "dance_diffusion", "--out", "note.wav", "--device", "cpu"]) == 2
    assert "'note.png' is a folder" in capsys.readouterr().err


def test_generate_draws_no_sound_that_no_file_can_hold(with_sound, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pipe = cli.load("dance_diffusion", None, "cpu")
    monkeypatch.setattr(type(pipe), "__call__", lambda *arguments, **more: pytest.fail("it drew"))
    for change, said in (
        ({"sample_rate": None}, "sample_rate is None; allowed is a whole number from 1 to 1073741823"),
        ({"sample_rate": 1000, "in_channels": 3}, "in_channels is 3; allowed are 1 and 2, since a WAV file has no"),
    ):
        pipe.unet.register_to_config(**change)
        assert main(["generate", "dance_diffusion", "--device", "cpu"]) == 2
        assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_too_much_for_the_memory_gets_one_line(with_sound, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    for seconds in ("1e10", "1e17", "1e30"):
        assert main(["generate", "dance_diffusion", "--device", "cpu", "--seconds", seconds]) == 2
        error = capfd.readouterr().err
        assert error.startswith("minidiff generate: ") and error.count("\n") == 1, error
    monkeypatch.setattr(cli, "draw", lambda *arguments: torch.zeros(2) @ torch.zeros(3))
    with pytest.raises(RuntimeError, match="inconsistent tensor size"):
        main(["generate", "ddim", "--device", "cpu"])


def test_the_tour_draws_nothing_that_it_cannot_keep(with_sound, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("minidiff.cli.draw", lambda *arguments: pytest.fail("it drew"))
    Path("minidiff-tour.wav").mkdir()
    assert main(["tour", "--device", "cpu"]) == 2
    assert capsys.readouterr().err == "minidiff tour: 'minidiff-tour.wav' is a folder\n"


def test_the_gallery_is_there_if_its_sounds_cannot_be_written(with_sound, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in set(CATALOGUE) - {"dance_diffusion"}:
        monkeypatch.delitem(CATALOGUE, name)

    def full(*arguments):
        raise OSError("the disk is full")

    monkeypatch.setattr(cli, "write_sounds", full)
    assert main(["tour", "--device", "cpu"]) == 2 and "the disk is full" in capsys.readouterr().err
    assert Image.open("minidiff-tour.png").width == 822


def test_the_tour_has_its_sounds_beside_it(with_sound, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in set(CATALOGUE) - {"dance_diffusion"}:
        monkeypatch.delitem(CATALOGUE, name)
    assert main(["tour", "--device", "cpu", "--out", "all.png"]) == 0
    assert "The gallery is all.png, its sounds are all.wav." in capsys.readouterr().out
    assert audio.read("all.wav")[0].shape == (1, 4 * 2000) and Image.open("all.png").width == 822


def test_the_tour_shows_every_pipeline(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for entry in CATALOGUE.values():
        monkeypatch.setitem(entry.call, "num_inference_steps", 4)
    assert main(["tour", "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert all(f"{name.upper()}: " in printed for name in CATALOGUE)
    assert Image.open("minidiff-tour.png").height > 140 * len(CATALOGUE)


def test_the_tour_shows_what_a_picture_was_made_from(tmp_path, monkeypatch):
    """Above it: small drawings as a tensor, drawings and masks as images."""
    flat, shown = lambda colour: [Image.new("RGB", (8, 8), colour)] * 8, []
    calls = {
        "ddpm": {"image": torch.ones(8, 3, 4, 4)},
        "ddim": {"image": flat("red"), "mask_image": flat("blue")},
    }
    for name in set(CATALOGUE) - set(calls):
        monkeypatch.delitem(CATALOGUE, name)
    monkeypatch.setattr(cli, "draw", lambda name, *rest: (flat("black"), None, 1.0, calls[name]))
    monkeypatch.setattr("minidiff.zoo.gallery.stack", lambda sheets: shown.extend(sheets) or sheets[0][2])
    assert main(["tour", "--device", "cpu", "--out", str(tmp_path / "tour.png")]) == 0
    rows = {
        caption.partition(":")[0]: [sheet.getpixel((60, y)) for y in range(60, sheet.height, 102)]
        for caption, _, sheet in shown
    }
    white, black, red, blue = (255, 255, 255), (0, 0, 0), (255, 0, 0), (0, 0, 255)
    assert rows == {"DDPM": [white, black], "DDIM": [red, blue, black]}


def test_lessons_are_copied_but_never_over_a_changed_one(tmp_path, capsys):
    assert main(["lessons", str(tmp_path / "mine"), "--copy-only"]) == 0
    copies = sorted((tmp_path / "mine").glob("*.ipynb"))
    assert {"00_start_here", "02_ddpm", "03_ddim", "04_pndm"} <= {copy.stem for copy in copies}
    copies[0].write_text("my notes")
    assert main(["lessons", str(tmp_path / "mine"), "--copy-only"]) == 0
    assert copies[0].read_text() == "my notes"
    assert "00_start_here.ipynb: kept, it was changed" in capsys.readouterr().out


def test_copies_nobody_changed_are_trusted(tmp_path, monkeypatch):
    """So that JupyterLab shows the widgets in them."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))

    def trusted(copy):
        return NotebookNotary().check_signature(nbformat.read(copy, as_version=4))

    def copied():
        assert main(["lessons", str(tmp_path / "mine"), "--copy-only"]) == 0
        return sorted((tmp_path / "mine").glob("*.ipynb"))

    first, *others = copied()
    assert trusted(first) and all(map(trusted, others))
    notebook = nbformat.read(first, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("1", outputs=[nbformat.v4.new_output("display_data")]))
    nbformat.write(notebook, first)
    copied()
    assert not trusted(first) and all(map(trusted, others))


@pytest.fixture(autouse=True, scope="module")
def jupyter_of_its_own(tmp_path_factory):
    """Signatures of this file's copies stay out of the user's own Jupyter."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_DATA_DIR", str(tmp_path_factory.mktemp("jupyter")))
        yield


def test_a_copy_nobody_changed_is_renewed(tmp_path):
    source, folder = tmp_path / "new" / "a.ipynb", tmp_path / "copies"
    source.parent.mkdir()
    folder.mkdir()
    for edition in ("first", "second"):
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(edition)]), source)
        copy_unless_changed(source, folder)
        assert (folder / "a.ipynb").read_bytes() == source.read_bytes()


def test_the_readme_names_every_command_and_pipeline():
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    for entry in CATALOGUE.values():
        lesson = f"[{entry.lesson}](lessons/{entry.lesson}.ipynb)" if entry.lesson else "–"
        assert f"| `{entry.pipeline}` | {entry.paper} | {entry.task} | {lesson} | {entry.weights} |" in readme
    assert set(re.findall(r"`minidiff (\w+)", readme)) <= set(COMMANDS)
    assert set(COMMANDS) == set(parser()._subparsers._group_actions[0].choices)


def test_the_readme_has_the_two_commands():
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    install = 'python3 -m venv .venv && .venv/bin/pip install torch==2.13.0 -e ".[{}]" && .venv/bin/{}'
    commands = [line.strip() for line in readme.splitlines() if line.startswith("    python3")]
    assert commands == [install.format("lessons", "minidiff tour"), install.format("test", "pytest")]


def test_pairs_end_with_the_status_of_the_check(monkeypatch, capsys):
    from minidiff.papers.check import report

    monkeypatch.setattr(report, "run", lambda: 1)
    assert main(["pairs"]) == 1
    assert main(["pairs", "--letters"]) == 0
    assert "alpha_bar_t" in capsys.readouterr().out


def test_the_ledger_is_printed_whole_or_one_entry(capsys):
    assert main(["ledger"]) == 0
    whole = capsys.readouterr().out
    assert main(["ledger", "DDIM target"]) == 0
    entry = capsys.readouterr().out.strip()
    assert entry.startswith("DDIM target") and entry in whole and len(entry) < len(whole) / 4


def test_lessons_open_in_jupyterlab(tmp_path, monkeypatch, capsys):
    started = []

    def call(command, cwd):
        signal.raise_signal(signal.SIGINT)  # JupyterLab asks back; who did not wait would end it
        started.append((command[1:], cwd))
        return 0

    monkeypatch.setattr("subprocess.call", call)
    assert main(["lessons", str(tmp_path / "mine")]) == 0
    assert started == [(["-m", "jupyterlab", "00_start_here.ipynb"], tmp_path / "mine")]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["lessons", str(tmp_path / "mine")]) == 2
    assert "JupyterLab is not installed: pip install 'minidiff[lessons]'" in capsys.readouterr().err


def test_a_gated_repository_gets_one_line(monkeypatch, capsys):
    monkeypatch.setattr("minidiff.cli.load", lambda *arguments: (_ for _ in ()).throw(PermissionError("it is gated")))
    assert main(["generate", "ddim", "--weights", "some/gated", "--device", "cpu"]) == 2
    assert capsys.readouterr().err == "minidiff generate: it is gated\n"


def test_train_writes_measured_weights_into_a_folder_of_their_name(tmp_path, monkeypatch, capsys):
    from minidiff import DDIMPipeline, UNet2DModel
    from minidiff.zoo.recipes.storybook_ddpm import Recipe

    measure = Recipe.measure
    sizes = {"sample_size": 32, "block_out_channels": (4, 8), "norm_num_groups": 2, "layers_per_block": 1}
    blocks = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Recipe, "drawings", 60)
    monkeypatch.setattr(Recipe, "steps", 2)
    monkeypatch.setattr(Recipe, "network", lambda self: UNet2DModel(**sizes, **blocks))
    monkeypatch.setattr(Recipe, "measure", lambda self, *where: measure(self, *where, samples=100, steps=2))

    assert main(["train", "storybook-ddpm", "--steps", "1", "--out", "tried", "--device", "cpu"]) == 0
    assert capsys.readouterr().out == "The weights are in tried, not measured after fewer than 2 steps.\n"
    assert not (tmp_path / "tried" / "measures.json").exists()
    assert main(["train", "storybook-ddpm", "--steps", "3", "--device", "cpu"]) == 2
    assert "steps is 3; allowed is a whole number from 1 to 2" in capsys.readouterr().err
    assert not (tmp_path / "storybook-ddpm").exists()

    assert main(["train", "storybook-ddpm", "--device", "cpu"]) == 0
    folder = tmp_path / "storybook-ddpm"
    assert DDIMPipeline.from_pretrained(folder).unet.config.block_out_channels == (4, 8)
    measures = json.loads((folder / "measures.json").read_text())
    found = measures["measures"]
    assert measures["run"]["steps"] == 2 and found["images"] == 100 and found["named"] == found["intervals"]["named"][0]
    assert found["intervals"]["frechet"][0] == pytest.approx(found["frechet"], abs=1e-5)
    low, high = found["intervals"]["named"][1:]
    assert (
        f"| intervals: named | {found['named']:.4g} ({low:.4g} to {high:.4g}) |" in (folder / "README.md").read_text()
    )


STABLE = ("stable_diffusion", "stable_diffusion_img2img", "stable_diffusion_inpaint")


@pytest.fixture(scope="module")
def stable_weights(tmp_path_factory):
    """A folder with tiny Stable Diffusions under the names of their pipelines."""
    folder = tmp_path_factory.mktemp("stable")
    for name in STABLE:
        stable_pipelines.published(folder / name, 9 if name == "stable_diffusion_inpaint" else 4)
    return folder


@pytest.fixture
def stable(stable_weights, tmp_path, monkeypatch):
    """In a folder of its own the command knows Stable Diffusion, with tiny random weights beside it."""
    monkeypatch.chdir(tmp_path)
    for name in STABLE:
        monkeypatch.setitem(CATALOGUE, name, PIPELINES[name])
        (tmp_path / name).symlink_to(stable_weights / name)


def test_generate_with_stable_diffusion(stable, capsys):
    name = "stable_diffusion"
    first = generated(capsys, name, "--prompt", "a cat in snow")
    for options in (
        ("--negative", "snow"),
        ("--scale", "2"),
        ("--scheduler", "lms"),
        ("--scheduler", "euler_ancestral"),
    ):
        assert generated(capsys, name, "--prompt", "a cat in snow", *options).tobytes() != first.tobytes(), options
    assert generated(capsys, name, "--batch", "3").width > 3 * 32


def test_generate_from_a_sketch(stable, capsys):
    name = "stable_diffusion_img2img"
    drawn = generated(capsys, name, "--steps", "4")
    assert drawn.size == (32, 32)
    assert drawn.tobytes() != generated(capsys, name, "--steps", "4", "--prompt", "cat").tobytes()
    assert drawn.tobytes() != generated(capsys, name, "--steps", "4", "--strength", "0.3").tobytes()
    zoo.world.draw(seed=5, size=64).image.resize((96, 64)).save("mine.png")
    assert (
        drawn.tobytes() != generated(capsys, name, "--steps", "4", "--image", "mine.png", "--prompt", "cat").tobytes()
    )
    assert main(["generate", name, "--weights", name, "--strength", "1.5"]) == 2
    assert "strength is 1.5; allowed are numbers from 0 to 1" in capsys.readouterr().err


def test_generate_a_part_anew(stable, capsys):
    name = "stable_diffusion_inpaint"
    drawn = generated(capsys, name)
    Image.new("RGB", (96, 64), "white").save("mine.png")
    Image.new("L", (96, 64), 255).save("hole.png")
    Image.new("L", (64, 64), 255).save("small.png")
    given = generated(capsys, name, "--image", "mine.png", "--mask", "hole.png")
    assert drawn.tobytes() != given.tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees
    Image.new("RGB", (64, 96), "white").save("turned.png", exif=exif)
    turned = generated(capsys, name, "--image", "turned.png", "--mask", "hole.png")
    assert turned.tobytes() == given.tobytes()
    for options, message in (
        (("--image", "mine.png"), "--image and --mask belong together, and only --image is there"),
        (("--image", "mine.png", "--mask", "small.png"), "--mask is 64 x 64 and --image 96 x 64; allowed are masks as"),
        (("--image", "mine.png", "--mask", "none.png"), "none.png"),
    ):
        assert main(["generate", name, "--weights", name, *options]) == 2
        assert message in capsys.readouterr().err


def test_the_tour_shows_stable_diffusion(stable, stable_weights, capsys, monkeypatch):
    for name in set(CATALOGUE) - set(STABLE):
        monkeypatch.delitem(CATALOGUE, name)
    for name in STABLE:
        entry = PIPELINES[name]
        few = entry._replace(call=entry.call | {"num_inference_steps": 2})
        monkeypatch.setitem(CATALOGUE, name, few)
    monkeypatch.setattr("minidiff.zoo.path", lambda weights: stable_weights / of_weights[weights])
    of_weights = {"storybook-sd": "stable_diffusion", "storybook-sd-inpaint": "stable_diffusion_inpaint"}
    assert main(["tour", "--device", "cpu", "--out", "tour.png"]) == 0
    told = capsys.readouterr().out
    assert "STABLE_DIFFUSION: text to picture" in told and "STABLE_DIFFUSION_INPAINT: a part of a picture" in told
    assert Image.open("tour.png").width > 800


@pytest.mark.parametrize(
    "name, line",
    (
        ("stable_diffusion", "self.scheduler.step(eps_theta, t, z_t"),
        ("stable_diffusion_img2img", "noising.add_noise(z_0, eps"),
        ("stable_diffusion_inpaint", "(1 - m) * z_k + m * z_prev"),
        ("lms", "sum(c_j * d_j"),
        ("heun", "d_i / 2 + d_i_prime / 2"),
    ),
)
def test_read_shows_the_new_ones(name, line, capsys):
    assert main(["read", name]) == 0
    assert line in capsys.readouterr().out
