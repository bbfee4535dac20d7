r"""storybook-ncsnpp: a small NCSN++, which predicts the score of noisy 32x32 drawings, for ScoreSdeVe and KarrasVe.

Score-Based Generative Modeling through Stochastic Differential Equations. Song et al., ICLR 2021, arXiv:2011.13456,
equation 7 for the variance exploding SDE, with two changes. The times of a batch are stratified, one from each of B
equal parts of [0, 1], which makes the loss less noisy and changes nothing in its mean. And the paper's weight, which is
1 for the error of the predicted noise, grows with the noise level: the more noise there is, the better it can be
predicted, and at sigma = 50 a network that knows no drawing at all is wrong by one part in 200. The weight
sigma / 0.5 is that of Perception Prioritized Training of Diffusion Models (Choi, Lee, Shin, Kim, Kim & Yoon, CVPR 2022,
arXiv:2204.00227) at k = 0 and gamma = 1/2, kept from falling below 0.2: so weighted, every time adds to the loss.

Muon moves the hidden weights from the first step on.

What is left to gain: predictor and corrector draw orange, which lies between red and yellow, at a quarter of its share
of the drawings, and red and yellow at 1.3 times theirs; by Karras' sampler with a quarter of its churn 7 of 100
pictures were orange, where 12 or 13 would be its share. Of the 24 pictures that the evaluator is least sure of, the
worst have colours between those of the world, amber cats and orange-red trees, or smear what is white on white: a
mushroom's spots, a star's face, a cat's tail. The network had 6,000 steps, and its loss was still falling.
"""

import torch

from minidiff.models.unet_2d import UNet2DModel
from minidiff.noise import randn
from minidiff.pipelines.score_sde_ve import ScoreSdeVePipeline
from minidiff.schedulers.score_sde_ve import ScoreSdeVeScheduler
from minidiff.schedulers.sde import VESDE
from minidiff.zoo import world
from minidiff.zoo.recipes.muon import Muon
from minidiff.zoo.recipes.quality import quality
from minidiff.zoo.recipes.training import TrainingRecipe


class Recipe(TrainingRecipe):
    name, seed, steps, batch_size = "storybook-ncsnpp", 0, 6_000, 32
    learning_rate, warmup, ema_decay = 2e-3, 300, 0.9993
    drawings = 50_000
    sde = VESDE(sigma_min=0.01, sigma_max=50.0)  # as published for CIFAR-10, pictures of the same size

    def network(self):
        """Few channels at full resolution, since that is where the time goes; else laid out like
        google/ncsnpp-celebahq-256, but with attention in the middle alone.
        """
        network = UNet2DModel(
            sample_size=32,
            center_input_sample=True,
            time_embedding_type="fourier",
            down_block_types=("SkipDownBlock2D",) * 3,
            up_block_types=("SkipUpBlock2D",) * 3,
            block_out_channels=(32, 64, 96),
            layers_per_block=1,
            mid_block_scale_factor=2**0.5,
            attention_head_dim=32,
            norm_num_groups=None,
            norm_eps=1e-6,
        )
        W = network.time_proj.weight  # the weights are saved in float16, where a frequency of 40 is off by 0.015
        W.copy_(W.half())
        return network

    def optimizers(self, network, step):
        weights = {name: W for name, W in network.named_parameters() if W.requires_grad}
        hidden = [name for name, W in weights.items() if W.ndim > 1 and not name.startswith(("conv_in.", "conv_out."))]
        muon = Muon([weights.pop(name) for name in hidden], self.learning_rate)
        return [muon, torch.optim.AdamW(weights.values(), self.learning_rate, betas=(0.9, 0.99), weight_decay=0.01)]

    def data(self):
        pixels, _ = world.training_set(self.drawings, seed=self.seed, size=32)
        return (torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(),)  # (n, 3, 32, 32) uint8

    def loss(self, network, batch, generator, step):
        x_0 = batch[0].float() / 255  # in [0, 1]
        B = len(x_0)
        t = (torch.arange(B) + torch.rand(B, generator=generator)) / B
        mean, sigma = self.sde.marginal(x_0, t.to(x_0.device).reshape(B, 1, 1, 1))
        z = randn(x_0.shape, generator, x_0.device)

        # SDE (29)  x_t = \mathrm{mean} + \sigma z
        x_t = mean + sigma * z
        s_theta = network(x_t, sigma.flatten()).sample.float()

        k, gamma = 0, 0.5  # the paper's k is 1
        # P2, guarded  w = \max\left(\frac{1}{(k + 0.5^2 / \sigma^2)^\gamma}, 0.2\right)
        w = (1 / (k + 0.5**2 / sigma**2) ** gamma).clamp(min=0.2)  # (B, 1, 1, 1); 0.5: about the spread of a drawing

        # SDE (7), weighted  L = \overline{w (\sigma s_\theta(x_t, t) + z)^2}
        L = (w * (sigma * s_theta + z) ** 2).mean()
        return L

    def save(self, network, folder):
        scheduler = ScoreSdeVeScheduler(
            snr=0.16, sigma_min=self.sde.sigma_min, sigma_max=self.sde.sigma_max, sampling_eps=1e-5, correct_steps=1
        )
        ScoreSdeVePipeline(network.half(), scheduler).save_pretrained(folder)

    def measure(self, folder, samples=1_000, steps=200):
        """What samples by predictor and corrector are worth."""
        pipe = ScoreSdeVePipeline.from_pretrained(folder).to(memory_format=torch.channels_last)  # the faster layout
        draw = lambda k: pipe(100, steps, torch.Generator().manual_seed(k), "pt").images
        pictures = torch.cat([draw(k) for k in range(samples // 100)])
        return {"steps": steps} | quality(pictures, self.drawings, self.seed)
