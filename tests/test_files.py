"""Reading broken files, and writing that a crash cannot turn into half a file."""

import errno
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import pytest
import safetensors
import torch

from minidiff import files


@pytest.fixture
def weights():
    return {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.float16)}


def contents(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


# -- finding


def test_what_is_no_folder_and_no_hub_id():
    for source in ("/no/such/folder", "./folder", "a/b/c", Path("folder/x"), "~/models", 7):
        with pytest.raises((FileNotFoundError, TypeError), match="is no folder, and no Hub id|path should be"):
            files.Repository(source)


def test_what_is_there(tmp_path):
    (tmp_path / "unet").mkdir()
    (tmp_path / "a.json").write_text("{}")
    repository = files.Repository(tmp_path)
    assert repository.has("a.json") and not repository.has("unet") and repository.has_folder("unet")
    with pytest.raises(FileNotFoundError, match="has no file b.json, c.json; there are a.json, unet"):
        repository.fetch(["a.json", "b.json", "c.json"])


NAMES = ("model.safetensors", "pytorch_model.bin")


@pytest.mark.parametrize(
    "there, variant, chosen",
    [
        (["model.safetensors", "pytorch_model.bin"], None, "model.safetensors"),
        (["model.safetensors", "model.fp16.safetensors"], "fp16", "model.fp16.safetensors"),
        (["model.safetensors", "pytorch_model.fp16.bin"], "fp16", "pytorch_model.fp16.bin"),
        (["pytorch_model.bin"], None, "pytorch_model.bin"),
    ],
)
def test_safetensors_go_before_pickles_and_never_both(tmp_path, there, variant, chosen):
    (tmp_path / "unet").mkdir()
    for name in there:
        (tmp_path / "unet" / name).touch()
    assert files.Repository(tmp_path).weight_files("unet", NAMES, variant) == [f"unet/{chosen}"]


@pytest.mark.parametrize(
    "variant, index", [(None, "model.safetensors.index.json"), ("fp16", "model.safetensors.index.fp16.json")]
)
def test_shards(tmp_path, weights, variant, index):
    files.write_weights(tmp_path / "1.safetensors", {"a": weights["a"]})
    files.write_weights(tmp_path / "2.safetensors", {"b": weights["b"]})
    files.write_json(tmp_path / index, {"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}})
    repository = files.Repository(tmp_path)
    names = repository.weight_files(None, NAMES, variant)
    assert names == [index, "1.safetensors", "2.safetensors"]
    found = repository.read_weights(names)
    assert torch.equal(found["a"], weights["a"]) and torch.equal(found["b"], weights["b"])
    (tmp_path / "2.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="no file 2.safetensors"):
        repository.read_weights(names)


@pytest.mark.parametrize("shards", [None, {"a": "../elsewhere.safetensors"}, {"a": 3}, ["a"]])
def test_an_index_names_files_beside_it(tmp_path, shards):
    files.write_json(tmp_path / "model.safetensors.index.json", {"weight_map": shards})
    with pytest.raises(ValueError, match="index.json has no weight_map"):
        files.Repository(tmp_path).weight_files(None, NAMES)


def test_no_weights(tmp_path):
    (tmp_path / "config.json").touch()
    with pytest.raises(
        FileNotFoundError, match="no weights: none of model.safetensors, .*pytorch_model.bin.*there are config.json"
    ):
        files.Repository(tmp_path).weight_files(None, NAMES)


# -- reading


@pytest.mark.parametrize("name", ["w.safetensors", "w.bin"])
def test_weights_that_are_cut_off_name_the_file(tmp_path, weights, name):
    path = tmp_path / name
    files.write_weights(path, weights) if name == "w.safetensors" else torch.save(weights, path)
    assert torch.equal(files.read_weights(path)["a"], weights["a"])
    whole = path.read_bytes()
    for length in (0, 5, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=f"{name} cannot be read, it may be cut off"):
            files.read_weights(path)


class Dangerous:
    def __reduce__(self):
        return Path.touch, (Path("touched-by-pickle"),)


def test_a_pickle_of_old_that_is_cut_off(tmp_path, weights):
    """Before it was a zip file; where it breaks off, many kinds of errors come."""
    path = tmp_path / "old.bin"
    torch.save(weights, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="old.bin cannot be read, it may be cut off"):
            files.read_weights(path)


def test_a_pickle_cannot_run_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Dangerous()}, "w.bin")
    with pytest.raises(ValueError, match="w.bin cannot be read"):
        files.read_weights(Path("w.bin"))
    assert not Path("touched-by-pickle").exists()


def test_a_pickle_of_something_else(tmp_path):
    torch.save({"a": 3}, tmp_path / "w.bin")
    with pytest.raises(ValueError, match="something else than tensors by name"):
        files.read_weights(tmp_path / "w.bin")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_none(tmp_path, weights, bad):
    weights["b"][2] = bad
    files.write_weights(tmp_path / "w.safetensors", weights)
    with pytest.raises(ValueError, match="w.safetensors has NaN or infinite numbers in 1: b"):
        files.read_weights(tmp_path / "w.safetensors")


def test_weights_say_who_wrote_them(tmp_path, weights):
    files.write_weights(tmp_path / "w.safetensors", weights | {"turned": weights["a"].T})
    with safetensors.safe_open(tmp_path / "w.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"} and torch.equal(file.get_tensor("turned"), weights["a"].T)


# -- writing


def write_new(folder):
    with files.saving(folder) as new:
        files.write_json(new / "model_index.json", {"new": 1})
        files.write_json(new / "unet" / "config.json", {"new": 2})
        (new / "z.txt").write_text("new")


NEW = {"model_index.json": '{\n  "new": 1\n}\n', "unet/config.json": '{\n  "new": 2\n}\n', "z.txt": "new"}


@pytest.fixture
def old(tmp_path):
    folder = tmp_path / "saved"
    (folder / "unet").mkdir(parents=True)
    for name in ("model_index.json", "unet/config.json", "unet/config.json.index.json", "notes.txt"):
        (folder / name).write_text("old")
    return folder


def test_a_new_folder_is_readable_by_others(tmp_path):
    write_new(tmp_path / "deep" / "saved")
    plain = tmp_path / "plain"
    plain.mkdir()
    assert contents(tmp_path / "deep" / "saved") == NEW
    assert (tmp_path / "deep" / "saved").stat().st_mode == plain.stat().st_mode
    assert os.listdir(tmp_path / "deep") == ["saved"]  # no temporary folder stays


def test_into_an_existing_folder_other_files_stay(old):
    write_new(old)
    assert contents(old) == NEW | {"notes.txt": "old"}  # an index of shards that are no longer the weights does not
    assert os.listdir(old.parent) == ["saved"]


def test_contents_reach_the_disk_before_names_do(tmp_path, monkeypatch):
    order = []
    for name in ("fsync", "rename"):
        true = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *args, name=name, true=true: order.append(name) or true(*args))
    write_new(tmp_path / "saved")
    assert order == ["fsync"] * 3 + ["rename"]


def test_relative_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_new("saved")
    write_new(".")
    assert contents(tmp_path / "saved") == NEW and (tmp_path / "z.txt").exists()


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "saved").touch()
    with pytest.raises(NotADirectoryError, match="it is a file"):
        write_new(tmp_path / "saved")


CALLS = [(os, "replace"), (os, "rename"), (os, "fsync"), (Path, "write_text"), (Path, "mkdir"), (Path, "unlink")]


def crash_at(monkeypatch, number):
    """Every call that changes the disk is counted, and the one of this number fails, as on a full disk."""
    count = [0]
    for owner, name in CALLS:
        true = getattr(owner, name)

        def counted(*args, true=true, **kwargs):
            count[0] += 1
            if count[0] == number:
                raise OSError(errno.ENOSPC, "disk is full")
            return true(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)


@pytest.mark.parametrize("exists", [False, True])
def test_a_crash_at_any_step_leaves_whole_files(tmp_path, monkeypatch, exists):
    steps = 0
    for number in range(1, 40):
        parent = tmp_path / str(number)
        folder = parent / "saved"
        before = {}
        if exists:
            (folder / "unet").mkdir(parents=True)
            (folder / "model_index.json").write_text("old")
            (folder / "unet" / "config.json").write_text("old")
            (folder / "notes.txt").write_text("old")
            before = contents(folder)
        else:
            parent.mkdir()
        with monkeypatch.context() as patched:
            crash_at(patched, number)
            try:
                write_new(folder)
                crashed = False
            except OSError as error:
                assert error.errno == errno.ENOSPC
                crashed = True
        if not crashed:
            break
        steps += 1
        after = contents(folder) if folder.exists() else {}
        assert os.listdir(parent) in ([], ["saved"])
        if not exists:
            assert after in ({}, NEW)  # all or nothing
        assert before.keys() <= after.keys()
        assert all(text in (before.get(name), NEW.get(name)) for name, text in after.items())
        if after.get("model_index.json") == NEW["model_index.json"]:
            assert NEW.items() <= after.items()  # it comes last
        shutil.rmtree(parent)
    assert contents(folder) == before | NEW and steps >= 8


def test_a_new_subfolder_appears_whole(tmp_path, monkeypatch):
    """In a flat repository the files of the root count until there is a subfolder, so a part of one would hide them."""
    for number in range(1, 40):
        folder = tmp_path / str(number) / "saved"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("flat")
        with monkeypatch.context() as patched:
            crash_at(patched, number)
            try:
                write_new(folder)
                break
            except OSError:
                after = contents(folder)
        assert "unet/config.json" in after or not (folder / "unet").exists()
    assert contents(folder) == {"config.json": "flat"} | NEW and number > 8


def test_a_link_leads_to_the_folder_that_is_written(tmp_path, monkeypatch):
    """What is written first must lie beside the folder itself: beside the link may be another file system."""
    (tmp_path / "there" / "far").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "there" / "far")
    made = []
    true = tempfile.mkdtemp
    monkeypatch.setattr(tempfile, "mkdtemp", lambda **options: made.append(options["dir"]) or true(**options))
    write_new(tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and contents(tmp_path / "there" / "far") == NEW
    assert made == [tmp_path / "there"] and os.listdir(tmp_path / "there") == ["far"]


def test_a_mounted_folder_has_no_sibling(tmp_path, monkeypatch):
    """What lies beside the folder is another file system then, from which nothing can be renamed into it."""
    (tmp_path / "volume").mkdir()
    monkeypatch.setattr(Path, "is_mount", lambda self: self.name == "volume")
    made = []
    true = tempfile.mkdtemp
    monkeypatch.setattr(tempfile, "mkdtemp", lambda **options: made.append(options["dir"]) or true(**options))
    write_new(tmp_path / "volume")
    assert made == [tmp_path / "volume"] and contents(tmp_path / "volume") == NEW


def test_an_interrupt_while_writing_changes_nothing(old):
    before = contents(old)
    with pytest.raises(KeyboardInterrupt):
        with files.saving(old) as new:
            (new / "notes.txt").write_text("half")
            raise KeyboardInterrupt
    assert contents(old) == before and os.listdir(old.parent) == ["saved"]


# -- where and beside whom


def test_another_process_may_be_faster(tmp_path, monkeypatch):
    """Between the question whether the folder is there and the rename, another process saved."""
    true = os.rename

    def rename(old, new):
        if not os.path.exists(new):
            shutil.copytree(old, new)
        true(old, new)

    monkeypatch.setattr(os, "rename", rename)
    write_new(tmp_path / "saved")
    assert contents(tmp_path / "saved") == NEW and os.listdir(tmp_path) == ["saved"]
    (tmp_path / "flat").mkdir()
    write_new(tmp_path / "flat")  # the same for its subfolders
    assert contents(tmp_path / "flat") == NEW


def test_many_processes_save_to_one_new_folder(tmp_path):
    code = (
        "import sys, time; from minidiff import files\n"
        "sys.stdin.readline()\n"
        "with files.saving(sys.argv[1]) as new:\n"
        "    for k in range(20): files.write_json(new / 'part' / f'{k}.json', {'k': k})\n"
    )
    start = dict(stdin=subprocess.PIPE, text=True)
    processes = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "saved")], **start) for _ in range(4)]
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0] * 4 and os.listdir(tmp_path) == ["saved"]
    assert all(files.read_json(tmp_path / f"saved/part/{k}.json") == {"k": k} for k in range(20))


def no_temporary_folder_in(monkeypatch, parent):
    true = tempfile.mkdtemp

    def mkdtemp(*args, dir=None, **kwargs):
        if Path(dir) == parent:
            raise PermissionError(errno.EACCES, "may not be written to", str(dir))
        return true(*args, dir=dir, **kwargs)

    monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)


def test_only_the_folder_itself_may_be_written_to(old, monkeypatch):
    no_temporary_folder_in(monkeypatch, old.parent)
    write_new(old)
    assert contents(old) == NEW | {"notes.txt": "old"}
    with pytest.raises(PermissionError, match="may not be written to"):
        write_new(old.parent / "new")


def test_a_long_name(tmp_path):
    write_new(tmp_path / ("n" * 250))
    assert contents(tmp_path / ("n" * 250)) == NEW


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0f0f\nsize 143022152\n"


@pytest.mark.parametrize("name", ["a.safetensors", "a.bin", "config.json"])
def test_a_pointer_of_git_lfs_is_called_one(tmp_path, name):
    (tmp_path / name).write_text(POINTER)
    read = files.read_json if name.endswith("json") else files.read_weights
    with pytest.raises(ValueError, match=f"{name} is a pointer of git-lfs, .*git lfs pull"):
        read(tmp_path / name)


def test_no_advice_that_opens_a_door_is_passed_on(tmp_path):
    torch.save({"a": pathlib.PurePosixPath("x")}, tmp_path / "a.bin")
    with pytest.raises(ValueError, match="holds more than tensors, which is never read") as caught:
        files.read_weights(tmp_path / "a.bin")
    shown = "".join(traceback.format_exception(caught.value))
    assert "weights_only" not in shown and "safe_globals" not in shown


def test_what_is_saved_is_whole_or_the_old(tmp_path, monkeypatch):
    file = tmp_path / "checkpoint.pt"
    files.save({"step": torch.tensor(1)}, file)

    def full(*paths):
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        files.save({"step": torch.tensor(2)}, file)
    assert torch.load(file, weights_only=True)["step"] == 1
    assert [left.name for left in tmp_path.iterdir()] == ["checkpoint.pt"]
