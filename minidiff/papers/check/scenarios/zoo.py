"""What drives the paired statements of the zoo: recipes and measures."""

import torch

from minidiff.papers.check.scenarios.driving import rand, scenario, tiny_score_unet, tiny_unet, tiny_unet_1d


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


@scenario("minidiff.zoo.evaluator")
def evaluator(module):
    (m, C), (m_w, C_w) = (module.mean_and_covariance(rand(7, 4) * scale) for scale in (1, 2))
    module.frechet_distance(m, C, m_w, C_w)
