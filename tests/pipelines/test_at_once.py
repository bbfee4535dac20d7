"""One pipeline in the hands of threads, gradients, callbacks, and schedulers and networks of other packages."""

import copy
import inspect
import threading

import diffusers
import numpy as np
import pytest
import torch
from against import seeded
from pictures import TINY, tiny_unet

import minidiff
from minidiff import DDIMPipeline, DDPMPipeline, DDPMScheduler, DiffusionPipeline, PNDMPipeline, UNet2DModel, zoo
from minidiff.noise import randn_like
from minidiff.signatures import leaving_out

PIPELINES = (DDPMPipeline, DDIMPipeline, PNDMPipeline)


def quiet(pipe):
    pipe.set_progress_bar_config(disable=True)
    return pipe


def tiny(cls=DDPMPipeline, T=1000, **config):
    return quiet(cls(tiny_unet(**config), DDPMScheduler(num_train_timesteps=T)))


# -- several calls at once


def inside_each_other(pipe, outer, inner):
    """The pictures of two calls, of which the second begins and ends while the first is under way."""
    pictures = {}

    def meanwhile(run, i, t, tensors):
        if i == 2:
            pictures["inner"] = pipe(output_type="pt", **inner).images

    pictures["outer"] = pipe(output_type="pt", callback_on_step_end=meanwhile, **outer).images
    return pictures["outer"], pictures["inner"]


@pytest.mark.parametrize("cls", PIPELINES)
def test_a_call_inside_a_call_changes_neither(cls):
    pipe = tiny(cls)
    calls = [dict(num_inference_steps=n, generator=seeded(n)) for n in (8, 5)]
    alone = [pipe(output_type="pt", **call).images for call in calls]
    calls = [dict(num_inference_steps=n, generator=seeded(n)) for n in (8, 5)]
    for together, wanted in zip(inside_each_other(pipe, *calls), alone, strict=True):
        assert torch.equal(together, wanted)


def test_diffusers_mixes_them_up():
    pipe = quiet(diffusers.DDIMPipeline(diffusers.UNet2DModel(**TINY).eval(), diffusers.DDIMScheduler()))
    alone = pipe(num_inference_steps=8, generator=seeded(8), output_type="np").images
    begin, original = threading.Event(), pipe.scheduler.step

    def step(*args, **kwargs):
        if not begin.is_set():  # the other call begins behind the first step of this one
            begin.set()
            pipe.scheduler.set_timesteps(5)
        return original(*args, **kwargs)

    pipe.scheduler.step = step
    assert np.abs(pipe(num_inference_steps=8, generator=seeded(8), output_type="np").images - alone).max() > 0.01


@pytest.mark.parametrize("cls", PIPELINES)
def test_threads(cls):
    pipe, alone = tiny(cls), {}
    draw = lambda n: pipe(num_inference_steps=n, generator=seeded(n), output_type="pt").images
    for n in (12, 9):
        alone[n] = draw(n)
    same = []
    threads = [threading.Thread(target=lambda n=n: same.append(torch.equal(draw(n), alone[n]))) for n in (12, 9) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same == [True] * 6


def test_what_scripts_read_afterwards_is_there():
    pipe = tiny()
    scheduler = pipe.scheduler
    pipe(num_inference_steps=5)
    assert pipe.scheduler is scheduler and scheduler.timesteps.tolist() == [800, 600, 400, 200, 0]
    pndm = tiny(PNDMPipeline)
    pndm(num_inference_steps=10)
    assert pndm.scheduler.counter == 19


def test_a_call_that_fails_changes_nothing():
    pipe = tiny()
    pipe(num_inference_steps=5)

    def fail(*args):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        pipe(num_inference_steps=4, callback_on_step_end=fail)
    assert len(pipe.scheduler.timesteps) == 5 and not pipe._running


def test_what_a_loop_or_a_callback_sets_stays():
    class Counting(DiffusionPipeline):
        calls = 0

        def __init__(self, unet, scheduler):
            self.register_modules(unet=unet, scheduler=scheduler)

        def __call__(self):
            self.calls += 1
            return self.calls

    pipe = Counting(None, None)
    assert [pipe(), pipe()] == [1, 2] and pipe.calls == 2


def test_interrupt_on_the_pipeline_ends_all_its_calls_and_on_a_call_that_one():
    pipe, seen = tiny(), []

    def inner(run, i, t, tensors):
        seen.append(("inner", i))
        run.interrupt = i == 1

    def outer(run, i, t, tensors):
        seen.append(("outer", i))
        if i == 0:
            pipe(num_inference_steps=5, callback_on_step_end=inner)  # ends itself alone
        if i == 1:
            pipe(num_inference_steps=5, callback_on_step_end=lambda *args: setattr(pipe, "interrupt", True))

    pipe(num_inference_steps=5, callback_on_step_end=outer)
    assert seen == [("outer", 0), ("inner", 0), ("inner", 1), ("outer", 1)]
    assert pipe.interrupt
    images = pipe(num_inference_steps=5, callback_on_step_end=lambda p, i, t, x: seen.append(i)).images
    assert seen[4:] == [0, 1, 2, 3, 4] and len(images) == 1 and not pipe.interrupt


def test_what_a_loop_leaves_out_is_let_pass_or_refused_by_name():
    class Guided(DiffusionPipeline):
        def __init__(self, unet):
            self.register_modules(unet=unet)

        @leaving_out(clip_skip=None)
        @torch.no_grad()
        def __call__(self, prompt):
            return prompt

    assert Guided(None)("a cat", clip_skip=None) == "a cat"
    with pytest.raises(ValueError, match="Guided.__call__: clip_skip is 2, a feature of diffusers"):
        Guided(None)("a cat", clip_skip=2)
    with pytest.raises(TypeError, match="Guided has no argument 'clip_skp'; did you mean 'clip_skip'"):
        Guided(None)("a cat", clip_skp=None)


def test_a_network_of_unknown_size_says_so():
    pipe = quiet(DDPMPipeline(torch.nn.Conv2d(3, 3, 1), DDPMScheduler()))
    with pytest.raises(ValueError, match="the unet has no sample_shape, nor a config with sample_size"):
        pipe()


def test_a_pipeline_can_be_copied_while_and_after_it_draws():
    pipe = tiny()
    copies = []
    pipe(num_inference_steps=2, callback_on_step_end=lambda run, *args: copies.append(copy.deepcopy(run)))
    assert copies[0](num_inference_steps=2).images[0].size == copy.deepcopy(pipe)(num_inference_steps=2).images[0].size


# -- gradients


@pytest.mark.parametrize("reach", [lambda call: call.__wrapped__, inspect.unwrap])
def test_the_loop_below_the_decorators_has_gradients(reach):
    pipe, x_T = tiny(DDIMPipeline), torch.randn(1, 3, 8, 8, generator=seeded(), requires_grad=True)
    options = dict(num_inference_steps=3, latents=x_T, output_type="pt")
    images = reach(type(pipe).__call__)(pipe, **options).images
    (gradient,) = torch.autograd.grad(images.sum(), x_T)
    assert gradient.abs().max() > 0 and torch.equal(images.detach(), pipe(**options).images)
    assert not pipe(**options).images.requires_grad


# -- what is no picture


@pytest.mark.parametrize("output_type", ["pil", "np", "pt"])
@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_number_that_is_none_becomes_no_picture(output_type, broken):
    pipe = tiny()
    with torch.no_grad():
        pipe.unet.conv_out.bias[0] = broken
    pipe.scheduler = DDPMScheduler(clip_sample=False)
    with pytest.raises(ValueError, match=r"\d+ of 192 numbers of the result are infinite or none at all: .*float32"):
        pipe(num_inference_steps=2, output_type=output_type)


@pytest.mark.parametrize("cls", PIPELINES)
def test_a_network_that_returns_other_channels_is_refused_before_it_is_called(cls, monkeypatch):
    pipe = tiny(cls, out_channels=1)
    monkeypatch.setattr(pipe.unet, "forward", None)
    with pytest.raises(ValueError, match="the unet takes 3 channels and returns 1; allowed are as many"):
        pipe(num_inference_steps=4)


@pytest.mark.parametrize("cls", PIPELINES)
def test_a_network_without_a_config_is_refused_at_the_first_step(cls):
    class Own(torch.nn.Module):
        sample_shape = (3, 8, 8)

        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(()))

        def forward(self, x, t):
            return minidiff.models.unet_2d.UNet2DOutput(self.scale * x[:, :1])

    pipe = quiet(cls(Own(), DDPMScheduler()))
    with pytest.raises(ValueError, match=r"model_output is of shape \(1, 1, 8, 8\); allowed is .* \(1, 3, 8, 8\)"):
        pipe(num_inference_steps=4)


def test_no_pil_image_has_two_channels(monkeypatch):
    pipe = tiny(in_channels=2, out_channels=2)
    assert pipe(num_inference_steps=2, output_type="np").images.shape == (1, 8, 8, 2)
    monkeypatch.setattr(pipe.unet, "forward", None)
    with pytest.raises(ValueError, match="output_type is 'pil'; allowed for 2 channels are 'np' and 'pt'"):
        pipe(num_inference_steps=2)


def test_numpy_is_another_name_of_np():
    pipe = tiny()
    draw = lambda kind: pipe(num_inference_steps=2, generator=seeded(), output_type=kind).images
    assert np.array_equal(draw("numpy"), draw("np"))


# -- schedulers and networks of other packages


@pytest.mark.parametrize("name", ["DDPMScheduler", "DPMSolverMultistepScheduler", "DDPMParallelScheduler"])
def test_a_scheduler_of_diffusers_draws_what_it_draws_there(name):
    unet = tiny_unet()
    theirs = diffusers.UNet2DModel(**TINY).eval()
    theirs.load_state_dict(unet.state_dict())
    make = lambda: getattr(diffusers, name)(num_train_timesteps=20)
    call = lambda: dict(num_inference_steps=5, generator=seeded(), output_type="np")
    ours = quiet(DDPMPipeline(unet, make()))(**call()).images
    assert np.abs(ours - quiet(diffusers.DDPMPipeline(theirs, make()))(**call()).images).max() < 1e-5


def test_a_scheduler_that_gives_no_x_0_is_asked_for_it_only_by_a_callback():
    pipe = quiet(DDPMPipeline(tiny_unet(), diffusers.DPMSolverMultistepScheduler(num_train_timesteps=20)))
    seen = []
    pipe(num_inference_steps=3, callback_on_step_end=lambda p, i, t, x: seen.append(list(x)),
         callback_on_step_end_tensor_inputs=("sample", "latents"))  # fmt: skip
    assert seen == [["sample", "latents"]] * 3


@pytest.mark.parametrize("name", ["EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler"])
def test_a_scheduler_with_a_scale_of_its_own_starts_there_and_shows_the_network_what_it_knows(name, monkeypatch):
    """In diffusers the DDPM loop does neither, and the network sees samples of a tenth of their noise."""
    scheduler, shown, starts = getattr(diffusers, name)(), [], []
    pipe = quiet(DDPMPipeline(tiny_unet(), scheduler))
    pipe.unet.register_forward_pre_hook(lambda module, args: shown.append(args[0].std().item()))
    pipe(8, seeded(), 5, callback_on_step_end=lambda p, i, t, x: starts.append(x["sample"].std().item()),
         callback_on_step_end_tensor_inputs=("sample",))  # fmt: skip
    assert starts[0] == pytest.approx(float(scheduler.init_noise_sigma), rel=0.1) and starts[0] > 100
    assert shown[0] == pytest.approx(1, rel=0.1)


def times_of_day(images):
    return zoo.evaluate(torch.as_tensor(images).permute(0, 3, 1, 2))["frequencies"]["time"]


def test_an_ancestral_scheduler_paints_days_and_nights():
    """diffusers' DDPM loop scales neither the first noise nor what the network sees: its scenes are at night."""
    ours = quiet(DDPMPipeline.from_pretrained(zoo.path("storybook-ddpm")))
    ours.scheduler = diffusers.EulerAncestralDiscreteScheduler.from_config(ours.scheduler.config)
    theirs = diffusers.UNet2DModel.from_pretrained(zoo.path("storybook-ddpm"), subfolder="unet")
    theirs = quiet(diffusers.DDPMPipeline(theirs, copy.deepcopy(ours.scheduler)))
    call = lambda: dict(batch_size=8, num_inference_steps=20, generator=seeded(), output_type="np")
    assert times_of_day(ours(**call()).images)["night"] <= 0.5
    assert times_of_day(theirs(**call()).images)["night"] >= 0.75


def test_a_network_of_diffusers_draws_here():
    theirs = diffusers.UNet2DModel(**TINY).eval()
    unet = UNet2DModel(**TINY).eval()
    unet.load_state_dict(theirs.state_dict())
    draw = lambda network: quiet(DDIMPipeline(network, DDPMScheduler()))(
        generator=seeded(), num_inference_steps=3, output_type="pt"
    )
    assert torch.allclose(draw(theirs).images, draw(unet).images, atol=1e-5)


def test_a_step_noise_does_not_depend_on_the_memory_layout():
    x = torch.zeros(2, 3, 4, 5)
    assert torch.equal(randn_like(x, seeded()), randn_like(x.to(memory_format=torch.channels_last), seeded()))


def test_what_another_package_made_is_saved_by_itself(tmp_path):
    import json

    pipe = DDPMPipeline(tiny_unet(), diffusers.EulerAncestralDiscreteScheduler(num_train_timesteps=20))
    pipe.save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index["scheduler"] == ["diffusers", "EulerAncestralDiscreteScheduler"]
    again = diffusers.EulerAncestralDiscreteScheduler.from_pretrained(tmp_path, subfolder="scheduler")
    assert again.config.num_train_timesteps == 20


def test_repr_shows_what_is_in_a_pipeline():
    lines = repr(tiny(T=20)).splitlines()
    assert lines[0] == "DDPMPipeline(" and lines[-1] == ")"
    assert lines[1] == "  unet: UNet2DModel, 0.01 million parameters, torch.float32 on cpu"
    assert lines[2].startswith("  scheduler: DDPMScheduler(num_train_timesteps=20, ")
    assert repr(DDPMPipeline(None, None)).splitlines()[1] == "  unet: None"
