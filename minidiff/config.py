"""What an object was made with: the arguments of its constructor, kept, saved to a JSON file and read back.

class DDPMScheduler(Configurable):
    config_file = "scheduler_config.json"

    @configured
    def __init__(self, num_train_timesteps=1000, beta_start=1e-4): ...

scheduler = DDPMScheduler(beta_start=2e-4)
scheduler.config.num_train_timesteps             # 1000: every argument, defaults included
LMSScheduler.from_config(scheduler.config)       # takes beta_start, and nothing that nobody asked for
"""

import functools
import inspect
import json
import numbers
from collections.abc import Mapping, Sequence

from minidiff import files
from minidiff.signatures import LOADING, SAVING, leaving_out, nearest, refuse_left_out, refuse_unknown

# diffusers demands a version in model_index.json, and "corrects" files of its first months (a Stable Diffusion UNet's
# sample_size, a scheduler's steps_offset). What we write means what it says to this version.
DIFFUSERS_VERSION = "0.42.1"


class Config(dict):
    """The arguments of a constructor as a dict that nobody can change, and whose keys are attributes too.

    Args:
        values: every argument with its value, defaults included.
        given: the keys that were passed or read from a file; the others stand at their default because nobody gave
            them.
        others: keys of a file that this class does not use. Another class may (a file for PNDM holds DDIM's
            `clip_sample`), so they are handed on and saved, but are no entries of the dict.
    """

    def __init__(self, values, given=(), others=None):
        super().__init__(values)
        self.__dict__.update(given=frozenset(given), others=dict(others or {}))

    def __getattr__(self, key):
        if key not in self:
            raise AttributeError(f"the config has no key {key!r}{nearest(key, self)}")
        return self[key]

    def __setattr__(self, key, value):
        raise AttributeError(f"the config is read-only: register_to_config({key}={value!r}) of its owner changes it")

    def refuse_change(self, *args, **kwargs):
        raise TypeError("the config is read-only: register_to_config(...) of its owner changes it")

    __setitem__ = __delitem__ = __ior__ = update = setdefault = pop = popitem = clear = refuse_change

    def __reduce__(self):
        return Config, (dict(self), self.given, self.others)

    def __repr__(self):
        return f"Config({', '.join(f'{key}={value!r}' for key, value in self.items())})"

    def to_json_string(self):
        return json.dumps(self, indent=2)

    def handed_on(self):
        """dict: what another class made from this config gets to see."""
        return self.others | {key: value for key, value in self.items() if key in self.given}


def configured(init):
    """Decorate `__init__`: its arguments become `self.config` before its first line runs.

    Sequences, arrays and dicts arrive as `frozen` copies, which can be neither changed nor fail to be saved.

    Raises (when the object is made):
        TypeError: an argument is unknown (with the nearest known name), missing, or given twice.
        ValueError: an argument asks for a feature of diffusers that is left out (`Configurable.left_out`).
    """
    signature = inspect.signature(init)
    known = list(signature.parameters)[1:]

    @functools.wraps(init)
    def with_config(self, *args, **kwargs):
        name = type(self).__name__
        refuse_left_out(name, type(self).left_out, kwargs)
        kwargs = {key: value for key, value in kwargs.items() if key in known or key not in type(self).left_out}
        refuse_unknown(name, kwargs, known)
        try:
            bound = signature.bind(self, *args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{name}: {error}") from None
        given = {key: frozen(value) for key, value in list(bound.arguments.items())[1:]}
        bound.arguments.update(given)
        bound.apply_defaults()
        if "config" not in self.__dict__:  # a subclass that calls super().__init__ keeps its own
            # Not `self.config = ...`: a torch Module takes no attributes before its own __init__ ran.
            self.__dict__["config"] = Config({key: frozen(bound.arguments[key]) for key in known}, given)
        init(*bound.args, **bound.kwargs)

    return with_config


class Configurable:
    """Base of what is made from a config file: schedulers as they are, models together with their weights.

    The config's keys are attributes of the object too, as scripts read them: `scheduler.num_train_timesteps`. A class
    of your own that extends one of these is known by its name as soon as it is defined, and saves and loads as ours do.

    Class attributes:
        config_file: the file's name in a saved folder.
        legacy_names: old key -> new key, for files from before a rename.
        left_out: a key of diffusers whose feature is left out here -> the value, or tuple of values, that switches it
            off. At such a value the key is ignored; at any other it is an error, for silence would be a wrong picture.
        always_saved: keys written even at their default, because diffusers has another one.
        library: where model_index.json says that the class lives: for ours "diffusers", so that diffusers finds its
            own of the same name; for a class of your own the package that defines it.
    """

    config_file = "config.json"
    legacy_names = {}
    left_out = {}
    always_saved = ()
    library = "diffusers"
    _subclasses = {}  # name -> class, of those that others define

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        package = cls.__module__.split(".")[0]
        if package != "minidiff":
            cls.library = cls.__dict__.get("library", package)
            Configurable._subclasses[cls.__name__] = cls

    def __getattr__(self, name):
        config = self.__dict__.get("config", {})
        if name in config:
            return config[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{nearest(name, {*dir(self), *config})}")

    def __repr__(self):
        return f"{type(self).__name__}({repr(self.config).removeprefix('Config(')}"

    @classmethod
    @leaving_out(return_unused_kwargs=False)
    def from_config(cls, config, **changes):
        """Make an object from a config.

        Args:
            config: a mapping, such as a file's content, or another object's `config`, or that object. Keys that this
                class does not know are ignored; keys that stand at their default because nobody gave them are not
                carried over.
            changes: arguments that replace the config's.
        Raises:
            TypeError: `config` is no mapping; a name in `changes` is unknown.
            ValueError: the config asks for a feature that is left out.
        """
        config = getattr(config, "config", config)
        if not isinstance(config, Mapping):
            raise TypeError(
                f"config is {config!r}; allowed is a mapping, or an object with a config. "
                f"{cls.__name__}.from_pretrained reads folders"
            )
        known = argument_names(cls)
        refuse_unknown(cls.__name__, changes, known + list(cls.left_out))
        asked = cls.updated(handed_on(config)) | changes
        made = cls(**{key: value for key, value in asked.items() if key in known or key in cls.left_out})
        others = {key: frozen(value) for key, value in asked.items() if key not in known}
        made.__dict__["config"] = Config(made.config, made.config.given, others)
        return made

    @classmethod
    def updated(cls, config):
        """dict: a file's `config` with the keys of today. A class whose old values changed too extends this."""
        renamed = {cls.legacy_names[key]: value for key, value in config.items() if key in cls.legacy_names}
        return renamed | {key: value for key, value in config.items() if key not in cls.legacy_names}

    @classmethod
    @leaving_out(**LOADING, return_commit_hash=False)
    def load_config(cls, pretrained_model_name_or_path, *, subfolder=None, **hub):
        """dict: the content of the config file in a folder or Hub repository; see `from_pretrained`."""
        return files.Repository(pretrained_model_name_or_path, **hub).read_json(files.join(subfolder, cls.config_file))

    @classmethod
    @leaving_out(**LOADING)
    def from_pretrained(
        cls,
        pretrained_model_name_or_path,
        subfolder=None,
        *,
        revision=None,
        cache_dir=None,
        token=None,
        local_files_only=False,
        **changes,
    ):
        """Make an object from the config file in a folder or in a repository on the Hub.

        Args:
            pretrained_model_name_or_path: a folder, or a Hub id such as "google/ddpm-cifar10-32".
            subfolder: where in it the file lies, such as "scheduler".
            revision, cache_dir, token, local_files_only: as in huggingface_hub; see `minidiff.files.Repository`.
            changes: arguments that replace the file's, such as timestep_spacing="trailing".
        Raises:
            FileNotFoundError: the folder, the repository or the file does not exist.
            ValueError: the file is no JSON object, or asks for a feature that is left out.
            TypeError: a name in `changes` is unknown.
        """
        hub = dict(revision=revision, cache_dir=cache_dir, token=token, local_files_only=local_files_only)
        return cls.from_config(cls.load_config(pretrained_model_name_or_path, subfolder=subfolder, **hub), **changes)

    @classmethod
    def described_in(cls, repository, folder, **changes):
        """What the config file in a `files.Repository` asks for; a model is still to be filled by `read_weights`."""
        return cls.from_config(repository.read_json(files.join(folder, cls.config_file)), **changes)

    @classmethod
    def weight_files(cls, repository, folder, variant=None, use_safetensors=None):
        """list of str: the names of the files in `repository` that hold weights; a scheduler has none."""
        return []

    def read_weights(self, repository, names, torch_dtype=None):
        """Returns the object, filled from the files `names`, which `weight_files` listed."""
        return self

    def register_to_config(self, **changes):
        """Change the config of an object that lives, after its parts were changed: one more input channel, say.

        A key that this class does not know is saved with the others and handed on.

        Raises:
            ValueError: it asks for a feature that is left out.
        """
        refuse_left_out(type(self).__name__, type(self).left_out, changes)
        old, changes = self.config, {key: frozen(value) for key, value in changes.items()}
        known = {key: value for key, value in changes.items() if key in old and value != old[key]}
        others = {key: value for key, value in changes.items() if key not in old and key not in type(self).left_out}
        self.__dict__["config"] = Config({**old, **known}, old.given | known.keys(), old.others | others)

    @leaving_out(**SAVING)
    def save_config(self, save_directory):
        """Write the config file into `save_directory`, which is made if need be."""
        with files.saving(save_directory) as new:
            self.write_config(new)

    @leaving_out(**SAVING)
    def save_pretrained(self, save_directory, *, variant=None):
        """Write all that `from_pretrained` needs; at a crash the folder holds each file whole, old or new.

        Args:
            variant: stands in the name of the weights' file, such as "fp16"; nothing is converted.
        Raises:
            ValueError: a network's weights do not fit its config, so that nothing could load them.
            NotADirectoryError: `save_directory` is a file.
        """
        with files.saving(save_directory) as new:
            self.write_to(new, variant)

    def write_to(self, folder, variant=None):
        """Write the files of this component into `folder`, a plain one; `save_pretrained` makes that safe."""
        self.write_config(folder)

    def write_config(self, folder):
        files.write_json(folder / self.config_file, self.saved_config())

    def saved_config(self):
        """dict: what the config file holds; a key that nobody gave stays out, and is a default again when loaded."""
        asked = self.config.handed_on() | {key: self.config[key] for key in self.always_saved}
        header = {"_class_name": type(self).__name__, "_diffusers_version": DIFFUSERS_VERSION}
        return header | dict(sorted(asked.items()))

    def to_json_string(self):
        """str: the content of the config file."""
        return json.dumps(self.saved_config(), indent=2)


def argument_names(cls):
    """list of str: the names of the arguments of a class's constructor."""
    return list(inspect.signature(cls.__init__).parameters)[1:]


def handed_on(config):
    """dict: the keys of `config`, a mapping, that somebody gave."""
    if isinstance(config, Config):
        return config.handed_on()
    defaulted = config.get("_use_default_values", ())  # how a config of diffusers remembers the same
    # Keys with an underscore are remarks of the library that wrote the file; the class is the reader's to choose.
    return {key: value for key, value in config.items() if key not in defaulted and not key.startswith("_")}


def check_one_of(argument, value, allowed):
    if value not in allowed:
        raise ValueError(f"{argument} is {value!r}; allowed are {', '.join(map(repr, allowed))}")


def check_whole(argument, value, least=1, most=None):
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least or most and value > most:
        upto = f"from {least} to {most}" if most else f"from {least} on"
        raise ValueError(f"{argument} is {value!r}; allowed is a whole number {upto}")


def frozen(value):
    """What can be saved, and not be changed: sequences as tuples, arrays as tuples of numbers, dicts as configs."""
    if isinstance(value, Mapping) and not isinstance(value, Config):
        return Config({key: frozen(one) for key, one in value.items()}, given=value)
    if hasattr(value, "tolist"):
        value = value.tolist()
    is_list = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    return tuple(map(frozen, value)) if is_list else value
