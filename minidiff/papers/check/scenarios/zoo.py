"""What drives the paired statements of the zoo: recipes and measures."""

import importlib

import torch

from minidiff.papers.check.scenarios.driving import (
    rand,
    scenario,
    tiny_autoencoder,
    tiny_score_unet,
    tiny_unet,
    tiny_unet_1d,
)


@scenario("minidiff.zoo.recipes.storybook_ddpm")
def storybook_ddpm(module):
    pictures = torch.randint(256, (2, 3, 16, 20), dtype=torch.uint8)
    recipe = module.Recipe()
    recipe.loss(tiny_unet(), (pictures,), torch.Generator().manual_seed(0), step=recipe.restarts[0])


@scenario("minidiff.zoo.recipes.notes_dance_diffusion")
def notes_dance_diffusion(module):
    waves = torch.randint(-32767, 32768, (2, 3, 16), dtype=torch.int16)
    module.Recipe().loss(tiny_unet_1d(), (waves,), torch.Generator().manual_seed(0), step=0)


@scenario("minidiff.zoo.recipes.storybook_ncsnpp")
def storybook_ncsnpp(module):
    pictures = torch.randint(256, (7, 3, 16, 20), dtype=torch.uint8)
    module.Recipe().loss(tiny_score_unet(), (pictures,), torch.Generator().manual_seed(0), step=0)


@scenario("minidiff.zoo.recipes.latents")
def latents(module):
    module.latent_std(rand() + 1)
    recipe = importlib.import_module("minidiff.zoo.recipes.storybook_ldm").Recipe()
    for seed in range(6):  # times on both sides of the largest weight
        recipe.noise_loss(rand(), lambda z_t, t: 0.9 * z_t, torch.Generator().manual_seed(seed))


@scenario("minidiff.zoo.recipes.storybook_kl")
def storybook_kl(module):
    network = tiny_autoencoder("autoencoder_kl", latent_channels=3)
    pictures = torch.randint(256, (2, 3, 16, 20), dtype=torch.uint8)
    module.Recipe().loss(network, (pictures,), torch.Generator().manual_seed(0), step=0)


@scenario("minidiff.zoo.recipes.storybook_clip")
def storybook_clip(module):
    class Seen(torch.nn.Module):
        """What both models would say."""

        logit_scale = torch.tensor(0.7)
        pictures, texts = lambda self, x: rand(2, 5), lambda self, ids: rand(2, 5)

    pixels = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    module.Recipe().loss(Seen(), (pixels, torch.tensor([3, 7])), torch.Generator().manual_seed(0), step=0)


@scenario("minidiff.zoo.evaluator")
def evaluator(module):
    (m, C), (m_w, C_w) = (module.mean_and_covariance(rand(7, 4) * scale) for scale in (1, 2))
    module.frechet_distance(m, C, m_w, C_w)
