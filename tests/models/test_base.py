"""Model: loading in every published layout, saving, and the errors of weights that do not fit."""

import json
import threading

import diffusers
import pytest
import torch
from against import assert_close, randn
from pictures import same_weights, tiny_unet
from torch import nn

import minidiff
from minidiff import UNet2DModel, files
from minidiff.config import Configurable, configured
from minidiff.models.base import Model, rename_attention, rename_modules, unwrapped

WEIGHTS = "diffusion_pytorch_model"


class Toy(Model):
    """A network with a table that no file holds, and a weight that its constructor draws by hand."""

    @configured
    def __init__(self, width=3):
        super().__init__()
        self.layer = nn.Linear(width, width)
        self.norm = nn.GroupNorm(1, width)
        self.frequencies = nn.Parameter(torch.randn(width))
        self.register_buffer("positions", torch.arange(width) * 0.5, persistent=False)
        self.register_buffer("count", torch.tensor(3))


class Queries(Toy):
    """Keeps the names that other networks gave up."""

    legacy_renames = (rename_modules,)

    @configured
    def __init__(self):
        super().__init__()
        self.attentions = nn.ModuleList([nn.ModuleDict({"query": nn.Linear(2, 2)})])


@pytest.fixture
def toy(tmp_path):
    torch.manual_seed(0)
    toy = Toy(width=4)
    nn.init.normal_(toy.norm.weight)
    toy.save_pretrained(tmp_path)
    return toy


# -- a network


def test_save_and_load(toy, tmp_path):
    toy.train()
    again = Toy.from_pretrained(tmp_path)
    assert same_weights(toy, again) and again.config.width == 4
    assert not again.training and all(parameter.requires_grad for parameter in again.parameters())
    assert torch.equal(again.positions, torch.tensor([0, 0.5, 1, 1.5]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", f"{WEIGHTS}.safetensors"]


def test_loading_draws_nothing(toy, tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    Toy.from_pretrained(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_layers_are_not_initialised_in_vain(toy, tmp_path, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("weights were drawn and thrown away")

    monkeypatch.setattr(torch.Tensor, "uniform_", never)
    monkeypatch.setattr(nn.init, "_no_grad_uniform_", never)
    Toy.from_pretrained(tmp_path)
    with pytest.raises(AssertionError, match="thrown away"):
        Toy()


def test_what_it_is_made_of(toy):
    assert (toy.dtype, toy.device, toy.num_parameters()) == (torch.float32, torch.device("cpu"), 4 * 4 + 4 + 8 + 4)
    assert toy.half().dtype == torch.float16


def test_dtype(toy, tmp_path):
    toy.half().save_pretrained(tmp_path)
    assert files.read_weights(tmp_path / f"{WEIGHTS}.safetensors")["layer.weight"].dtype == torch.float16
    assert Toy.from_pretrained(tmp_path).dtype == torch.float32  # whatever the file holds
    half = Toy.from_pretrained(tmp_path, torch_dtype=torch.float16)
    assert {t.dtype for t in (half.layer.weight, half.positions)} == {torch.float16} and half.count.dtype == torch.int64


@pytest.mark.parametrize("dtype", ["float16", torch.int64, 16])
def test_only_floating_dtypes(toy, tmp_path, dtype):
    with pytest.raises(TypeError, match="torch_dtype is .*; allowed is a floating-point torch.dtype"):
        Toy.from_pretrained(tmp_path, torch_dtype=dtype)


def test_weights_that_do_not_fit_are_listed_at_once(toy, tmp_path):
    weights = toy.state_dict()
    weights["layer.bias"] = torch.zeros(7)
    del weights["norm.weight"]
    weights |= {f"extra{i}": torch.zeros(1) for i in range(12)}
    files.write_weights(tmp_path / f"{WEIGHTS}.safetensors", weights)
    with pytest.raises(ValueError) as error:
        Toy.from_pretrained(tmp_path)
    message = str(error.value)
    assert "Toy and" in message and f"{WEIGHTS}.safetensors do not fit" in message
    assert "missing, 1: norm.weight\n" in message
    assert (
        "unexpected, 12: extra0, extra1, extra10" in message and message.count("extra") == 10 and ", ...\n" in message
    )
    assert "wrongly shaped, 1: layer.bias (7,) instead of (4,)" in message


def test_numbers_that_are_none(toy, tmp_path):
    toy.layer.weight.data[1, 1] = float("nan")
    toy.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"{WEIGHTS}.safetensors has NaN or infinite numbers in 1: layer.weight"):
        Toy.from_pretrained(tmp_path)


def test_missing_files(toy, tmp_path):
    (tmp_path / f"{WEIGHTS}.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=f"no weights: none of {WEIGHTS}.safetensors,.*there are config.json"):
        Toy.from_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match="has no file unet/config.json"):
        Toy.from_pretrained(tmp_path, subfolder="unet")
    with pytest.raises(FileNotFoundError, match="is no folder"):
        Toy.from_pretrained(tmp_path / "nowhere")


def test_saving_over_shards_leaves_nothing_that_contradicts(toy, tmp_path):
    files.write_json(tmp_path / f"{WEIGHTS}.safetensors.index.json", {"weight_map": {"a": "b"}})
    toy.save_pretrained(tmp_path)
    assert not (tmp_path / f"{WEIGHTS}.safetensors.index.json").exists()


def test_a_class_keeps_old_names_if_it_wants(tmp_path):
    queries = Queries()
    queries.save_pretrained(tmp_path)
    assert same_weights(Queries.from_pretrained(tmp_path), queries)


# -- old names


def test_module_names():
    old = [
        "mid.resnets.0.conv1.weight",
        "downsample_blocks.0.a",
        "upsample_blocks.1.b",
        "time_steps.weight",
        "middle.c",
    ]
    new = ["mid_block.resnets.0.conv1.weight", "down_blocks.0.a", "up_blocks.1.b", "time_proj.weight", "middle.c"]
    assert list(rename_modules(dict.fromkeys(old))) == new


def test_twins_are_dropped():
    weights = dict.fromkeys(["down_blocks.0.downsamplers.0.conv.weight", "down_blocks.0.downsamplers.0.op.weight"])
    assert list(rename_modules(weights)) == ["down_blocks.0.downsamplers.0.conv.weight"]
    assert list(rename_modules(dict.fromkeys(["time_proj.weight", "time_proj.W"]))) == ["time_proj.weight"]
    assert list(rename_modules(dict.fromkeys(["time_steps.weight", "time_steps.W"]))) == ["time_proj.weight"]
    assert list(rename_modules(dict.fromkeys(["time_proj.W"]))) == [
        "time_proj.W"
    ]  # no twin: the caller shall hear of it


def test_attention_names():
    linear, conv, bias = torch.randn(3, 3), torch.randn(3, 3, 1, 1), torch.randn(3)
    old = {
        "mid.attentions.0.query.weight": conv,
        "attentions.11.key.weight": linear,
        "x.attentions.0.proj_attn.bias": bias,
    }
    new = rename_attention(old | {"attentions.0.value.weight": conv[..., 0], "keys.query.weight": conv})
    assert list(new) == ["mid.attentions.0.to_q.weight", "attentions.11.to_k.weight", "x.attentions.0.to_out.0.bias",
                         "attentions.0.to_v.weight", "keys.query.weight"]  # fmt: skip
    assert torch.equal(new["mid.attentions.0.to_q.weight"], conv[:, :, 0, 0])
    assert [t.ndim for t in new.values()] == [2, 2, 1, 2, 4]


# -- the UNet, as it was published over the years

OLD_CONFIG = {  # of the first release: other keys, and block names with a prefix
    "_class_name": "UNetUnconditionalModel",
    "_diffusers_version": "0.0.4",
    "image_size": 8,
    "block_channels": [4, 8],
    "num_res_blocks": 1,
    "down_blocks": ["UNetResDownBlock2D", "UNetResAttnDownBlock2D"],
    "up_blocks": ["UNetResAttnUpBlock2D", "UNetResUpBlock2D"],
    "downscale_freq_shift": 0,
    "resnet_num_groups": 4,
    "resnet_eps": 1e-5,
    "resnet_act_fn": "silu",
    "num_head_channels": None,
    "timestep_values": None,
}


def old_weights(unet):
    """The weights as the first release saved them: old names, convolutions in attention, downsamplers twice."""
    attention = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    modules = {"mid_block.": "mid.", "down_blocks.": "downsample_blocks.", "up_blocks.": "upsample_blocks."}
    weights = {}
    for key, tensor in unet.state_dict().items():
        for new, old in (attention | modules).items():
            if new in key and new in attention and tensor.ndim == 2:
                tensor = tensor[:, :, None, None]
            key = key.replace(new, old)
        weights[key] = tensor
        if ".downsamplers.0.conv." in key:
            weights[key.replace(".conv.", ".op.")] = tensor
    return weights


def sharded(folder, weights, ending, variant=None):
    """Write weights as diffusers does for large networks."""
    stem = f"{WEIGHTS}.{variant}" if variant else WEIGHTS
    keys = list(weights)
    halves = {f"{stem}-0000{i + 1}-of-00002.{ending}": keys[i::2] for i in range(2)}
    for name, part in halves.items():
        part = {key: weights[key] for key in part}
        torch.save(part, folder / name) if ending == "bin" else files.write_weights(folder / name, part)
    index = f"{WEIGHTS}.{ending}.index.{variant}.json" if variant else f"{WEIGHTS}.{ending}.index.json"
    weight_map = {key: name for name, part in halves.items() for key in part}
    files.write_json(folder / index, {"metadata": {"total_size": 1}, "weight_map": weight_map})


@pytest.fixture
def folder(tmp_path):
    files.write_json(tmp_path / "config.json", OLD_CONFIG)
    return tmp_path


def test_old_files(folder):
    unet = tiny_unet()
    torch.save(old_weights(unet), folder / f"{WEIGHTS}.bin")
    again = UNet2DModel.from_pretrained(folder)
    assert same_weights(again, unet)
    x = randn()  # (2, 3, 8, 8)
    assert_close(again(x, 3).sample, unet(x, 3).sample)
    again.save_pretrained(folder)  # now with today's names, which go before the pickle
    assert json.loads((folder / "config.json").read_text())["block_out_channels"] == [4, 8]
    assert same_weights(UNet2DModel.from_pretrained(folder), unet)


@pytest.mark.parametrize("ending", ["bin", "safetensors"])
@pytest.mark.parametrize("variant", [None, "fp16"])
def test_shards(folder, ending, variant):
    unet = tiny_unet().half().float()
    sharded(folder, unet.half().state_dict() if variant else unet.state_dict(), ending, variant)
    assert same_weights(UNet2DModel.from_pretrained(folder, variant=variant), unet.float())


def test_variant(folder):
    unet = tiny_unet()
    unet.save_pretrained(folder)
    (folder / f"{WEIGHTS}.safetensors").rename(folder / f"{WEIGHTS}.fp16.safetensors")
    assert same_weights(UNet2DModel.from_pretrained(folder, variant="fp16"), unet)
    with pytest.raises(FileNotFoundError, match="has no weights"):
        UNet2DModel.from_pretrained(folder)


def test_our_files_in_diffusers(tmp_path):
    unet = tiny_unet()
    unet.save_pretrained(tmp_path)
    theirs, report = diffusers.UNet2DModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    x = randn()  # (2, 3, 8, 8)
    torch.testing.assert_close(theirs(x, 7).sample, unet(x, 7).sample, rtol=1e-5, atol=1e-6)


def test_diffusers_files_here(tmp_path):
    unet = tiny_unet()
    unet.save_pretrained(tmp_path / "ours")
    theirs = diffusers.UNet2DModel.from_pretrained(tmp_path / "ours")
    x = randn()  # (2, 3, 8, 8)
    for name, options in {
        "plain": {},
        "pickle": dict(safe_serialization=False),
        "shards": dict(max_shard_size="8KB"),
        "variant": dict(variant="fp16"),
        "both": dict(variant="fp16", max_shard_size="8KB"),
    }.items():
        theirs.save_pretrained(tmp_path / name, **options)
        again = UNet2DModel.from_pretrained(tmp_path / name, variant=options.get("variant"))
        assert same_weights(again, unet), name
        assert_close(again(x, 7).sample, unet(x, 7).sample, what=name)
    assert len(list((tmp_path / "both").glob("*.safetensors"))) > 1


# -- loading beside other code


class Filled(Model):
    """Its tables are in no file: one is filled by a function of torch.nn.init, the others are drawn."""

    @configured
    def __init__(self, draw=None):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        for name in ("gain", "uniform", "kaiming", "like", "normal"):
            self.register_buffer(name, torch.empty(4, 4), persistent=False)
        nn.init.constant_(self.gain, 2.0)
        nn.init.uniform_(self.uniform)
        nn.init.kaiming_normal_(self.kaiming)
        self.like.copy_(torch.randn_like(self.gain) + torch.rand(4) + torch.randint(3, (4,)))
        self.normal.normal_()
        if draw:
            draw()


def test_tables_that_no_file_holds_are_filled(tmp_path):
    Filled().save_pretrained(tmp_path)
    again = Filled.from_pretrained(tmp_path)
    assert (again.gain == 2).all()
    for name in ("uniform", "kaiming", "like", "normal"):
        assert getattr(again, name).isfinite().all() and 0.05 < getattr(again, name).std() < 5, name


def test_loading_draws_from_a_generator_of_its_own(tmp_path):
    Filled().save_pretrained(tmp_path)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    Filled.from_pretrained(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_another_thread_draws_as_if_nothing_were_loaded(tmp_path, monkeypatch):
    """It draws while the network is made, and what it drew is not drawn again."""
    Filled().save_pretrained(tmp_path)
    drawn = []

    def draw():
        thread = threading.Thread(target=lambda: drawn.append(torch.randn(4)))
        thread.start()
        thread.join()

    torch.manual_seed(5)
    Filled.from_pretrained(tmp_path, draw=draw)
    drawn.append(torch.randn(4))
    torch.manual_seed(5)
    assert torch.equal(torch.stack(drawn), torch.stack([torch.randn(4), torch.randn(4)]))


def test_loading_touches_nothing_process_wide(tmp_path, monkeypatch):
    Filled().save_pretrained(tmp_path)
    for owner, name in ((torch, "set_rng_state"), (torch, "manual_seed"), (torch.random, "fork_rng"),
                        (torch, "set_default_dtype"), (torch, "set_default_device")):  # fmt: skip
        monkeypatch.setattr(owner, name, None)
    assert (Filled.from_pretrained(tmp_path).gain == 2).all()


def test_a_network_inside_a_network_may_be_loaded_by_its_constructor(tmp_path):
    Filled().save_pretrained(tmp_path / "inner")

    class Outer(Model):
        @configured
        def __init__(self):
            super().__init__()
            self.inner = Filled.from_pretrained(tmp_path / "inner")

    Outer().save_pretrained(tmp_path / "outer")
    assert same_weights(Outer.from_pretrained(tmp_path / "outer").inner, Filled.from_pretrained(tmp_path / "inner"))


@pytest.mark.parametrize("change", [b"", b"changed"], ids=["cut off", "overwritten"])
def test_what_was_loaded_stays_when_the_file_changes(toy, tmp_path, change):
    again = Toy.from_pretrained(tmp_path)
    file = tmp_path / f"{WEIGHTS}.safetensors"
    size = file.stat().st_size
    with open(file, "rb+") as opened:  # the same file, as rsync --inplace and many editors write it
        opened.write(change * size if change else b"")
        opened.truncate(size if change else 0)
    assert same_weights(toy, again)


def test_an_overwritten_file_changes_a_network_of_diffusers(tmp_path):
    unet = tiny_unet()
    unet.save_pretrained(tmp_path)
    ours, theirs = (cls.from_pretrained(tmp_path) for cls in (UNet2DModel, diffusers.UNet2DModel))
    file = tmp_path / f"{WEIGHTS}.safetensors"
    with open(file, "rb+") as opened:
        opened.seek(file.stat().st_size // 2)
        opened.write(bytes(file.stat().st_size // 4))
    assert same_weights(ours, unet) and not same_weights(theirs, unet)


def test_networks_load_in_the_faster_layout(tmp_path):
    unet = tiny_unet()
    unet.save_pretrained(tmp_path)
    again = UNet2DModel.from_pretrained(tmp_path)
    assert again.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    assert_close(again(randn(), 3).sample, unet(randn(), 3).sample)
    again.to(memory_format=torch.contiguous_format)
    assert again.conv_in.weight.is_contiguous()


# -- a network that lives and is changed


def test_a_changed_network_is_not_saved_with_the_old_config(tmp_path):
    unet = tiny_unet()
    unet.conv_in = nn.Conv2d(4, unet.conv_in.out_channels, 3, padding=1)
    with pytest.raises(ValueError, match=r"config and its weights do not fit:\n  wrongly shaped, 1: conv_in.weight"):
        unet.save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    unet.register_to_config(in_channels=4)
    unet.save_pretrained(tmp_path / "new")
    again = UNet2DModel.from_pretrained(tmp_path / "new")
    assert same_weights(again, unet) and again.config.in_channels == 4
    assert again(torch.randn(1, 4, 8, 8), 3).sample.shape == (1, 3, 8, 8)


def test_arguments_may_replace_the_files(toy, tmp_path):
    unet = tiny_unet()
    unet.save_pretrained(tmp_path / "unet")
    assert UNet2DModel.from_pretrained(tmp_path / "unet", sample_size=16).sample_shape == (3, 16, 16)
    with pytest.raises(TypeError, match="UNet2DModel has no argument 'sampel_size'; did you mean 'sample_size'"):
        UNet2DModel.from_pretrained(tmp_path / "unet", sampel_size=16)
    with pytest.raises(ValueError, match="Toy and .* do not fit"):
        Toy.from_pretrained(tmp_path, width=5)


def test_attributes_that_scripts_read():
    unet = tiny_unet()
    assert (unet.in_channels, unet.sample_size) == (3, 8) and unet.block_out_channels == (4, 8)
    assert unet.num_parameters(only_trainable=True) == unet.num_parameters()
    unet.conv_in.requires_grad_(False)
    assert unet.num_parameters() - unet.num_parameters(only_trainable=True) == 4 * 3 * 9 + 4
    with pytest.raises(AttributeError, match="UNet2DModel has no attribute 'in_chanels'; did you mean 'in_channels'"):
        unet.in_chanels


# -- what is put around a network


@pytest.mark.parametrize("wrap", ["compile", "parallel"])
def test_wrappers_are_seen_through(wrap, tmp_path):
    unet = tiny_unet()
    wrapped = torch.compile(unet, backend="eager") if wrap == "compile" else nn.DataParallel(unet)
    assert unwrapped(wrapped) is unwrapped(nn.DataParallel(wrapped)) is unet and unwrapped(None) is None
    pipe = minidiff.DDPMPipeline(wrapped, minidiff.DDPMScheduler(num_train_timesteps=20))
    pipe.set_progress_bar_config(disable=True)
    assert pipe(num_inference_steps=2).images[0].size == (8, 8)
    assert pipe.dtype == torch.float32 and pipe.device.type == "cpu" and "UNet2DModel, 0.01 million" in repr(pipe)
    pipe.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "model_index.json").read_text())["unet"] == ["diffusers", "UNet2DModel"]
    assert same_weights(minidiff.DDPMPipeline.from_pretrained(tmp_path).unet, unet)


def test_a_network_that_has_a_part_called_module_is_no_wrapper():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = nn.Linear(2, 2)

    own = Own()
    assert unwrapped(own) is own


@torch.no_grad()
def test_twenty_python_times_make_two_graphs():
    from torch._dynamo.testing import CompileCounter

    torch._dynamo.reset()
    counter, unet, x = CompileCounter(), tiny_unet(), randn(1, 3, 8, 8)
    compiled = torch.compile(unet, backend=counter, fullgraph=True)
    for t in range(19, -1, -1):
        assert_close(compiled(x, t).sample, unet(x, t).sample)
    assert counter.frame_count <= 2
    torch._dynamo.reset()
    counter = CompileCounter()
    compiled = torch.compile(unet, backend=counter, fullgraph=True)
    for t in torch.arange(3):
        compiled(x, t)
    assert counter.frame_count == 1


@torch.no_grad()
def test_exported_and_traced_for_other_sizes():
    unet, t, other = tiny_unet(), torch.tensor([3, 5]), randn(3, 3, 16, 24)
    expected = unet(other, torch.tensor([1, 2, 3])).sample
    B, H, W = torch.export.Dim("B", min=2), torch.export.Dim("H", min=2), torch.export.Dim("W", min=2)
    shapes = {"sample": {0: B, 2: 2 * H, 3: 2 * W}, "timestep": {0: B}}
    exported = torch.export.export(unet, (randn(), t), dynamic_shapes=shapes).module()
    traced = torch.jit.trace(unet, (randn(), t), strict=False)
    for again in (exported, traced):
        assert_close(again(other, torch.tensor([1, 2, 3]))["sample"], expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@torch.no_grad()
def test_a_python_time_keeps_its_value_under_any_default_dtype(dtype):
    unet, x = tiny_unet(), randn()
    expected = unet(x, torch.tensor(961.0)).sample
    torch.set_default_dtype(dtype)
    try:
        assert torch.equal(unet(x, 961).sample, expected) and torch.equal(unet(x, 961.0).sample, expected)
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_network_of_a_class_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.setattr(Configurable, "_subclasses", {})

    class MyNet(UNet2DModel):
        pass

    class MySampler(minidiff.DDPMScheduler):
        pass

    unet = MyNet(**tiny_unet().config)
    minidiff.DDPMPipeline(unet, MySampler(num_train_timesteps=20)).save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    package = __name__.split(".")[0]
    assert index["unet"] == [package, "MyNet"] and index["scheduler"] == [package, "MySampler"]
    again = minidiff.DDPMPipeline.from_pretrained(tmp_path)
    assert type(again.unet) is MyNet and type(again.scheduler) is MySampler
    del Configurable._subclasses["MyNet"]  # as in a script that does not define it
    with pytest.raises(ValueError, match="MyNet.* known once the module that defines it is imported; or pass"):
        minidiff.DDPMPipeline.from_pretrained(tmp_path)
    passed = minidiff.DDPMPipeline.from_pretrained(tmp_path, unet=MyNet.from_pretrained(tmp_path, subfolder="unet"))
    assert same_weights(passed.unet, unet)


def test_a_class_of_ones_own_never_hides_a_public_one(tmp_path, monkeypatch):
    monkeypatch.setattr(Configurable, "_subclasses", {})
    mine = type("UNet2DModel", (UNet2DModel,), {"__module__": "mine.nets"})
    minidiff.DDPMPipeline(tiny_unet(), minidiff.DDPMScheduler()).save_pretrained(tmp_path)
    assert type(minidiff.DDPMPipeline.from_pretrained(tmp_path).unet) is UNet2DModel
    minidiff.DDPMPipeline(mine(**tiny_unet().config), minidiff.DDPMScheduler()).save_pretrained(tmp_path)
    assert type(minidiff.DDPMPipeline.from_pretrained(tmp_path).unet) is mine
    index = json.loads((tmp_path / "model_index.json").read_text())
    files.write_json(tmp_path / "model_index.json", index | {"unet": ["another", "UNet2DModel"]})
    with pytest.raises(ValueError, match=r'names \["another", "UNet2DModel"\] as unet, which minidiff does not have'):
        minidiff.DDPMPipeline.from_pretrained(tmp_path)
