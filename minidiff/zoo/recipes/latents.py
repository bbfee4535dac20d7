r"""What the recipes of latent diffusion share: drawings as tensors, autoencoders and what they are worth, the loss.

High-Resolution Image Synthesis with Latent Diffusion Models. Rombach, Blattmann, Lorenz, Esser & Ommer, CVPR 2022,
arXiv:2112.10752. The times of a batch are stratified and weighted as in storybook-ddpm, so that each adds about as much
to the loss as any other; the largest weights are cut off at 8.

Letters: the paper's z_t is the noisy latent, x a drawing, y what it is drawn from: a prompt, or a small drawing.
"""

from pathlib import Path

import numpy as np
import torch

from minidiff import zoo
from minidiff.models.autoencoder_kl import AutoencoderKL
from minidiff.noise import randn
from minidiff.zoo import world
from minidiff.zoo.recipes.muon import Muon
from minidiff.zoo.recipes.training import TrainingRecipe

SIZE = 64  # of the drawings that an autoencoder sees


def drawings(n, seed=0):
    """The first n drawings of the training stream: (n, 3, 64, 64) uint8, and their attributes."""
    pixels, shown = world.training_set(n, seed, SIZE)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), shown


def unseen_drawings(n):
    """Drawings that no recipe trains on, of held-out combinations too: (n, 3, 64, 64) in [-1, 1]."""
    pixels = np.stack([np.asarray(world.draw(seed=9_000_000 + k, size=SIZE).image) for k in range(n)])
    return centred(torch.from_numpy(pixels).permute(0, 3, 1, 2))


def centred(levels):
    """Levels 0 ... 255 to [-1, 1], float32."""
    return levels.float() / 127.5 - 1


def hidden_by_muon(network, eta, others=("conv_in.weight", "conv_out.weight")):
    """Muon for the matrices and kernels of `network`, but for those whose names end in `others`; AdamW for the rest.

    Args:
        eta: the learning rate of both.
    """
    weights = dict(network.named_parameters())
    hidden = [name for name, W in weights.items() if W.ndim > 1 and not name.endswith(others)]
    muon = Muon([weights.pop(name) for name in hidden], eta)
    return [muon, torch.optim.AdamW(weights.values(), eta, betas=(0.9, 0.99), weight_decay=0.0)]


def reconstruction_loss(x_hat, x):
    """The absolute differences keep edges sharp, the squared ones keep large errors rare."""
    return (x_hat - x).abs().mean() + 0.5 * ((x_hat - x) ** 2).mean()


def latent_std(z):
    """The standard deviation of all entries of the latents z: diffusion works on latents divided by it."""
    # LDM app. G  \hat\mu = \overline z
    mu_hat = z.mean()

    # LDM app. G  \hat\sigma = \sqrt{\overline{(z - \hat\mu)^2}}
    sigma_hat = ((z - mu_hat) ** 2).mean() ** 0.5
    return sigma_hat


def decibels(x_hat, x):
    """The peak signal-to-noise ratio of each picture: (B,), from two (B, C, H, W) in [-1, 1]."""
    error = ((x_hat.clamp(-1, 1) - x) / 2).square().flatten(1).mean(1)
    return -10 * error.log10()


@torch.no_grad()
def encoded(autoencoder, x):
    """The latents of drawings x, (B, 3, H, W) in [-1, 1] or uint8: means, or what is still to be looked up."""
    kl = isinstance(autoencoder, AutoencoderKL)
    latents = []
    for part in x.split(100):
        found = autoencoder.encode(part if part.is_floating_point() else centred(part))
        latents.append(found.latent_dist.mode() if kl else found.latents)
    return torch.cat(latents)


@torch.no_grad()
def reconstruction(autoencoder, x):
    """What an autoencoder makes of drawings x, (B, 3, H, W) in [-1, 1]: a dict of measures, and the drawings again."""
    z = encoded(autoencoder, x)
    x_hat = torch.cat([autoencoder.decode(part).sample for part in z.split(100)])
    std = latent_std(z * autoencoder.config.scaling_factor).item()
    return {"drawings": len(x), "decibels": decibels(x_hat, x).mean().item(), "latent_std": std}, x_hat


def trained(cls, name, holder, component="vqvae"):
    """A network that another recipe trained: ./NAME, where `minidiff train NAME` leaves it, else the zoo's own copy.

    Args:
        cls: its class.
        name: of its recipe.
        holder, component: the pipeline of the zoo that holds the copy, and the folder in it.
    Raises:
        FileNotFoundError: there is neither.
    """
    if Path(name, cls.config_file).is_file():
        return cls.from_pretrained(name)
    if holder not in zoo.names():
        raise FileNotFoundError(f"there is no folder ./{name} here: train it first, with `minidiff train {name}`")
    return cls.from_pretrained(zoo.path(holder) / component)


class DiffusionRecipe(TrainingRecipe):
    """A network that predicts the noise in latents; `scheduler` holds the levels that it learns."""

    learning_rate, warmup, ema_decay = 2e-3, 300, 0.9993
    drawings = 20_000  # encoded once

    def optimizers(self, network, step):
        outside = ("conv_in.weight", "conv_out.weight", "embed_tokens.weight", "embed_positions.weight")
        return hidden_by_muon(network, self.learning_rate, outside)

    def noise_loss(self, z_0, predict, generator):
        """The loss of latents z_0, (B, C, h, w), where `predict(z_t, t)` is what the network makes of them."""
        B, T = len(z_0), len(self.scheduler)
        u = (torch.arange(B) + torch.rand(B, generator=generator)) / B
        t = (u * T).long().clamp(max=T - 1).to(z_0.device)  # u can round up to 1
        eps = randn(z_0.shape, generator, z_0.device)
        z_t = self.scheduler.add_noise(z_0, eps, t)
        eps_theta = predict(z_t, t).float()

        alpha_bar_t = self.scheduler.alphas_cumprod.to(z_t.device)[t].reshape(B, 1, 1, 1)

        k, gamma = 0, 0.5  # the paper's k is 1

        # P2, guarded  w = \min\left(\frac{1}{(k + \bar\alpha_t / (1 - \bar\alpha_t))^\gamma}, 8\right)
        w = (1 / (k + alpha_bar_t / (1 - alpha_bar_t)) ** gamma).clamp(max=8)  # (B, 1, 1, 1)

        # LDM (2), weighted  L = \overline{w (\epsilon - \epsilon_\theta(z_t, t))^2}
        L = (w * (eps - eps_theta) ** 2).mean()
        return L
