"""Arguments that stand where diffusers has them, and arguments that are left out."""

import inspect

import diffusers
import pytest
import torch
from pictures import same_weights, tiny_unet

import minidiff
from minidiff.signatures import LOADING, SAVING, Off, leaving_out

METHODS = (
    "__init__",
    "__call__",
    "forward",
    "step",
    "set_timesteps",
    "add_noise",
    "get_velocity",
    "scale_model_input",
    "encode",
    "decode",
    "from_pretrained",
    "from_config",
    "load_config",
    "save_pretrained",
    "save_config",
    "num_parameters",
)
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def positional(method):
    """Names of what can be passed by place, without self."""
    names = [p.name for p in inspect.signature(method).parameters.values() if p.kind in POSITIONAL]
    return [name for name in names if name not in ("self", "args")]


def theirs(name):
    """diffusers' class of that name; None where today's has none."""
    found = getattr(diffusers, name, None)
    return found or getattr(diffusers.schedulers.deprecated, name, None)


CLASSES = [name for name in minidiff.__all__ if inspect.isclass(getattr(minidiff, name)) and theirs(name)]


def known_methods(name):
    ours, other = getattr(minidiff, name), theirs(name)
    return [
        m for m in METHODS if hasattr(ours, m) and m in dir(other) and not (m == "__call__" and m not in vars(ours))
    ]


@pytest.mark.parametrize("name, method", [(name, method) for name in CLASSES for method in known_methods(name)])
def test_what_is_passed_by_place_is_what_they_take_there(name, method):
    ours, other = (positional(getattr(cls, method)) for cls in (getattr(minidiff, name), theirs(name)))
    kinds = [p.kind for p in inspect.signature(getattr(theirs(name), method)).parameters.values()]
    length = len(other) if inspect.Parameter.VAR_POSITIONAL in kinds else len(ours)  # behind *args nothing has a place
    assert ours[:length] == other[: len(ours)]


def test_the_comparison_sees_something():
    assert len(CLASSES) >= 8 and known_methods("DDIMScheduler").count("step") == 1
    assert positional(minidiff.DDIMScheduler.step)[:3] == ["model_output", "timestep", "sample"]


@pytest.mark.parametrize("name, method", [(name, method) for name in CLASSES for method in known_methods(name)])
def test_what_they_take_by_name_is_taken_or_refused_by_name(name, method):
    """An argument that both have has one default; or `DIFFERENT` says why."""
    ours, other = (
        inspect.signature(getattr(cls, method)).parameters for cls in (getattr(minidiff, name), theirs(name))
    )
    both = [key for key in ours if key in other and ours[key].kind in (*POSITIONAL, inspect.Parameter.KEYWORD_ONLY)]
    for key in both:
        mine, yours = ours[key].default, other[key].default
        same = mine == yours or inspect.Parameter.empty in (mine, yours)
        assert same != ((name, key) in DIFFERENT), key


# (class, argument): why the default is another one here
STABLE = ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline")
DIFFERENT = {
    ("DDIMPipeline", "use_clipped_model_output"): "None there, which is off too",
    ("VQModel", "scaling_factor"): "0.18215 there, which no published network was trained with",
    ("UNet1DModel", "extra_in_channels"): "0 there, which leaves no channel for the time, so that no call succeeds",
} | {(name, "callback_on_step_end_tensor_inputs"): "a list there, which anybody could change" for name in STABLE}


@leaving_out(guess=None, scale=(0.0, None), device_map=Off((None,), "there is one device"))
def method(self, value, *, colour="red"):
    return value, colour


class Owner:
    method = method


def test_what_is_left_out_is_let_pass_where_it_is_off():
    assert Owner().method(1, guess=None, scale=0.0, device_map=None) == (1, "red")
    assert Owner().method(1, scale=None, colour="blue") == (1, "blue")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"guess": 3}, "Owner.method: guess is 3, a feature of diffusers that minidiff leaves out; allowed is None"),
        ({"scale": 0.5}, "scale is 0.5, .*; allowed is 0.0 or None"),
        ({"guess": torch.zeros(2)}, r"guess is tensor\(\[0., 0.\]\)"),
        ({"device_map": "auto"}, "device_map is 'auto', while there is one device; allowed is None"),
    ],
)
def test_what_is_left_out_is_refused_where_it_is_on(arguments, message):
    with pytest.raises(ValueError, match=message):
        Owner().method(1, **arguments)


def test_unknown_arguments_get_the_nearest_name():
    with pytest.raises(TypeError, match="Owner.method has no argument 'color'; did you mean 'colour'"):
        Owner().method(1, color="blue")
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        Owner().method()


# -- the snippets of the documentation


@pytest.fixture
def saved(tmp_path):
    minidiff.DDPMPipeline(tiny_unet(), minidiff.DDPMScheduler(num_train_timesteps=20)).save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("key", LOADING)
def test_loading_lets_pass_what_changes_nothing(saved, key):
    for value in LOADING[key].values:
        pipe = minidiff.DDPMPipeline.from_pretrained(saved, **{key: value})
        unet = minidiff.UNet2DModel.from_pretrained(saved, subfolder="unet", **{key: value})
        scheduler = minidiff.DDPMScheduler.from_pretrained(saved, subfolder="scheduler", **{key: value})
        assert same_weights(pipe.unet, unet) and pipe.scheduler.config == scheduler.config


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            {"device_map": "auto"},
            r"DDPMPipeline.from_pretrained: device_map is 'auto', while this package loads .*\.to\(",
        ),
        ({"custom_pipeline": "one/off"}, "custom_pipeline is 'one/off', while .* no code is loaded with weights"),
        ({"use_safetensors": False}, "use_safetensors is False; allowed is None or True"),
    ],
)
def test_loading_refuses_by_name(saved, arguments, message):
    with pytest.raises(ValueError, match=message):
        minidiff.DDPMPipeline.from_pretrained(saved, **arguments)


@pytest.mark.parametrize("key", SAVING)
def test_saving_lets_pass_what_changes_nothing(saved, tmp_path, key):
    pipe = minidiff.DDPMPipeline.from_pretrained(saved)
    for k, value in enumerate(SAVING[key].values):
        for part in (pipe, pipe.unet, pipe.scheduler):
            part.save_pretrained(tmp_path / f"{key}-{k}", **{key: value})
        assert same_weights(minidiff.DDPMPipeline.from_pretrained(tmp_path / f"{key}-{k}").unet, pipe.unet)


def test_saving_refuses_pickles(saved, tmp_path):
    pipe = minidiff.DDPMPipeline.from_pretrained(saved)
    for part in (pipe, pipe.unet):
        with pytest.raises(ValueError, match="safe_serialization is False, while .* pickles can carry code"):
            part.save_pretrained(tmp_path / "new", safe_serialization=False)
    assert not (tmp_path / "new").exists()


def test_a_variant_is_written_and_read(saved, tmp_path):
    minidiff.DDPMPipeline.from_pretrained(saved).save_pretrained(tmp_path / "fp16", variant="fp16")
    assert (tmp_path / "fp16/unet/diffusion_pytorch_model.fp16.safetensors").exists()
    assert minidiff.DDPMPipeline.from_pretrained(tmp_path / "fp16", variant="fp16").unet.dtype == torch.float32


def test_safetensors_alone(saved):
    unet = minidiff.UNet2DModel.from_pretrained(saved, subfolder="unet", use_safetensors=True)
    (saved / "unet/diffusion_pytorch_model.safetensors").unlink()
    torch.save(unet.state_dict(), saved / "unet/diffusion_pytorch_model.bin")
    minidiff.DDPMPipeline.from_pretrained(saved)
    for load in (minidiff.DDPMPipeline.from_pretrained, lambda *a, **k: type(unet).from_pretrained(*a, "unet", **k)):
        with pytest.raises((FileNotFoundError, TypeError)):
            load(saved, use_safetensors=True)
    with pytest.raises(FileNotFoundError, match=r"no weights: none of .*safetensors.index.json; there are"):
        minidiff.DDPMPipeline.from_pretrained(saved, use_safetensors=True)


def test_two_names_of_the_dtype(saved):
    for name in ("torch_dtype", "dtype"):
        assert minidiff.DDPMPipeline.from_pretrained(saved, **{name: torch.float16}).unet.dtype == torch.float16
        unet = minidiff.UNet2DModel.from_pretrained(saved, subfolder="unet", **{name: torch.float16})
        assert unet.dtype == torch.float16
