"""ScoreSdeVePipeline, ScoreSdeVpPipeline and KarrasVePipeline: the pictures are those of diffusers, or of the paper."""

import json

import diffusers
import numpy as np
import pytest
import torch
from against import assert_close, generators, seeded
from pictures import REFUSED, tiny_unet
from scores import ScoreNetwork, gaussian

import minidiff
from minidiff import (
    DDIMScheduler,
    DDPMScheduler,
    DiffusionPipeline,
    KarrasVePipeline,
    KarrasVeScheduler,
    PNDMScheduler,
    ScoreSdeVePipeline,
    ScoreSdeVeScheduler,
    ScoreSdeVpPipeline,
    ScoreSdeVpScheduler,
    UNet2DModel,
    zoo,
)
from minidiff.course.mixture import Mixture

SCORE = {
    "sample_size": 8,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "norm_num_groups": None,
    "center_input_sample": True,
    "time_embedding_type": "fourier",
    "mid_block_scale_factor": 2**0.5,
    "attention_head_dim": None,
    "down_block_types": ("SkipDownBlock2D",) * 2,
    "up_block_types": ("SkipUpBlock2D",) * 2,
}
PIPELINES = {
    "ScoreSdeVePipeline": {"snr": 0.16, "sigma_max": 50.0},
    "KarrasVePipeline": {"sigma_schedule": "diffusers", "sigma_max": 5.0, "sigma_min": 0.05},
}
each_pipeline = pytest.mark.parametrize("name", PIPELINES)


def score_unet(**options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return UNet2DModel(**SCORE | options).eval()


def quiet(pipe):
    pipe.set_progress_bar_config(disable=True)
    return pipe


def both(name, **config):
    """Ours and theirs, with equal tiny networks, in float64."""
    ours, config = score_unet(), PIPELINES[name] | config
    theirs = diffusers.UNet2DModel(**SCORE).eval()
    theirs.load_state_dict(ours.state_dict())
    kind = name.replace("Pipeline", "Scheduler")
    known = {key: value for key, value in config.items() if key != "sigma_schedule"}
    their_schedulers = diffusers if name == "ScoreSdeVePipeline" else diffusers.schedulers.deprecated
    pipes = [getattr(minidiff, name)(ours, getattr(minidiff, kind)(**config))]
    pipes.append(getattr(diffusers.pipelines, name)(theirs, getattr(their_schedulers, kind)(**known)))
    return [quiet(pipe) for pipe in pipes]


@pytest.mark.parametrize("count", (8, 30))
def test_the_scheduler_of_diffusers_walks_along_as_many_levels(count):
    ours, theirs = both("ScoreSdeVePipeline")
    mixed = quiet(ScoreSdeVePipeline(ours.unet, theirs.scheduler))
    drawn = [pipe(2, count, seeded(), "np").images for pipe in (mixed, theirs)]
    np.testing.assert_allclose(*drawn, rtol=0, atol=1e-4)


def vp():
    return quiet(ScoreSdeVpPipeline(tiny_unet(), DDPMScheduler()))


def check_pictures(name, kind="one", steps=8, **config):
    results = []
    for pipe, generator in zip(both(name, **config), generators(kind)):
        torch.manual_seed(3)
        results.append(pipe(2, steps, generator, "np").images)
    assert results[0].shape == (2, 8, 8, 3) and results[0].dtype == np.float32 and results[0].std() > 0.05
    np.testing.assert_allclose(*results, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ("none", "one", "list"))
@each_pipeline
def test_pictures(name, kind):
    check_pictures(name, kind)


@pytest.mark.parametrize("config", ({"correct_steps": 0}, {"correct_steps": 2}, {"snr": 0.05}, {"sampling_eps": 1e-3}))
def test_other_correctors(config):
    check_pictures("ScoreSdeVePipeline", **config)


@pytest.mark.parametrize("config", ({"s_churn": 0}, {"s_churn": 4, "s_noise": 1.0}, {"sigma_max": 2.0}))
def test_other_churn(config):
    check_pictures("KarrasVePipeline", **config)


@each_pipeline
@torch.no_grad()
def test_each_call_and_each_step(name):
    """Of a longer walk every call of the network and every step, held against diffusers' at the same sample."""
    ours, theirs = both(name)
    calls, generator, scheduler = [], seeded(), theirs.scheduler
    ours.unet.register_forward_hook(lambda module, arguments, output: calls.append((*arguments, output.sample)))
    ours(2, 25, seeded())

    def called(x):
        """What ours was told about x, which has to be where it was asked."""
        sample, sigma, score = calls.pop(0)
        assert_close(sample, x)
        assert_close(score, theirs.unet(sample, sigma).sample)
        return sample, sigma, score

    x = scheduler.init_noise_sigma * torch.randn(2, 3, 8, 8, generator=generator)
    scheduler.set_timesteps(25)
    if name == "ScoreSdeVePipeline":
        scheduler.set_sigmas(25)
        for t in scheduler.timesteps:
            sample, _, score = called(x)
            sample, _, score = called(scheduler.step_correct(score, sample, generator).prev_sample)
            x = scheduler.step_pred(score, t, sample, generator).prev_sample
    else:
        for t in scheduler.timesteps:
            sigma_prev = scheduler.schedule[t - 1] if t > 0 else 0
            x_hat, sigma_hat = scheduler.add_noise_to_input(x, scheduler.schedule[t], generator)
            sample, sigma, score = called((x_hat + 1) / 2)
            assert sigma == pytest.approx(float(sigma_hat) / 2)
            step = scheduler.step(sigma * score, sigma_hat, sigma_prev, 2 * sample - 1)
            if t > 0:
                sample, sigma, score = called((step.prev_sample + 1) / 2)
                before = sigma * score, sigma_hat, sigma_prev, x_hat, 2 * sample - 1, step.derivative
                step = scheduler.step_correct(*before)
            x = step.prev_sample
    assert not calls


# -- closed forms


def test_ve_draws_the_data():
    """Of pictures that are N(0, 0.1^2)."""
    network, scheduler = ScoreNetwork(gaussian(0.1, 48), (3, 4, 4)), ScoreSdeVeScheduler(snr=0.16, sigma_max=5.0)
    quiet(ScoreSdeVePipeline(network, scheduler))(64, 60, seeded(), callback_on_step_end=last)
    assert last.seen.shape == (64, 3, 4, 4) and last.seen.std() == pytest.approx(0.1, abs=0.01)


def last(pipe, i, t, tensors):
    last.seen = tensors["latents"]


def test_karras_draws_the_data():
    """Of pictures in [0, 1] that are 1/2 + N(0, 0.1^2), in [-1, 1] N(0, 0.2^2)."""
    network = ScoreNetwork(Mixture([[0.5] * 48], [0.1]), (3, 4, 4))
    for schedule in ("ve", "rho"):
        scheduler = KarrasVeScheduler(sigma_min=0.01, sigma_max=10.0, sigma_schedule=schedule)
        quiet(KarrasVePipeline(network, scheduler))(64, 40, seeded(), callback_on_step_end=last)
        assert last.seen.mean() == pytest.approx(0, abs=0.02) and last.seen.std() == pytest.approx(0.2, abs=0.01)


# -- the variance preserving one


def test_vp_walks_by_the_table_of_the_network():
    pipe, calls = vp(), []
    pipe.unet.register_forward_hook(lambda module, arguments, output: calls.append(float(arguments[1])))
    pipe(2, 10, seeded())
    assert isinstance(pipe.scheduler, ScoreSdeVpScheduler) and pipe.scheduler.config.trained_on == "table"
    assert calls == pytest.approx(np.linspace(999, 0.999, 10), rel=1e-5)


@pytest.mark.parametrize("config", ({}, {"predictor": "reverse_diffusion"}, {"correct_steps": 1}), ids=str)
@torch.no_grad()
def test_vp_is_the_loop_of_the_paper(config):
    unet, scheduler = tiny_unet(), ScoreSdeVpScheduler(**config)
    drawn = quiet(ScoreSdeVpPipeline(unet, scheduler))(2, 30, seeded(), "pt").images
    generator = seeded()
    x = torch.randn(2, 3, 8, 8, generator=generator)
    scheduler.set_timesteps(30)
    for t in np.linspace(1, 1e-3, 30):
        t = scheduler.timesteps[(scheduler.timesteps - t).abs().argmin()]
        for _ in range(config.get("correct_steps", 0)):
            x = scheduler.step_correct(unet(x, 999 * t).sample, x, t, generator)
        x, x_mean = scheduler.step_pred(unet(x, 999 * t).sample, x, t, generator)
    assert_close(drawn, (x_mean / 2 + 0.5).clamp(0, 1), 1e-4)


def test_vp_draws_with_the_networks_of_ddpm():
    pipe = quiet(ScoreSdeVpPipeline.from_pretrained(zoo.path("storybook-ddpm")))
    images = pipe(2, 4, seeded(), "np").images
    assert images.shape == (2, 32, 32, 3) and pipe.scheduler.sde.beta_max == pytest.approx(20)


# -- what is true of all three


MAKE = {
    "ScoreSdeVePipeline": lambda: both("ScoreSdeVePipeline")[0],
    "ScoreSdeVpPipeline": vp,
    "KarrasVePipeline": lambda: both("KarrasVePipeline")[0],
}
of_all = pytest.mark.parametrize("name", MAKE)


@of_all
def test_output_types(name):
    pipe = MAKE[name]()
    drawn = {kind: pipe(2, 5, seeded(), kind).images for kind in ("np", "pt", "pil")}
    assert np.array_equal(drawn["pt"].permute(0, 2, 3, 1).float().numpy(), drawn["np"])
    for picture, array in zip(drawn["pil"], drawn["np"]):
        assert np.array_equal(np.asarray(picture), (array * 255).round().astype("uint8"))
    (images,) = pipe(2, 5, seeded(), "np", return_dict=False)
    assert np.array_equal(images, drawn["np"])


@of_all
def test_given_latents(name):
    pipe, generator = MAKE[name](), seeded()
    z = torch.randn(2, 3, 8, 8, generator=generator, dtype=pipe.dtype)
    given = pipe(2, 5, generator, "np", latents=z).images
    assert np.array_equal(given, pipe(2, 5, seeded(), "np").images)


@of_all
def test_watching(name):
    pipe, seen = MAKE[name](), []
    names = ("latents", "sample", "model_output", "pred_original_sample")

    def watch(pipe, i, t, tensors):
        seen.append((i, float(t)))
        assert tuple(tensors) == names and all(tensor.shape == (1, 3, 8, 8) for tensor in tensors.values())
        pipe.interrupt = i == 1
        return {"latents": torch.ones_like(tensors["latents"])}

    call = {"callback_on_step_end": watch, "callback_on_step_end_tensor_inputs": names}
    assert (pipe(1, 5, seeded(), "np", **call).images == 1).all()
    assert [i for i, _ in seen] == [0, 1] and [t for _, t in seen] == pytest.approx(
        pipe.scheduler.timesteps[:2].tolist()
    )
    plain, seeing = (pipe(1, 5, seeded(), "np", callback_on_step_end=f).images for f in (None, lambda *a: None))
    assert np.array_equal(plain, seeing)


@of_all
def test_what_is_saved_is_loaded(name, tmp_path):
    pipe = MAKE[name]()
    pipe.unet.float()
    pipe.save_pretrained(tmp_path)
    loaded = quiet(DiffusionPipeline.from_pretrained(tmp_path))
    assert type(loaded) is type(pipe) and loaded.scheduler.config == pipe.scheduler.config
    drawn = [one(1, 5, seeded(), "np").images for one in (loaded, pipe)]
    np.testing.assert_allclose(*drawn, rtol=0, atol=1e-3)  # a clipped, untrained picture lets roundings grow


def test_a_published_folder_of_old(tmp_path):
    """google/ncsnpp-celebahq-256 once: all in one folder, a pickle, and VeSdeScheduler."""
    unet = score_unet()
    unet.save_pretrained(tmp_path)
    torch.save(unet.state_dict(), tmp_path / "diffusion_pytorch_model.bin")
    (tmp_path / "diffusion_pytorch_model.safetensors").unlink()
    parts = {"scheduler": ["diffusers", "VeSdeScheduler"], "unet": ["diffusers", "UNetUnconditionalModel"]}
    index = {"_class_name": "ScoreSdeVePipeline", "_diffusers_version": "0.0.4"} | parts
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    levels = {"sampling_eps": 1e-05, "sigma_max": 380, "sigma_min": 0.01, "snr": 0.075, "timestep_values": None}
    scheduler = {"_class_name": "VeSdeScheduler", "_diffusers_version": "0.0.4", "tensor_format": "pt"} | levels
    (tmp_path / "scheduler_config.json").write_text(json.dumps(scheduler))
    pipe = quiet(DiffusionPipeline.from_pretrained(tmp_path))
    assert isinstance(pipe.scheduler, ScoreSdeVeScheduler) and pipe.scheduler.init_noise_sigma == 380
    assert len(pipe.scheduler) == 2000 and pipe.scheduler.config.correct_steps == 1
    assert pipe(1, 5, seeded(), "np").images.shape == (1, 8, 8, 3)
    karras = quiet(KarrasVePipeline.from_pretrained(tmp_path))
    assert (karras.scheduler.config.sigma_min, karras.scheduler.config.sigma_max) == (0.02, 760)
    assert karras(1, 5, seeded(), "np").images.shape == (1, 8, 8, 3)


@pytest.mark.parametrize(
    "arguments, message",
    [(arguments, message) for arguments, message in REFUSED if "num_inference_steps" not in arguments],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
@of_all
def test_arguments_that_are_refused(name, arguments, message):
    pipe = MAKE[name]()
    pipe.unet.register_forward_hook(lambda *arguments: pytest.fail("the network was called"))
    with pytest.raises(ValueError, match=message):
        pipe(**{"num_inference_steps": 5} | arguments)


@of_all
def test_counts_that_are_refused(name):
    least = 1 if name == "ScoreSdeVpPipeline" else 2
    for count in (0, -1, 2.0, "5", None):
        with pytest.raises(
            ValueError, match=f"num_inference_steps is {count!r}; allowed is a whole number from {least} on"
        ):
            MAKE[name]()(num_inference_steps=count)


@of_all
def test_defaults_are_theirs(name):
    steps, pipe = {"ScoreSdeVePipeline": 2000, "KarrasVePipeline": 50, "ScoreSdeVpPipeline": 1000}[name], MAKE[name]()

    def stop(pipe, i, t, tensors):
        pipe.interrupt = True

    pipe(callback_on_step_end=stop)
    assert len(pipe.scheduler.timesteps) == steps


def test_networks_of_another_time_are_refused():
    for pipeline, scheduler in ((ScoreSdeVePipeline, ScoreSdeVeScheduler()), (KarrasVePipeline, KarrasVeScheduler())):
        with pytest.raises(
            ValueError, match="unet has time_embedding_type='positional', so it was trained to be told tim"
        ):
            pipeline(tiny_unet(), scheduler)
    with pytest.raises(ValueError, match="time_embedding_type='fourier'.*allowed are networks that are told timesteps"):
        ScoreSdeVpPipeline(score_unet(), ScoreSdeVpScheduler())


def test_schedulers_of_another_kind_are_refused():
    for pipeline, other in ((ScoreSdeVePipeline, KarrasVeScheduler()), (KarrasVePipeline, DDIMScheduler())):
        with pytest.raises(ValueError, match=f"scheduler is a {type(other).__name__}; allowed is a"):
            pipeline(score_unet(), other)
    with pytest.raises(
        ValueError, match="scheduler is a ScoreSdeVeScheduler; allowed is a ScoreSdeVpScheduler, a DDPM"
    ):
        ScoreSdeVpPipeline(tiny_unet(), ScoreSdeVeScheduler())
    with pytest.raises(ValueError, match=r"betas \(beta_schedule='scaled_linear'\) are not linear"):
        ScoreSdeVpPipeline(tiny_unet(), PNDMScheduler(beta_schedule="scaled_linear"))


def test_a_batch_of_other_pictures_changes_a_picture():
    """The corrector's step is as long for all: see the ledger, "Langevin batch". Karras' sampler has none."""
    for name, alike in (("ScoreSdeVePipeline", False), ("KarrasVePipeline", True)):
        pipe = both(name)[0]
        alone = pipe(1, 8, [seeded(1)], "np").images[0]
        together = pipe(2, 8, [seeded(1), seeded(2)], "np").images[0]
        assert np.allclose(alone, together, atol=1e-6) == alike
