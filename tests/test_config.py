"""Config and Configurable: what is kept, carried over, refused, saved and read."""

import copy
import json
import pickle
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import nn

import minidiff
from minidiff.config import DIFFUSERS_VERSION, Config, Configurable, configured


class Sampler(Configurable):
    config_file = "scheduler_config.json"
    legacy_names = {"num_steps": "steps"}
    left_out = {"thresholding": False, "mode": ("plain", None)}
    always_saved = ("scale",)

    @configured
    def __init__(self, steps, spacing="leading", betas=None, scale=0.5):
        self.seen = (self.config.steps, spacing, betas, scale)


class OtherSampler(Configurable):
    config_file = "scheduler_config.json"

    @configured
    def __init__(self, steps=7, spacing="linspace", clip_sample=True):
        pass


class Network(nn.Module, Configurable):
    @configured
    def __init__(self, width=3):
        super().__init__()
        self.layer = nn.Linear(width, width)


class WideNetwork(Network):
    @configured
    def __init__(self, height=2):
        super().__init__(width=5)


def test_the_config_holds_every_argument_before_the_body_runs():
    sampler = Sampler(10, spacing="trailing")
    assert sampler.seen == (10, "trailing", None, 0.5)
    assert dict(sampler.config) == {"steps": 10, "spacing": "trailing", "betas": None, "scale": 0.5}
    assert sampler.config.spacing == sampler.config["spacing"] == "trailing"
    assert sampler.config.given == {"steps", "spacing"}


def test_the_config_is_read_only_all_the_way_down():
    config = Sampler(10, betas=[0.1, [0.2]]).config
    with pytest.raises(AttributeError, match="read-only"):
        config.steps = 3
    with pytest.raises(TypeError):
        config["steps"] = 3
    assert config.betas == (0.1, (0.2,))
    with pytest.raises(AttributeError, match="'step'; did you mean 'steps'"):
        config.step
    part = {"sizes": [1, {"depth": 2}]}
    config = Sampler(10, betas=part).config
    part["sizes"][1]["depth"] = 3
    assert config.betas == {"sizes": (1, {"depth": 2})}
    for nested in (
        config.betas,
        config.betas["sizes"][1],
        copy.deepcopy(config).betas,
        Sampler.from_config(config).betas,
    ):
        with pytest.raises(TypeError, match="the config is read-only"):
            nested["depth"] = 3
    assert json.loads(json.dumps(config))["betas"] == {"sizes": [1, {"depth": 2}]}


def test_arrays_become_plain_numbers(tmp_path):
    sampler = Sampler(np.int64(4), betas=torch.tensor([0.25, 0.5]))
    assert sampler.seen[2] == (0.25, 0.5) and type(sampler.config.steps) is int
    sampler.save_config(tmp_path)
    assert Sampler.from_pretrained(tmp_path).config == sampler.config


def test_configs_can_be_copied_and_pickled():
    config = Sampler(10).config
    for twin in (copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert twin == config and twin.given == config.given and twin.steps == 10


def test_a_module_gets_its_config_before_its_own_init():
    assert Network().config == {"width": 3} and Network(width=4).layer.out_features == 4


def test_a_subclass_keeps_its_own_config():
    network = WideNetwork(height=9)
    assert network.config == {"height": 9} and network.layer.out_features == 5
    assert WideNetwork.from_config(network.config).config == {"height": 9}


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(steps=1, spacin="x"), "Sampler has no argument 'spacin'; did you mean 'spacing'"),
        (dict(steps=1, qqq="x"), "Sampler has no argument 'qqq'$"),
        (dict(), "Sampler: missing a required argument: 'steps'"),
    ],
)
def test_bad_arguments_name_the_class_and_the_nearest_name(arguments, message):
    with pytest.raises(TypeError, match=message):
        Sampler(**arguments)


def test_too_many_arguments():
    with pytest.raises(TypeError, match="Sampler: too many positional arguments"):
        Sampler(1, 2, 3, 4, 5)


# -- what is left out


@pytest.mark.parametrize("off", [dict(thresholding=False), dict(mode="plain"), dict(mode=None)])
def test_a_feature_left_out_is_ignored_when_it_is_off(off):
    assert "thresholding" not in Sampler(3, **off).config
    assert Sampler.from_config({"steps": 3, **off}).config == Sampler(3).config


@pytest.mark.parametrize(
    "make", [Sampler, lambda **kw: Sampler.from_config(kw), lambda **kw: Sampler.from_config({}, **kw)]
)
def test_a_feature_left_out_is_an_error_when_it_is_on(make):
    with pytest.raises(ValueError, match="Sampler: thresholding is True.*allowed is False"):
        make(steps=3, thresholding=True)
    with pytest.raises(ValueError, match="mode is 'fancy'.*allowed is 'plain' or None"):
        make(steps=3, mode="fancy")


# -- from_config


def test_defaults_do_not_carry_over_to_another_class():
    assert OtherSampler.from_config(Sampler(4).config).config == {
        "steps": 4,
        "spacing": "linspace",
        "clip_sample": True,
    }
    assert OtherSampler.from_config(Sampler(4, "leading").config).config.spacing == "leading"
    assert OtherSampler.from_config(Sampler(4)).config.steps == 4  # an object will do


def test_what_a_file_gave_carries_over_even_through_a_class_that_does_not_know_it():
    config = {"steps": 4, "clip_sample": False, "_class_name": "Sampler"}
    between = Sampler.from_config(config)
    assert "clip_sample" not in between.config
    assert OtherSampler.from_config(between.config).config.clip_sample is False


def test_diffusers_configs_say_which_keys_stand_at_their_default():
    config = {"steps": 4, "spacing": "leading", "_use_default_values": ["spacing"]}
    assert OtherSampler.from_config(config).config.spacing == "linspace"


def test_changes_win_over_the_config_and_must_be_known():
    assert Sampler.from_config({"steps": 4}, steps=5).config.steps == 5
    with pytest.raises(TypeError, match="no argument 'stepz'; did you mean 'steps'"):
        Sampler.from_config({"steps": 4}, stepz=5)
    with pytest.raises(TypeError, match="config is 'folder'; allowed is a mapping"):
        Sampler.from_config("folder")


def test_legacy_names():
    assert Sampler.from_config({"num_steps": 4}).config.steps == 4
    assert Sampler.from_config({"num_steps": 4, "steps": 6}).config.steps == 6
    assert Sampler.from_config({"num_steps": 4}).config.others == {}  # renamed, not kept beside the new one


def test_a_subclass_may_correct_old_values():
    class Corrected(Sampler):
        @classmethod
        def updated(cls, config):
            config = super().updated(config)
            return config | {"steps": config["steps"] * 2}

    assert Corrected.from_config({"num_steps": 4}).config.steps == 8


# -- files


def test_only_what_was_given_is_saved(tmp_path):
    Sampler.from_config({"steps": 4, "unknown": [1]}, spacing="leading").save_config(tmp_path / "new")
    assert json.loads((tmp_path / "new" / "scheduler_config.json").read_text()) == {
        "_class_name": "Sampler",
        "_diffusers_version": DIFFUSERS_VERSION,
        "scale": 0.5,  # always_saved
        "spacing": "leading",
        "steps": 4,
        "unknown": [1],
    }


def test_save_and_load(tmp_path):
    sampler = Sampler(4, "trailing")
    sampler.save_pretrained(tmp_path / "scheduler")
    for again in (
        Sampler.from_pretrained(tmp_path, subfolder="scheduler"),
        Sampler.from_pretrained(tmp_path / "scheduler"),
    ):
        assert again.config == sampler.config and again.config.given == {"steps", "spacing", "scale"}
    assert Sampler.load_config(tmp_path, subfolder="scheduler")["steps"] == 4
    assert Sampler.from_pretrained(tmp_path, "scheduler", spacing="linspace").config.spacing == "linspace"
    with pytest.raises(TypeError, match="no argument 'spacin'"):
        Sampler.from_pretrained(tmp_path, "scheduler", spacin="linspace")
    other = OtherSampler.from_pretrained(str(tmp_path), "scheduler")
    assert other.config.spacing == "trailing"  # whatever _class_name says
    other.save_config(tmp_path)
    assert OtherSampler.load_config(tmp_path)["_class_name"] == "OtherSampler"


def test_broken_files(tmp_path):
    file = tmp_path / "scheduler_config.json"
    with pytest.raises(FileNotFoundError, match="has no file scheduler_config.json: the folder is empty"):
        Sampler.from_pretrained(tmp_path)
    file.write_text('{"steps": 4,\n"spacing": }')
    with pytest.raises(ValueError, match=r"scheduler_config.json, line 2, is not valid JSON"):
        Sampler.from_pretrained(tmp_path)
    file.write_text("[1]")
    with pytest.raises(ValueError, match="holds a JSON list; allowed is an object"):
        Sampler.from_pretrained(tmp_path)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is not text"):
        Sampler.from_pretrained(tmp_path)
    file.write_text('{"steps": 4, "thresholding": true}')
    with pytest.raises(ValueError, match="thresholding is True"):
        Sampler.from_pretrained(tmp_path)


def test_repr_reads_like_a_call():
    assert repr(Config({"a": 1, "b": "x"})) == "Config(a=1, b='x')"


def test_published_files_hold_keys_that_another_class_reads():
    """The DDIM file of stable-diffusion-inpainting, and a file of the first release."""
    stray = {"_class_name": "DDIMScheduler", "_diffusers_version": "0.6.0.dev0", "beta_schedule": "scaled_linear",
             "skip_prk_steps": True, "tensor_format": "pt", "timestep_values": None}  # fmt: skip
    ddim = minidiff.DDIMScheduler.from_config(stray)
    assert ddim.config.beta_schedule == "scaled_linear" and "tensor_format" not in ddim.config
    assert minidiff.PNDMScheduler.from_config(ddim.config).config.skip_prk_steps is True


# -- a config is a dict


def test_it_is_a_dict_that_nobody_changes():
    config = Sampler(steps=4).config
    assert isinstance(config, dict) and config == dict(config) and json.loads(json.dumps(config))["steps"] == 4
    assert json.loads(config.to_json_string()) == json.loads(json.dumps(config))
    changes = (
        lambda: config.__setitem__("steps", 5),
        lambda: config.update(steps=5),
        lambda: config.pop("steps"),
        lambda: config.setdefault("other", 5),
        lambda: config.__delitem__("steps"),
        lambda: config.__ior__({"steps": 5}),
        config.popitem,
        config.clear,
    )
    for change in changes:
        with pytest.raises(TypeError, match="the config is read-only: register_to_config"):
            change()
    assert config.steps == 4


def test_register_to_config_is_the_way_to_change_it(tmp_path):
    sampler = Sampler(steps=4)
    sampler.register_to_config(**sampler.config)
    assert sampler.config.given == {"steps"}  # what did not change is not given
    sampler.register_to_config(steps=7, decay=0.99)
    assert sampler.config.steps == 7 and "decay" not in sampler.config
    sampler.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / Sampler.config_file).read_text())
    assert saved["steps"] == 7 and saved["decay"] == 0.99
    assert json.loads(sampler.to_json_string()) == saved


def test_register_to_config_refuses_what_is_left_out():
    with pytest.raises(ValueError, match="thresholding is True, a feature of diffusers that minidiff leaves out"):
        minidiff.DDPMScheduler().register_to_config(thresholding=True)


def test_any_sequence_is_a_list():
    class Listlike(Sequence):
        """As OmegaConf's ListConfig is one."""

        def __init__(self, values):
            self.values = values

        def __getitem__(self, k):
            return self.values[k]

        def __len__(self):
            return len(self.values)

    unet = minidiff.UNet2DModel(
        block_out_channels=Listlike([8, 16]),
        down_block_types=Listlike(["DownBlock2D"] * 2),
        up_block_types=Listlike(["UpBlock2D"] * 2),
        norm_num_groups=4,
    )
    assert unet.config.block_out_channels == (8, 16) and unet.config.down_block_types == ("DownBlock2D",) * 2


def test_keys_are_attributes_of_the_owner():
    scheduler = minidiff.DDPMScheduler(num_train_timesteps=20)
    assert scheduler.num_train_timesteps == 20 and scheduler.beta_schedule == "linear"
    with pytest.raises(AttributeError, match="no attribute 'num_train_timestep'; did you mean 'num_train_timesteps'"):
        scheduler.num_train_timestep
    assert repr(scheduler).startswith("DDPMScheduler(num_train_timesteps=20, beta_start=0.0001, ")


def test_diffusers_takes_it():
    import diffusers

    config = minidiff.DDPMScheduler(beta_end=0.01).config
    assert diffusers.DDPMScheduler.from_config(config).config.beta_end == 0.01
    assert diffusers.DPMSolverMultistepScheduler.from_config(config).config.beta_end == 0.01


def test_diffusers_average_of_weights_saves_our_network(tmp_path):
    from diffusers.training_utils import EMAModel
    from pictures import tiny_unet

    unet = tiny_unet()
    average = EMAModel(unet.parameters(), decay=0.9, model_cls=minidiff.UNet2DModel, model_config=unet.config)
    average.step(unet.parameters())
    average.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["decay"] == 0.9
    assert minidiff.UNet2DModel.from_pretrained(tmp_path).config.sample_size == 8
