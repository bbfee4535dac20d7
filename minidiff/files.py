"""Finding, reading and writing the files of a model: in a folder or on the Hub, and never half a file.

A repository holds `model_index.json` and either one folder a component or all of them in the root ("flat"):

    scheduler_config.json                            a scheduler
    config.json                                      a model, and its weights, the first of these that is there:
    diffusion_pytorch_model.safetensors
    diffusion_pytorch_model.safetensors.index.json   the weights in several files, and which tensor lies in which
    diffusion_pytorch_model.bin, .bin.index.json     the same as pickles, as they were published at first

A variant stands before the last dot: diffusion_pytorch_model.fp16.safetensors, ...safetensors.index.fp16.json.
"""

import contextlib
import errno
import io
import json
import os
import shutil
import tempfile
from pathlib import Path

import safetensors
import safetensors.torch
import torch

LFS_POINTER = b"version https://git-lfs"
DISK_ERRORS = (errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT)  # not the network's fault


class Repository:
    """The files of a folder, or of a repository on the Hub, by their names in it.

    Args:
        source: a folder, or a Hub id such as "google/ddpm-cifar10-32". A folder that exists goes first.
        revision: a branch, tag or commit of the Hub's repository; its main branch if None.
        cache_dir: where downloads are kept; the cache of huggingface_hub if None.
        token: for private repositories; what `hf auth login` stored if None.
        local_files_only: use the cache and no network.
    Raises:
        FileNotFoundError: there is no such folder or repository, or the Hub is out of reach and the cache does not
            hold it.
        PermissionError: the repository asks for its terms to be accepted first, or the Hub refuses the token.
    """

    def __init__(self, source, revision=None, cache_dir=None, token=None, local_files_only=False):
        self.source = source
        self.hub = dict(revision=revision, cache_dir=cache_dir, token=token)
        self.root = None  # the folder on this machine that holds the files, once there is one
        self.names = None  # of the files on the Hub; None where `root` holds all there is
        self.fetched = set()  # names of files that lie under `root` for certain
        if os.path.isdir(source):
            self.root = Path(source)
            return
        if not is_hub_id(source):
            raise FileNotFoundError(f"{str(source)!r} is no folder, and no Hub id such as 'google/ddpm-cifar10-32'")
        if local_files_only:
            self.root = self.cached("local_files_only is True")
            return
        try:
            self.names = self.listed()
        except ConnectionError as error:
            self.root = self.cached(str(error))

    def listed(self):
        """set of str: the names of the files on the Hub; ConnectionError if it is out of reach."""
        from huggingface_hub import HfApi

        with self.clear_errors():
            info = HfApi().model_info(self.source, revision=self.hub["revision"], timeout=10, token=self.hub["token"])
        return {file.rfilename for file in info.siblings}

    def cached(self, why):
        """Path: the folder in which huggingface_hub keeps what it downloaded before."""
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            # No patterns: which of its files are there, we see when we look for them.
            return Path(snapshot_download(self.source, **self.hub, local_files_only=True, allow_patterns=[]))
        except LocalEntryNotFoundError:
            raise FileNotFoundError(
                f"{self.source!r} is no folder here and not in the cache of earlier downloads, and {why}. "
                "Try again with a network, or pass the path of a folder that holds the files"
            ) from None

    @contextlib.contextmanager
    def clear_errors(self):
        """Inside it the many errors of huggingface_hub become a few, which say what to do."""
        from huggingface_hub.errors import (
            GatedRepoError,
            HfHubHTTPError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )

        try:
            yield
        except GatedRepoError as error:
            raise PermissionError(
                f"{self.source!r} is gated: accept its terms on its page on the Hub, "
                "then pass the token of that account as token=..."
            ) from error
        except RepositoryNotFoundError as error:
            raise FileNotFoundError(
                f"{self.source!r} is neither a folder here nor a repository on the Hub that we may read; "
                "for a private one pass token=..."
            ) from error
        except RevisionNotFoundError as error:
            raise FileNotFoundError(
                f"revision is {self.hub['revision']!r}; {self.source!r} on the Hub has none of that name"
            ) from error
        except OSError as error:
            if isinstance(error, HfHubHTTPError) and error.response.status_code in (401, 403):
                said = error.server_message or str(error).splitlines()[0]
                raise PermissionError(f"the Hub refuses {self.source!r} with this token: {said}") from error
            if error.errno in DISK_ERRORS:
                raise
            raise ConnectionError(f"the Hub cannot be reached ({error})") from error
        except Exception as error:  # no name server, no route, a server that is down: each has a class of its own
            raise ConnectionError(f"the Hub cannot be reached ({error or type(error).__name__})") from error

    def has(self, name):
        return name in self.names if self.names is not None else (self.root / name).is_file()

    def has_folder(self, name):
        if self.names is not None:
            return any(file.startswith(f"{name}/") for file in self.names)
        return (self.root / name).is_dir()

    def fetch(self, names):
        """Make sure that these files lie under `root`, and download no others.

        Raises:
            FileNotFoundError: one of them does not exist.
        """
        if absent := [name for name in names if not self.has(name)]:
            raise FileNotFoundError(f"{self.source} has no file {', '.join(absent)}{self.what_is_there()}")
        if self.names is not None and not self.fetched.issuperset(names):
            from huggingface_hub import snapshot_download

            with self.clear_errors():
                self.root = Path(snapshot_download(self.source, **self.hub, allow_patterns=list(names)))
            self.fetched.update(names)

    def what_is_there(self):
        """str: a remark for errors."""
        if self.names is None and not any(self.root.iterdir()):
            return ": the folder is empty"
        if self.names is None and self.root != Path(self.source):
            return ": the cache of earlier downloads lacks it, and the Hub was not asked or not reached"
        names = sorted(self.names if self.names is not None else (path.name for path in self.root.iterdir()))
        return f"; there are {', '.join(names[:10])}{', ...' if len(names) > 10 else ''}"

    def path(self, name):
        """Path: where the file `name` lies on this machine."""
        self.fetch([name])
        return self.root / name

    def read_json(self, name):
        """dict: the content of a JSON file."""
        return read_json(self.path(name))

    def weight_files(self, folder, names, variant=None, use_safetensors=None):
        """list of str: the weights' files in `folder`; in front of several, the index that names them.

        Args:
            names: the names they can have, the best first.
            use_safetensors: True leaves out those that are pickles.
        Raises:
            FileNotFoundError: there is none.
        """
        if use_safetensors not in (None, True):
            raise ValueError(
                f"use_safetensors is {use_safetensors!r}; allowed is None or True: pickles are read where there is "
                "nothing else"
            )
        candidates = []
        for name in names if not use_safetensors else [name for name in names if name.endswith(".safetensors")]:
            single = join(folder, with_variant(name, variant))
            index = join(folder, with_variant(f"{name}.index.json", variant))
            if self.has(single):
                return [single]
            if self.has(index):
                return [index, *(join(folder, shard) for shard in sorted(set(self.shard_of_tensor(index).values())))]
            candidates += [single, index]
        raise FileNotFoundError(f"{self.source} has no weights: none of {', '.join(candidates)}{self.what_is_there()}")

    def shard_of_tensor(self, index):
        """dict: tensor's name -> name of the file beside `index` that holds it."""
        shards = self.read_json(index).get("weight_map")
        names = shards.values() if isinstance(shards, dict) else [None]
        if not all(isinstance(name, str) and name == Path(name).name for name in names):
            raise ValueError(f"{self.path(index)} has no weight_map from tensors to files beside it")
        return shards

    def read_weights(self, names):
        """dict of str to tensor: what the files hold that `weight_files` listed."""
        self.fetch(names)
        weights = {}
        for name in names:
            if not name.endswith(".json"):
                weights |= read_weights(self.root / name)
        return weights


def is_hub_id(source):
    """bool: whether `source` could be the name of a repository, "owner/name"."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(source)
    except HFValidationError:
        return False
    return True


def join(folder, name):
    """str: the name of a file in `folder`, which may be None for the root."""
    return f"{folder}/{name}" if folder else name


def with_variant(name, variant):
    """str: "a.safetensors" -> "a.fp16.safetensors" for variant "fp16"."""
    stem, _, ending = name.rpartition(".")
    return f"{stem}.{variant}.{ending}" if variant else name


def read_json(path):
    """dict: the content of a JSON file, which must be an object.

    Raises:
        ValueError: it is not; the message names the file and the line.
    """
    refuse_pointer(path)
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}, is not valid JSON: {error.msg}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not valid JSON: it is not text") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a JSON {type(content).__name__}; allowed is an object, {{...}}")
    return content


def write_json(path, content):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def refuse_pointer(path):
    """Raises ValueError for the note that git leaves in the place of a large file where git-lfs is not installed."""
    with open(path, "rb") as file:
        if file.read(len(LFS_POINTER)) == LFS_POINTER:
            raise ValueError(
                f"{path} is a pointer of git-lfs, a note that stands for the file itself: install git-lfs and run "
                "`git lfs pull` in that clone, or download the file"
            )


def read_weights(path):
    """dict of str to tensor: what a .safetensors or .bin file holds, on the CPU. Of pickles only tensors are accepted.

    Raises:
        ValueError: the file is cut off, is no file of weights, or holds a number that is infinite or none at all.
    """
    refuse_pointer(path)
    try:
        if path.suffix == ".safetensors":
            # Copies, for the file stays mapped otherwise: who writes it anew would change the network.
            tensors = {name: tensor.clone() for name, tensor in safetensors.torch.load_file(path).items()}
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # a broken pickle fails in more ways than one can name
        # torch advises to let a pickle run its code, so its words end here.
        why = f": {error}" if path.suffix == ".safetensors" else ", or holds more than tensors, which is never read"
        raise ValueError(f"{path} cannot be read, it may be cut off{why}") from None
    if not isinstance(tensors, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
        raise ValueError(f"{path} holds something else than tensors by name")
    if broken := [
        name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()
    ]:
        raise ValueError(f"{path} has NaN or infinite numbers in {some(broken)}")
    return tensors


def write_weights(path, tensors):
    path.parent.mkdir(parents=True, exist_ok=True)
    # Readers such as transformers ask which library wrote the file.
    safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, {"format": "pt"})


def replace(path, content):
    """Write `content`, bytes, to a file; until it is whole, the old one stays."""
    path = Path(path).resolve()  # a link stays one
    if path.exists() and not path.is_file():
        path.write_bytes(content)  # a device; a folder is an error
        return
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_bytes(content)
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)


def save(state, path):
    """`torch.save`; until the file is whole, the old one stays."""
    whole = io.BytesIO()
    torch.save(state, whole)
    replace(path, whole.getbuffer())


def some(names):
    """str: how many names, and the first ten."""
    names = list(names)
    return f"{len(names)}: {', '.join(map(str, names[:10]))}{', ...' if len(names) > 10 else ''}"


@contextlib.contextmanager
def saving(folder):
    """Write files so that a crash leaves no half ones: `with saving(folder) as new:` write into the folder `new`.

    At the end of the block a new `folder` appears whole, by one rename. Into one that exists go new subfolders, each
    whole, then the other files one by one, model_index.json last; what else lies there stays. After an exception
    `folder` is as it was, or holds some new files whole.

    Raises:
        NotADirectoryError: `folder` is a file.
    """
    folder = Path(folder).resolve()  # beside a link there may be another file system
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"cannot save into {folder}: it is a file")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(folder)
    try:
        new = temporary / "new"
        new.mkdir()
        yield new
        files = sorted(
            (path for path in new.rglob("*") if path.is_file()), key=lambda path: path.name == "model_index.json"
        )
        for file in files:
            with open(file, "rb+") as written:
                os.fsync(written.fileno())  # else a name may outlive a power cut and its content not
        if moved_whole(new, folder):
            return
        # A new subfolder hides files of the root ("flat"), so half of one would take away what was there.
        for subfolder in [path for path in new.iterdir() if path.is_dir()]:
            moved_whole(subfolder, folder / subfolder.name)
        for file in [file for file in files if file.exists()]:
            target = folder / file.relative_to(new)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, target)
            # Weights that were in several files are now in one: diffusers would still follow the old index.
            target.with_name(f"{target.name}.index.json").unlink(missing_ok=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def temporary_beside(folder):
    """Path: a new folder, beside `folder` if may be, and on its file system, where a rename is a single act."""
    if not folder.is_mount():
        try:
            return Path(tempfile.mkdtemp(prefix=".saving-", dir=folder.parent))
        except OSError:
            if not folder.is_dir():
                raise
    return Path(tempfile.mkdtemp(prefix=".saving-", dir=folder))  # where only the folder itself may be written


def moved_whole(new, folder):
    """bool: whether the folder `new` is now called `folder`; not where there is one, of another process, say."""
    if folder.exists():
        return False
    try:
        os.rename(new, folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True
