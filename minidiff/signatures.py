"""Arguments that diffusers has and this package leaves out, and arguments that nobody has.

Scripts and tutorials pass many arguments that only say what happens here anyway: `use_safetensors=True`,
`device_map=None`. At such a value an argument is let pass; at any other it is refused by name, with the reason:
silence there would be a wrong picture, or a wrong belief.
"""

import difflib
import functools
import inspect
from typing import NamedTuple


class Off(NamedTuple):
    """The values of an argument that ask for nothing we do not do anyway, and why there are no others."""

    values: tuple
    why: str


EITHER = Off((None, True, False), "both ways lead to the same object")


def each(names, why, values=(None, False)):
    return dict.fromkeys(names.split(), Off(values, why))


LOADING = {
    "low_cpu_mem_usage": EITHER,
    "disable_mmap": EITHER,
    "requires_safety_checker": EITHER,
    **each(
        "device_map max_memory offload_folder offload_state_dict",
        "this package loads a network whole, on the CPU, and .to(device) moves it",
    ),
    **each("quantization_config", "weights are floating-point numbers here"),
    **each("ignore_mismatched_sizes output_loading_info", "weights that do not fit are an error here"),
    **each("return_unused_kwargs", "an unknown argument is an error here"),
    **each("force_download proxies mirror", "the Hub's cache is huggingface_hub's", (None, False, "")),
    **each(
        "custom_pipeline custom_revision trust_remote_code",
        "what a folder names is looked up among the classes that are there, and no code is loaded with weights",
    ),
    **each("load_connected_pipeline", "one folder is loaded at a time"),
    **each("use_onnx provider sess_options use_flashpack", "weights are read from .safetensors and .bin files alone"),
}
SAVING = {
    **each("safe_serialization", "weights are written as safetensors, since pickles can carry code", (True,)),
    **each("is_main_process", "whoever saves writes all of it; several processes may save to one folder", (True,)),
    **each("save_function use_flashpack", "weights are written as safetensors"),
    **each("max_shard_size", "the weights of a network are written into one file", (None, "10GB")),
    **each("push_to_hub", "uploading is huggingface_hub's", (False,)),
}


def leaving_out(**off):
    """Decorates a method: the arguments of diffusers' that it leaves out, each with the value that switches it off.

    Args:
        off: name -> that value, a tuple of such values, or `Off`.
    Raises (when the method is called):
        ValueError: one of them has another value.
        TypeError: an argument is unknown; with the nearest known name.
    """

    def decorate(method):
        parameters = inspect.signature(method).parameters.values()
        known = [p.name for p in parameters][1:]
        any_name = any(p.kind is p.VAR_KEYWORD for p in parameters)

        @functools.wraps(method)
        def checked(self, *args, **kwargs):
            name = f"{(self if isinstance(self, type) else type(self)).__name__}.{method.__name__}"
            refuse_left_out(name, off, kwargs)
            kwargs = {key: value for key, value in kwargs.items() if key not in off}
            if not any_name:
                refuse_unknown(name, kwargs, known)
            return method(self, *args, **kwargs)

        checked.left_out = tuple(off)
        return checked

    return decorate


def refuse_left_out(name, left_out, arguments):
    """Raises ValueError where one of `arguments` asks for what `left_out` (see `leaving_out`) says is not there."""
    for key in [key for key in arguments if key in left_out]:
        off, value = left_out[key], arguments[key]
        values, why = off if isinstance(off, Off) else (off if isinstance(off, tuple) else (off,), "")
        if not any(is_same(value, other) for other in values):
            why = f"while {why}" if why else "a feature of diffusers that minidiff leaves out"
            raise ValueError(f"{name}: {key} is {value!r}, {why}; allowed is {' or '.join(map(repr, values))}")


def is_same(value, other):
    """bool: also for tensors, whose == gives no bool."""
    return value is other or isinstance(value, bool | int | float | str | tuple | list) and value == other


def refuse_unknown(name, arguments, known):
    """Raises TypeError where one of `arguments` is not in `known`."""
    for key in arguments:
        if key not in known:
            raise TypeError(f"{name} has no argument {key!r}{nearest(key, known)}")


def nearest(name, known):
    """str: "; did you mean ...?", or nothing where no known name is near."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
