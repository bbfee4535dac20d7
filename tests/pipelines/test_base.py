"""DiffusionPipeline: components, loading and saving, checks, callbacks, pictures."""

import copy
import json
import shutil

import diffusers
import numpy as np
import pytest
import torch
from against import seeded
from pictures import same_weights, tiny_unet

import minidiff
from minidiff import DDIMPipeline, DDPMPipeline, DDPMScheduler, DiffusionPipeline, PNDMPipeline, files
from minidiff.pipelines.base import ImagePipelineOutput
from minidiff.schedulers.base import SchedulerOutput

WEIGHTS = "diffusion_pytorch_model"


class CopiedPipeline(DiffusionPipeline):
    """A user's own, whose network may be absent."""

    def __init__(self, scheduler, unet=None, **others):
        self.register_modules(unet=unet, scheduler=scheduler, **others)

    @torch.no_grad()
    def __call__(self, *, callback=None, names=("latents",), also=False):
        x_t, prompt_embeds = torch.zeros(2), torch.ones(2)
        watch = self.watch(callback, names, also=("prompt_embeds",) if also else ())
        for i in range(3):
            step = SchedulerOutput(prev_sample=x_t + 1, pred_original_sample=x_t)
            values = dict(sample=x_t, model_output=x_t - 1)
            if also:
                x_t, prompt_embeds = watch(i, 10 - i, step, **values, prompt_embeds=prompt_embeds)
            else:
                x_t = watch(i, 10 - i, step, **values)
            if self.interrupt:
                break
        return x_t, prompt_embeds


@pytest.fixture
def pipe():
    pipe = DDPMPipeline(tiny_unet(), DDPMScheduler(num_train_timesteps=50))
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture
def saved(pipe, tmp_path):
    pipe.save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


# -- components


def test_components(pipe):
    assert list(pipe.components) == ["unet", "scheduler"] and pipe.components["unet"] is pipe.unet
    pipe.scheduler = other = DDPMScheduler()
    assert pipe.components["scheduler"] is other
    assert (pipe.device, pipe.dtype) == (torch.device("cpu"), torch.float32)


def test_to(pipe):
    assert pipe.to(torch.float64) is pipe and pipe.dtype == torch.float64
    pipe.to("cpu", torch.float16)
    assert pipe.unet.dtype == torch.float16
    assert pipe.to("meta").device.type == "meta"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_draws_the_same_picture(pipe):
    here = pipe(generator=seeded(), num_inference_steps=3, output_type="np").images
    there = pipe.to("cuda")(generator=seeded(), num_inference_steps=3, output_type="np").images
    np.testing.assert_allclose(there, here, atol=1e-3)


@pytest.mark.parametrize(
    "name", ["enable_attention_slicing", "enable_model_cpu_offload", "load_lora_weights", "enable_freeu"]
)
def test_what_is_left_out_says_so(pipe, name):
    with pytest.raises(AttributeError, match=f"{name} does not exist in minidiff: it is a feature of diffusers"):
        getattr(pipe, name)()
    with pytest.raises(AttributeError, match="no attribute 'schedular'; did you mean 'scheduler'"):
        pipe.schedular


def test_pipelines_can_be_copied(pipe):
    assert same_weights(copy.deepcopy(pipe).unet, pipe.unet)


# -- loading and saving


def test_save_and_load(pipe, saved):
    assert json.loads((saved / "model_index.json").read_text()) == {
        "_class_name": "DDPMPipeline",
        "_diffusers_version": "0.42.1",
        "unet": ["diffusers", "UNet2DModel"],
        "scheduler": ["diffusers", "DDPMScheduler"],
    }
    for again in (DiffusionPipeline.from_pretrained(saved), DDPMPipeline.from_pretrained(str(saved))):
        assert type(again) is DDPMPipeline and same_weights(again.unet, pipe.unet) and not again.unet.training
        assert type(again.scheduler) is DDPMScheduler
        assert again.scheduler.config == pipe.scheduler.config


@pytest.mark.parametrize("name", ["DDIMPipeline", "PNDMPipeline"])
def test_another_class_takes_the_same_files(saved, pipe, name, tmp_path):
    again = getattr(minidiff, name).from_pretrained(saved)
    assert type(again).__name__ == name and same_weights(again.unet, pipe.unet)
    assert type(again.scheduler).__name__ == name.replace("Pipeline", "Scheduler")
    assert again.scheduler.config.num_train_timesteps == 50
    again.save_pretrained(saved)
    assert type(DiffusionPipeline.from_pretrained(saved)).__name__ == name


def test_dtype(saved):
    assert DDPMPipeline.from_pretrained(saved, torch_dtype=torch.float16).unet.dtype == torch.float16
    DDPMPipeline.from_pretrained(saved).to(torch.float16).save_pretrained(saved)
    assert DDPMPipeline.from_pretrained(saved).dtype == torch.float32
    with pytest.raises(TypeError, match="torch_dtype is 'float16'"):
        DDPMPipeline.from_pretrained(saved, torch_dtype="float16")


def test_flat_layout(pipe, tmp_path):
    components = {"unet": ["diffusers", "UNet2DModel"], "scheduler": ["diffusers", "DDPMScheduler"]}
    files.write_json(tmp_path / "model_index.json", {"_class_name": "DDPMPipeline"} | components)
    pipe.unet.save_pretrained(tmp_path)
    pipe.scheduler.save_pretrained(tmp_path)
    again = DiffusionPipeline.from_pretrained(tmp_path)
    assert same_weights(again.unet, pipe.unet) and again.scheduler.config == pipe.scheduler.config
    tiny_unet(seed=1).save_pretrained(tmp_path / "unet")  # a folder of the component's name goes first
    assert same_weights(DiffusionPipeline.from_pretrained(tmp_path).unet, tiny_unet(seed=1))


def test_components_that_are_passed(saved):
    unet = tiny_unet(seed=1)
    shutil.rmtree(saved / "unet")  # nobody looks for it
    assert DDPMPipeline.from_pretrained(saved, unet=unet).unet is unet
    with pytest.raises(TypeError, match="DDPMPipeline has no argument 'unett'; did you mean 'unet'"):
        DiffusionPipeline.from_pretrained(saved, unett=unet)


def test_a_pipeline_of_ones_own(tmp_path):
    own = CopiedPipeline(DDPMScheduler(num_train_timesteps=9), tiny_unet())
    own.save_pretrained(tmp_path / "own")
    again = DiffusionPipeline.from_pretrained(tmp_path / "own")
    assert type(again) is CopiedPipeline and same_weights(again.unet, own.unet)
    assert CopiedPipeline.from_pretrained(tmp_path / "own", unet=None).unet is None
    own.unet = None
    own.save_pretrained(tmp_path / "own")
    assert json.loads((tmp_path / "own" / "model_index.json").read_text())["unet"] == [None, None]
    assert DiffusionPipeline.from_pretrained(tmp_path / "own").unet is None
    CopiedPipeline(None).save_pretrained(tmp_path / "own")  # null is there, though it is nothing
    assert DiffusionPipeline.from_pretrained(tmp_path / "own").scheduler is None


@pytest.mark.parametrize("pipeline", [DDPMPipeline, DDIMPipeline, PNDMPipeline])
@pytest.mark.parametrize("absent", ["unet", "scheduler"])
def test_nothing_is_drawn_without_a_component(saved, pipeline, absent):
    pipe = pipeline.from_pretrained(saved, **{absent: None})
    with pytest.raises(ValueError, match=f"{absent} is None, and {pipeline.__name__} draws nothing without"):
        pipe(num_inference_steps=4)


def write_index(folder, **entries):
    index = json.loads((folder / "model_index.json").read_text())
    files.write_json(folder / "model_index.json", index | entries)


@pytest.mark.parametrize(
    "entry",
    [["diffusers", "UNetUnconditionalModel"], ["latent_diffusion", "UNet2DModel"], ["stable_diffusion", "UNet2DModel"]],
    ids=lambda entry: ".".join(entry),
)
def test_names_of_earlier_years(saved, pipe, entry):
    write_index(saved, unet=entry)
    assert same_weights(DiffusionPipeline.from_pretrained(saved).unet, pipe.unet)


@pytest.mark.parametrize(
    "entry",
    [
        ["os", "system"],
        ["diffusers", "UNet9DModel"],
        ["diffusers", "DDPMPipeline"],
        ["diffusers", ["UNet2DModel"]],
        ["my_library", "UNet2DModel"],
        "UNet2DModel",
        None,
    ],
)
def test_classes_that_we_do_not_have(saved, pipe, entry):
    write_index(saved, unet=entry)
    with pytest.raises(ValueError, match="as unet, which minidiff does not have; it has .*UNet2DModel.*unet=..."):
        DiffusionPipeline.from_pretrained(saved)
    assert DiffusionPipeline.from_pretrained(saved, unet=pipe.unet).unet is pipe.unet


@pytest.mark.parametrize(
    "name", ["FluxPipeline", "UNet2DModel", None, ["pipeline", "MyPipeline"], "DiffusionPipeline", "zoo"]
)
def test_pipelines_that_we_do_not_have(saved, name):
    write_index(saved, _class_name=name)
    with pytest.raises(ValueError, match="which minidiff does not have; it has .*DDPMPipeline"):
        DiffusionPipeline.from_pretrained(saved)
    assert type(DDPMPipeline.from_pretrained(saved)) is DDPMPipeline


def test_a_component_that_is_not_there(saved, tmp_path):
    index = json.loads((saved / "model_index.json").read_text())
    del index["unet"]
    files.write_json(saved / "model_index.json", index)
    files.write_json(saved / "model_index.json", index)
    with pytest.raises(ValueError, match="has no unet, which DDPMPipeline needs"):
        DiffusionPipeline.from_pretrained(saved)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="has no file model_index.json: the folder is empty"):
        DiffusionPipeline.from_pretrained(tmp_path / "empty")
    (saved / "model_index.json").write_text("{")
    with pytest.raises(ValueError, match="model_index.json, line 1, is not valid JSON"):
        DiffusionPipeline.from_pretrained(saved)


def test_a_component_that_cannot_be_saved(pipe, saved):
    before = (saved / "model_index.json").read_text()
    pipe.scheduler = object()
    with pytest.raises(TypeError, match="scheduler is a object, which cannot be saved"):
        pipe.save_pretrained(saved)
    assert (saved / "model_index.json").read_text() == before


@pytest.mark.parametrize("name", ["DDPMPipeline", "DDIMPipeline", "PNDMPipeline"])
def test_diffusers_reads_ours_and_we_read_theirs(tmp_path, saved, name):
    ours = getattr(minidiff, name).from_pretrained(saved)
    ours.save_pretrained(tmp_path / "ours")
    theirs = diffusers.DiffusionPipeline.from_pretrained(tmp_path / "ours")
    assert type(theirs).__name__ == name
    theirs.save_pretrained(tmp_path / "theirs")
    again = DiffusionPipeline.from_pretrained(tmp_path / "theirs")
    assert type(again) is type(ours) and same_weights(again.unet, ours.unet)
    assert again.scheduler.config == ours.scheduler.config
    pictures = []
    for pipe in (ours, again, theirs):
        pipe.set_progress_bar_config(disable=True)
        pictures.append(pipe(batch_size=2, generator=seeded(), num_inference_steps=5, output_type="np").images)
    assert np.array_equal(pictures[0], pictures[1])
    np.testing.assert_allclose(pictures[0], pictures[2], atol=1e-5)


# -- calls


@pytest.mark.parametrize(
    "bad, message",
    [
        (dict(batch_size=0), "batch_size is 0; allowed is a whole number from 1 on"),
        (dict(batch_size=2.0), "batch_size is 2.0"),
        (dict(batch_size=True), "batch_size is True"),
        (dict(output_type="jpg"), "output_type is 'jpg'; allowed are 'pil', 'np', 'pt'"),
        (dict(generator=[seeded()], batch_size=2), "generator is a list of 1; allowed is one a sample, so 2"),
        (dict(generator=3), "generator is 3; allowed is None, a torch.Generator"),
        (dict(generator=[3]), r"generator is \[3\]; allowed is"),
        (dict(num_inference_steps=0), "num_inference_steps is 0; allowed is a whole number from 1 to 50"),
        (dict(num_inference_steps=51), "num_inference_steps is 51"),
        (dict(num_inference_steps="3"), "num_inference_steps is '3'"),
        (dict(num_inference_steps=2.5), "num_inference_steps is 2.5"),
        (
            dict(latents=torch.zeros(1, 3, 8, 9)),
            r"latents is torch.float32 of shape \(1, 3, 8, 9\); allowed is .* shape \(1, 3, 8, 8\)",
        ),
        (
            dict(latents=torch.zeros(1, 3, 8, 8, dtype=torch.int64)),
            "latents is torch.int64 of shape .*; allowed is a float",
        ),
        (dict(latents="noise"), "latents is 'noise'; allowed is a floating-point tensor of shape"),
        (dict(callback_on_step_end=3), "callback_on_step_end is 3; allowed is None or a function"),
        (
            dict(callback_on_step_end_tensor_inputs=("latent",)),
            "tensor_inputs: .*'latent'.*; allowed .* latents, sample, model_output, pred_original_sample",
        ),
        (dict(callback_on_step_end_tensor_inputs="latents"), "inputs: 'latents'; allowed is a tuple or list of names"),
        (dict(callback_on_step_end_tensor_inputs=None), "inputs: None; allowed is a tuple or list of names"),
    ],
)
def test_bad_arguments_are_refused_before_any_work(pipe, monkeypatch, bad, message):
    monkeypatch.setattr(pipe.unet, "forward", None)
    with pytest.raises(ValueError, match=message):
        pipe(**{"num_inference_steps": 2} | bad)


def test_check_call_can_allow_other_output_types(pipe):
    pipe.check_call(2, [seeded(), seeded()], "latent", output_types=("pil", "latent"))
    with pytest.raises(ValueError, match="generator is a list of 2; allowed is one a sample, so 3"):
        pipe.check_call(3, [seeded(), seeded()], "pil")


def test_start_noise(pipe):
    pipe.to(torch.float16)
    noise = pipe.start_noise((2, 3, 8, 8), seeded())
    assert noise.dtype == torch.float16
    assert torch.equal(noise, torch.randn(2, 3, 8, 8, generator=seeded(), dtype=torch.float16))
    given = torch.randn(2, 3, 8, 8)
    assert torch.equal(pipe.start_noise(given.shape, None, given), given.half())


def test_a_sample_depends_on_its_own_generator_alone(pipe):
    both = pipe(2, [seeded(1), seeded(2)], 3, output_type="np").images
    alone = pipe(1, seeded(2), 3, output_type="np").images
    np.testing.assert_allclose(both[1], alone[0], atol=1e-6)


# -- watching


def test_a_callback_sees_what_it_asks_for():
    seen = []
    pipe = CopiedPipeline(None)
    pipe(callback=lambda *args: seen.append(args), names=["model_output", "latents"])
    assert [(type(p) is type(pipe), i, t) for p, i, t, _ in seen] == [(True, 0, 10), (True, 1, 9), (True, 2, 8)]
    assert list(seen[0][3]) == ["model_output", "latents"]
    assert [tensors["latents"][0].item() for *_, tensors in seen] == [1, 2, 3]


def test_what_a_callback_returns_replaces_the_value():
    pipe = CopiedPipeline(None)
    x, _ = pipe(callback=lambda p, i, t, tensors: {"latents": tensors["latents"] * 10})
    assert x[0] == ((0 + 1) * 10 + 1) * 10 * 10 + 10
    assert pipe(callback=lambda *args: None)[0][0] == 3
    x, prompt_embeds = pipe(callback=lambda *args: {"prompt_embeds": torch.zeros(1)}, also=True)
    assert x[0] == 3 and prompt_embeds.shape == (1,)
    with pytest.raises(
        ValueError, match=r"callback_on_step_end returned: \['latent'\]; allowed .* latents, sample, model_output"
    ):
        pipe(callback=lambda *args: {"latent": 0})
    with pytest.raises(ValueError, match="callback_on_step_end returned 5; allowed is None or a dict"):
        pipe(callback=lambda *args: 5)
    with pytest.raises(ValueError, match=r"allowed .*pred_original_sample, prompt_embeds$"):
        pipe(names=["prompt"], also=True)


def test_interrupt_ends_one_call_and_not_the_next():
    def stop(pipe, i, t, tensors):
        pipe.interrupt = i == 1

    pipe = CopiedPipeline(None)
    assert pipe(callback=stop)[0][0] == 2
    assert pipe()[0][0] == 3


def test_real_loops_can_be_watched_and_interrupted(pipe):
    seen = []

    def watch(pipe, i, t, tensors):
        seen.append((i, int(t), {name: tensor.shape for name, tensor in tensors.items()}))
        pipe.interrupt = i == 2

    names = ("latents", "model_output", "pred_original_sample")
    pipe(num_inference_steps=5, callback_on_step_end=watch, callback_on_step_end_tensor_inputs=names)
    assert seen == [(i, 40 - 10 * i, dict.fromkeys(names, (1, 3, 8, 8))) for i in range(3)]


def test_progress_bar(pipe, capsys):
    pipe.set_progress_bar_config(desc="denoising")
    assert list(pipe.progress_bar([1, 2])) == [1, 2]
    with pipe.progress_bar(total=4) as bar:
        bar.update(4)
    assert capsys.readouterr().err.count("denoising: 100%") == 2
    pipe.set_progress_bar_config(disable=True)
    assert list(pipe.progress_bar([1])) == [1] and capsys.readouterr().err == ""


# -- pictures


def test_postprocess(pipe):
    x = torch.tensor([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0]).reshape(1, 1, 1, 6).expand(2, 3, 4, 6)
    pixels = pipe.postprocess(x, "np")
    assert pixels.shape == (2, 4, 6, 3) and pixels.dtype == np.float32
    assert pixels[0, 0, :, 0].tolist() == [0, 0, 0.5, 0.75, 1, 1]
    assert pipe.postprocess(x, "np", centred=False)[0, 0, :, 0].tolist() == [0, 0, 0, 0.5, 1, 1]
    assert torch.equal(pipe.postprocess(x, "pt").permute(0, 2, 3, 1), torch.from_numpy(pixels))
    pictures = pipe.postprocess(x, "pil")
    assert len(pictures) == 2 and pictures[0].size == (6, 4) and pictures[0].mode == "RGB"
    assert np.array(pictures[1])[0, :, 0].tolist() == [0, 0, 128, 191, 255, 255]  # 127.5 and 191.25
    assert pipe.postprocess(x[:, :1], "pil")[0].mode == "L"
    assert pipe.postprocess(x.half(), "np").dtype == np.float32


def test_pictures_are_those_of_diffusers(pipe):
    x = torch.randn(2, 3, 5, 5)
    processor = diffusers.image_processor.VaeImageProcessor()
    for ours, theirs in zip(pipe.postprocess(x, "pil"), processor.postprocess(x, "pil"), strict=True):
        assert np.array_equal(np.array(ours), np.array(theirs))
    assert np.array_equal(pipe.postprocess(x, "np"), processor.postprocess(x, "np"))


def test_output_is_a_tuple_where_asked():
    output = ImagePipelineOutput(images=["a"])
    assert output.images == output[0] == output["images"] == ["a"] and output.as_asked(True) is output
    assert output.as_asked(False) == (["a"],) and len(output) == 1 and list(output) == ["images"]
    with pytest.raises(KeyError, match="no field 'image', only images"):
        output["image"]
    assert ImagePipelineOutput(images=None).to_tuple() == ()
