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


EITHER = Off((None, True, False), "")  # both ways lead to the same object
IN_MEMORY = "this package loads a network whole, on the CPU; .to(device) moves it"
ON_THE_HUB = "uploading and the Hub's cache are huggingface_hub's"
ONE_CODE = "what a folder names is looked up among the classes that are there, and no code is loaded with weights"

LOADING = {
    "low_cpu_mem_usage": EITHER,
    "disable_mmap": EITHER,
    "device_map": Off((None,), IN_MEMORY),
    "max_memory": Off((None,), IN_MEMORY),
    "offload_folder": Off((None,), IN_MEMORY),
    "offload_state_dict": Off((None, False), IN_MEMORY),
    "quantization_config": Off((None,), "weights are floating-point numbers here"),
    "ignore_mismatched_sizes": Off((False,), "weights that do not fit are an error here"),
    "output_loading_info": Off((False,), "weights that do not fit are an error here"),
    "return_unused_kwargs": Off((False,), "an unknown argument is an error here"),
    "force_download": Off((False,), ON_THE_HUB),
    "proxies": Off((None,), ON_THE_HUB),
    "mirror": Off((None, ""), ON_THE_HUB),
    "custom_pipeline": Off((None,), ONE_CODE),
    "custom_revision": Off((None,), ONE_CODE),
    "trust_remote_code": Off((False, None), ONE_CODE),
    "load_connected_pipeline": Off((False,), "one folder is loaded at a time"),
    "use_onnx": Off((False, None), "weights are read from .safetensors and .bin files alone"),
    "provider": Off((None,), "weights are read from .safetensors and .bin files alone"),
    "sess_options": Off((None,), "weights are read from .safetensors and .bin files alone"),
    "use_flashpack": Off((False,), "weights are read from .safetensors and .bin files alone"),
}
SAVING = {
    "safe_serialization": Off((True,), "weights are written as safetensors, since pickles can carry code"),
    "is_main_process": Off((True,), "whoever saves writes all of it; several processes may save to one folder"),
    "save_function": Off((None,), "weights are written as safetensors"),
    "max_shard_size": Off((None, "10GB"), "the weights of a network are written into one file"),
    "push_to_hub": Off((False,), ON_THE_HUB),
    "use_flashpack": Off((False,), "weights are written as safetensors"),
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
