r"""storybook-ncsnpp: a small NCSN++, which predicts the score of noisy 32x32 drawings, for ScoreSdeVe and KarrasVe.

Score-Based Generative Modeling through Stochastic Differential Equations. Song et al., ICLR 2021, arXiv:2011.13456,
equation 7 for the variance exploding SDE, with two changes. The times of a batch are stratified, one from each of B
equal parts of [0, 1], which makes the loss less noisy and changes nothing in its mean. And the paper's weight, which is
1 for the error of the predicted noise, grows with the noise level: the more noise there is, the better it can be
predicted, and at sigma = 50 a network that knows no drawing at all is wrong by one part in 200. The weight
sigma / 0.5 is that of Perception Prioritized Training of Diffusion Models (Choi, Lee, Shin, Kim, Kim & Yoon, CVPR 2022,
arXiv:2204.00227) at k = 0 and gamma = 1/2, kept from falling below 0.2: so weighted, every time adds to the loss.

Muon moves the hidden weights from the first step on.

So weighted, the loss has least to say where colours are told apart, between the noise levels 0.1 and 1.2, and after
12,000 steps the network let the colour of a noisy drawing pass almost as it was. Orange lies between red and yellow:
predictor and corrector wandered off to both and never came back, and drew orange at a quarter of its share. So in the
last part of the run every second time of a batch is moved to these levels, and its error weighs four times as much.
Whatever is a little beside orange is now taken back to it.

The first part, 6,000 steps, took 73 minutes of a processor, the other two 13 on a GPU.

What is left to gain: orange is at 0.84 of its share, yellow at 1.25. The last part sees every second of the B equal
parts at those levels alone, and with them the least noise: at sigma = 0.0105 the squared error of the predicted noise
grew from 0.19 to 0.26. With both halves of the batch stratified by themselves it was 0.22; but that trial had 3,500
steps instead of 5,000, and 200 of its pictures had orange at a third of its share. Four times as many pictures in a
batch, 5,000 steps, gave 0.99 in 1,000 pictures. And the network needs noise on the way: of 100 pictures by the
probability flow ODE (Karras' sampler without churn, 40 steps, seed 1) only 45 showed an object beyond doubt, with churn
99. Of 100 pictures by predictor and corrector that were looked at, the worst are black stars and white ones, whose
faces are smeared.
"""

import math

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

COLOUR_SIGMAS = (0.1, 1.2)  # noise levels between which colours are told apart


class Recipe(TrainingRecipe):
    name, seed, steps, batch_size = "storybook-ncsnpp", 0, 17_000, 32
    restarts = (6_000, 12_000)
    bfloat16 = False  # it rounds what is near 1 by as much as 0.004, and the least noise is 0.01
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
        t, at_colours = self.times(B, step, generator)
        mean, sigma = self.sde.marginal(x_0, t.to(x_0.device).reshape(B, 1, 1, 1))
        z = randn(x_0.shape, generator, x_0.device)

        # SDE (29)  x_t = \mathrm{mean} + \sigma z
        x_t = mean + sigma * z
        s_theta = network(x_t, sigma.flatten()).sample.float()

        k, gamma = 0, 0.5  # the paper's k is 1
        # P2, guarded  w = \max\left(\frac{1}{(k + 0.5^2 / \sigma^2)^\gamma}, 0.2\right)
        w = (1 / (k + 0.5**2 / sigma**2) ** gamma).clamp(min=0.2)  # (B, 1, 1, 1); 0.5: about the spread of a drawing
        w = torch.where(at_colours.to(w.device).reshape(B, 1, 1, 1), 4 * w, w)

        # SDE (7), weighted  L = \overline{w (\sigma s_\theta(x_t, t) + z)^2}
        L = (w * (sigma * s_theta + z) ** 2).mean()
        return L

    def times(self, B, step, generator):
        """One t from each of B equal parts of [0, 1]; in the last part of the run every second one is moved to where
        colours are told apart.

        Returns:
            (t, which of them are there): (B,) floats from 0 to 1, and (B,) booleans.
        """
        t = (torch.arange(B) + torch.rand(B, generator=generator)) / B
        at_colours = (torch.arange(B) % 2 == 0) & (step >= self.restarts[-1])
        low, high = (math.log(s / self.sde.sigma_min, self.sde.sigma_max / self.sde.sigma_min) for s in COLOUR_SIGMAS)
        return torch.where(at_colours, low + (high - low) * t, t), at_colours

    def save(self, network, folder):
        scheduler = ScoreSdeVeScheduler(
            snr=0.16, sigma_min=self.sde.sigma_min, sigma_max=self.sde.sigma_max, sampling_eps=1e-5, correct_steps=1
        )
        ScoreSdeVePipeline(network.half(), scheduler).save_pretrained(folder)

    def measure(self, folder, device="cpu", samples=1_000, steps=200):
        """What samples by predictor and corrector are worth."""
        pipe = ScoreSdeVePipeline.from_pretrained(folder).to(device)
        pipe.to(memory_format=torch.channels_last)  # the faster layout
        draw = lambda k: pipe(100, steps, torch.Generator().manual_seed(k), "pt").images
        pictures = torch.cat([draw(k) for k in range(samples // 100)])
        return {"steps": steps} | quality(pictures, self.drawings, self.seed)
