"""LDMPipeline: the pictures are those of diffusers, but for what diffusers has wrong."""

import diffusers
import numpy as np
import pytest
import torch
from against import seeded
from latent_pipelines import (
    PUBLISHED,
    REFUSED,
    both_pipelines,
    check_given_latents,
    check_output_types,
    check_pictures,
    check_refusal,
    check_watching,
    counted,
)

import minidiff
from minidiff import DDIMScheduler, DiffusionPipeline, LDMPipeline
from minidiff.course.mixture import Mixture, final_std

NAME = "LDMPipeline"


@pytest.mark.parametrize("kind", ("none", "one", "list"))
@pytest.mark.parametrize("count", (1, 7, 20))
def test_pictures(kind, count):
    check_pictures(both_pipelines(NAME), kind, batch_size=2, num_inference_steps=count)


@pytest.mark.parametrize("eta", (0.5, 1.0))
def test_pictures_with_noise_on_the_way(eta):
    """Of the global generator, the only one that theirs draws the noise of the steps from."""
    check_pictures(both_pipelines(NAME), "none", batch_size=2, num_inference_steps=5, eta=eta)


@pytest.mark.parametrize("scheduler", ("PNDMScheduler", "DDPMScheduler"))
def test_other_schedulers(scheduler):
    pipes = both_pipelines(NAME, scheduler=scheduler)
    check_pictures(pipes, "none", batch_size=2, num_inference_steps=6, eta=0.3)


@pytest.mark.parametrize("config", [{"set_alpha_to_one": False, "steps_offset": 1}, {"timestep_spacing": "trailing"}])
def test_other_configs(config):
    check_pictures(both_pipelines(NAME, **config), batch_size=2, num_inference_steps=5)


@pytest.mark.parametrize("eta", (0.5, 1.0))
def test_the_generator_reaches_every_draw(eta):
    """diffusers hands it to no step: what a seed gives there depends on what was drawn before."""
    same = []
    for pipe in both_pipelines(NAME):
        pictures = []
        for seed in (1, 2):  # of the global generator
            torch.manual_seed(seed)
            pictures.append(pipe(2, seeded(), eta, 5, output_type="np").images)
        same.append(np.array_equal(*pictures))
    assert same == [True, False]


def test_a_generator_a_sample():
    pipe, _ = both_pipelines(NAME)
    both = pipe(2, [seeded(1), seeded(2)], 0.7, 4, output_type="latent").images
    alone = pipe(1, seeded(2), 0.7, 4, output_type="latent").images
    assert torch.allclose(both[1:], alone, atol=1e-5)


class Enlarged(torch.nn.Module):
    """A linear autoencoder of one number a pixel: pictures times `gain`."""

    factor = 1

    def __init__(self, gain, scaling_factor):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(gain))
        self.config = minidiff.config.Config({"scaling_factor": scaling_factor})

    def decode(self, z):
        return minidiff.models.autoencoder_kl.DecoderOutput(sample=z / self.gain)


class Gaussian(torch.nn.Module):
    """The perfect network for latents of N(0, std^2)."""

    sample_shape = (3, 8, 8)

    def __init__(self, scheduler, std):
        super().__init__()
        self.network = Mixture([[0.0]], [std]).as_network(scheduler.alphas_cumprod)

    def forward(self, sample, timestep):
        flat = self.network(sample.double().reshape(-1, 1), timestep).sample
        return minidiff.models.unet_2d.UNet2DOutput(sample=flat.reshape(sample.shape).to(sample.dtype))


def test_data_whose_latents_are_known():
    """Pictures of std 0.3, latents of std 2.4, scaled to 0.6: what comes out has the std of the pictures again."""
    scheduler = DDIMScheduler(clip_sample=False, beta_schedule="scaled_linear", beta_start=0.0015, beta_end=0.0195)
    pipe = LDMPipeline(Enlarged(8.0, scaling_factor=0.25), Gaussian(scheduler, 0.6), scheduler)
    pipe.set_progress_bar_config(disable=True)
    pictures = pipe(200, seeded(), num_inference_steps=50, output_type="pt").images * 2 - 1
    wanted = final_std(scheduler, 0.6, 50) / 8 / 0.25  # the steps of 50 are coarse, and known exactly
    assert wanted == pytest.approx(0.3, rel=0.1)
    assert pictures.std().item() == pytest.approx(wanted, rel=0.02)


def test_the_published_config_is_decoded_as_it_was_trained(tmp_path):
    """It has no scaling_factor; diffusers then divides by 0.18215, and decodes what lies 5.5 times too far out."""
    ours, theirs = both_pipelines(NAME)
    config = {key: value for key, value in theirs.vqvae.config.items() if key != "scaling_factor" and key[0] != "_"}
    for pipe, library in ((ours, minidiff), (theirs, diffusers)):
        vqvae = library.VQModel.from_config(config)
        vqvae.load_state_dict(pipe.vqvae.state_dict())
        pipe.vqvae = vqvae.eval()
    assert (ours.vqvae.config.scaling_factor, theirs.vqvae.config.scaling_factor) == (1.0, 0.18215)
    z_0 = ours(2, seeded(), num_inference_steps=3, output_type="latent").images
    with torch.no_grad():
        right = (theirs.vqvae.decode(z_0).sample / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    drawn = [pipe(2, seeded(), num_inference_steps=3, output_type="np").images for pipe in (ours, theirs)]
    np.testing.assert_allclose(drawn[0], right, atol=1e-5)
    assert np.abs(drawn[1] - right).max() > 0.05
    scales = []
    for pipe in (ours, theirs):
        pipe.vqvae.quantize.register_forward_pre_hook(lambda module, arguments: scales.append(arguments[0].std()))
        pipe(2, seeded(), num_inference_steps=3)
    assert scales[1] / scales[0] == pytest.approx(5.49, abs=0.01)


def test_where_the_published_sampler_stood():
    """The authors sampled one timestep later and ended at the level of timestep 0; the published file says neither."""
    published, authors = ({}, {"steps_offset": 1, "set_alpha_to_one": False})
    stds = [final_std(DDIMScheduler.from_config(PUBLISHED | config), 0.5, 50) for config in (published, authors)]
    assert stds == pytest.approx([0.4639, 0.4694], abs=1e-4)
    theirs = diffusers.DDIMScheduler.from_config(PUBLISHED)
    theirs.set_timesteps(50)
    ours = DDIMScheduler.from_config(PUBLISHED)
    ours.set_timesteps(50)
    assert torch.equal(ours.timesteps, theirs.timesteps) and ours.timesteps[0] == 980


def test_loading_and_saving(tmp_path):
    ours, theirs = both_pipelines(NAME)
    theirs.save_pretrained(tmp_path / "theirs")
    loaded = DiffusionPipeline.from_pretrained(tmp_path / "theirs")
    assert type(loaded) is LDMPipeline
    loaded.save_pretrained(tmp_path / "ours")
    again = diffusers.LDMPipeline.from_pretrained(tmp_path / "ours")
    for pipe in (loaded, again):
        pipe.set_progress_bar_config(disable=True)
    check_pictures((loaded, again), batch_size=2, num_inference_steps=3)


def test_by_default_there_are_fifty_steps():
    pipe, _ = both_pipelines(NAME)
    calls = counted(pipe)
    pipe()
    assert calls == list(range(980, -1, -20))


def test_output_types():
    pipes = both_pipelines(NAME)
    z_0, pictures = check_output_types(pipes, batch_size=2)
    with torch.no_grad():
        decoded = pipes[0].vqvae.decode(z_0 / 0.5).sample
    assert torch.equal((decoded / 2 + 0.5).clamp(0, 1), pictures)


def test_given_latents():
    check_given_latents(both_pipelines(NAME)[0], (2, 3, 4, 4), batch_size=2)


def test_watching():
    check_watching(both_pipelines(NAME)[0], (2, 3, 4, 4), batch_size=2)


@pytest.mark.parametrize("change, message", (*REFUSED, ({"batch_size": 0}, "batch_size is 0; allowed")))
def test_arguments_that_are_refused(change, message):
    check_refusal(both_pipelines(NAME)[0], message, {"batch_size": 2} | change)


def test_a_misspelt_argument():
    message = "LDMPipeline has no argument 'num_inference_step'; did you mean 'num_inference_steps'"
    check_refusal(both_pipelines(NAME)[0], message, {"num_inference_step": 3}, TypeError)
