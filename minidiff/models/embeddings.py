r"""How a network is told the time: sinusoids of t, then a small network.

Attention Is All You Need. Vaswani et al., NeurIPS 2017, arXiv:1706.03762, section 3.5. Positions in a sentence
there, timesteps here: sinusoids of geometrically falling frequency tell neighbouring times apart and stay smooth.

Fourier Features Let Networks Learn High Frequency Functions in Low Dimensional Domains. Tancik et al., NeurIPS 2020,
arXiv:2006.10739: frequencies drawn at random once. Score networks take them, of the logarithm of the noise level.
"""

import math

import torch
from torch import nn
from torch.nn.functional import silu


def timestep_embedding(t, d, flip_sin_to_cos=False, freq_shift=0):
    r"""Sinusoids of the times t.

    Args:
        t: (B,) times, whole or not.
        d: the number of entries, even.
        flip_sin_to_cos: cosines first. DDPM puts sines first, the networks of latent diffusion cosines.
        freq_shift: 1 makes the last frequency exactly 1/10000, as DDPM has it; with 0 it stops one step short of
            it, as in Vaswani et al.
    Returns:
        (B, d) float32.
    """
    t, half = t[:, None].float(), d // 2  # (B, 1)
    k = torch.arange(half, dtype=torch.float32, device=t.device)  # (d/2,)

    # Attention §3.5, scaled  \omega_k = 10000^{-\frac{k}{\mathrm{half} - \mathrm{freq\_shift}}}
    omega = torch.exp(-math.log(10000) * k / (half - freq_shift))

    # Attention §3.5, shifted  e = [\sin(\omega t), \cos(\omega t)]
    e = torch.cat([torch.sin(omega * t), torch.cos(omega * t)], dim=1)
    return torch.cat([e[:, half:], e[:, :half]], dim=1) if flip_sin_to_cos else e


def one_for_each(timestep, sample):
    """(B,) times from a number, a 0-dim or a (B,) tensor, where `sample` is (B, ...).

    A number becomes a tensor by `full`, not `as_tensor`: compilers take it for a variable then, and not for a constant
    that makes a program of its own for each time.
    Raises:
        ValueError: there are neither one time nor B.
    """
    B = sample.shape[0]
    if not isinstance(timestep, torch.Tensor):
        timestep = torch.full((), timestep, dtype=torch.float32)  # in half precision 961 would be 960
    if timestep.shape not in ((), (1,), (B,)):
        raise ValueError(
            f"timestep has the shape {tuple(timestep.shape)}; allowed is one time, or one for each of {B} samples"
        )
    return timestep.to(sample.device).expand(B)


class GaussianFourierProjection(nn.Module):
    r"""Sinusoids of ln sigma with random frequencies W, drawn once and kept with the weights. (B,) -> (B, 2 d) float32.

    Args:
        d: how many frequencies.
        scale: their standard deviation; 16 in Song et al.'s networks.
    """

    def __init__(self, d, scale=16.0):
        super().__init__()
        self.weight = nn.Parameter(scale * torch.randn(d), requires_grad=False)  # (d,)

    def forward(self, sigma):
        sigma, W = sigma[:, None].float(), self.weight.float()  # (B, 1), (d,)

        # SDEcode  \phi = 2 \pi W \ln(\sigma)
        phi = 2 * math.pi * W * torch.log(sigma)  # (B, d)

        # SDEcode  e = [\sin(\phi), \cos(\phi)]
        e = torch.cat([torch.sin(phi), torch.cos(phi)], dim=1)
        return e


class TimestepEmbedding(nn.Module):
    """The small network after the sinusoids; every ResNet block receives its output. (B, d) -> (B, out_channels)."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.linear_1 = nn.Linear(in_channels, out_channels)
        self.linear_2 = nn.Linear(out_channels, out_channels)

    def forward(self, e):
        return self.linear_2(silu(self.linear_1(e)))
