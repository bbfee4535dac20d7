"""What the recipes of latent diffusion share: drawings as tensors, autoencoders and what they are worth."""

from pathlib import Path

import numpy as np
import torch

from minidiff import zoo
from minidiff.zoo import world
from minidiff.zoo.recipes.muon import Muon

SIZE = 64  # of the drawings that an autoencoder sees


def drawings(n, seed=0, first=0):
    """Drawings of the training stream: (n, 3, 64, 64) uint8, and their attributes."""
    pixels, shown = world.training_set(n, seed, SIZE, first)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), shown


def unseen_drawings(n=500):
    """Drawings that no recipe trains on, of held-out combinations too: (n, 3, 64, 64) in [-1, 1]."""
    pixels = np.stack([np.asarray(world.draw(seed=9_000_000 + k, size=SIZE).image) for k in range(n)])
    return centred(torch.from_numpy(pixels).permute(0, 3, 1, 2))


def centred(levels):
    """Levels 0 ... 255 to [-1, 1], float32."""
    return levels.float() / 127.5 - 1


def hidden_by_muon(network, eta, ends=("conv_in.weight", "conv_out.weight")):
    """Muon for the matrices and kernels of `network`, but for those whose names end in `ends`; AdamW for the rest.

    Args:
        eta: the learning rate of both.
    """
    weights = dict(network.named_parameters())
    hidden = [name for name, W in weights.items() if W.ndim > 1 and not name.endswith(ends)]
    muon = Muon([weights.pop(name) for name in hidden], eta)
    return [muon, torch.optim.AdamW(weights.values(), eta, betas=(0.9, 0.99), weight_decay=0.0)]


def latent_std(z):
    """The standard deviation of all entries of the latents z: diffusion works on latents divided by it."""
    # LDM app. G  \hat\mu = \overline z
    mu_hat = z.mean()

    # LDM app. G  \hat\sigma = \sqrt{\overline{(z - \hat\mu)^2}}
    sigma_hat = ((z - mu_hat) ** 2).mean() ** 0.5
    return sigma_hat


def decibels(shown, wanted):
    """The peak signal-to-noise ratio of each picture: (B,), from two (B, C, H, W) in [-1, 1]."""
    error = ((shown.clamp(-1, 1) - wanted) / 2).square().flatten(1).mean(1)
    return -10 * error.log10()


@torch.no_grad()
def encoded(autoencoder, x):
    """The latents of pictures x, (B, 3, H, W) in [-1, 1], before their scaling: the means, or what is quantised."""

    def latent(part):
        out = autoencoder.encode(part)
        return out.latents if "latents" in out.__dict__ else out.latent_dist.mode()

    return torch.cat([latent(part) for part in x.split(100)])


@torch.no_grad()
def reconstruction(autoencoder, x):
    """What an autoencoder makes of pictures x, (B, 3, H, W) in [-1, 1]: a dict of measures."""
    z = encoded(autoencoder, x)
    back = torch.cat([autoencoder.decode(part).sample for part in z.split(100)])
    std = latent_std(z * autoencoder.config.scaling_factor).item()
    return {"drawings": len(x), "decibels": decibels(back, x).mean().item(), "latent_std": std}


def trained(cls, name, holder, component="vqvae"):
    """A network that another recipe trained: ./NAME, where `minidiff train NAME` leaves it, else the zoo's own copy.

    Args:
        cls: its class.
        name: of its recipe.
        holder, component: the pipeline of the zoo that holds the copy, and the folder in it.
    """
    folder = Path(name) if Path(name, cls.config_file).is_file() else zoo.path(holder) / component
    return cls.from_pretrained(folder)
