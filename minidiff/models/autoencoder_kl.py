r"""The autoencoder of latent diffusion whose latents are a normal distribution.

Auto-Encoding Variational Bayes. Kingma & Welling, ICLR 2014, arXiv:1312.6114; as the first stage of High-Resolution
Image Synthesis with Latent Diffusion Models. Rombach, Blattmann, Lorenz, Esser & Ommer, CVPR 2022, arXiv:2112.10752,
section 3.1: the encoder says for every entry of a latent how sure it is, a draw from there must be enough for the
decoder, and a very small Kullback-Leibler term keeps latents from drifting apart. Diffusion then works on a map of a
sixteenth or a sixty-fourth of the pixels.

Letters: z is a latent, x a picture; mu and sigma are the encoder's mean and standard deviation of z.
"""

import math
import numbers
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.nn.functional import silu

from minidiff.config import check_one_of, check_whole, configured
from minidiff.models.attention import Attention, NoAttention
from minidiff.models.base import Model
from minidiff.models.resample import Downsample2D, Upsample2D
from minidiff.models.resnet import ResnetBlock2D
from minidiff.models.unet_2d import check_lists
from minidiff.models.unet_2d_blocks import DownBlock, MidBlock
from minidiff.noise import randn_like
from minidiff.outputs import Output
from minidiff.signatures import Off, leaving_out

EPS = 1e-6  # of every GroupNorm in an autoencoder


class DiagonalGaussianDistribution:
    """N(mean, std^2) for every entry of a latent, independent of each other.

    Args:
        parameters: (B, 2C, h, w), the mean, then the logarithm of the variance (clipped to -30 ... 20).
    Attributes:
        mean, logvar, std, var: (B, C, h, w).
    """

    def __init__(self, parameters):
        self.parameters = parameters
        self.mean, logvar = parameters.chunk(2, dim=1)
        self.logvar = logvar.clamp(-30.0, 20.0)

        # VAE app. C, rearranged  \sigma = \exp(\frac12 \mathrm{logvar})
        sigma = torch.exp(0.5 * self.logvar)
        self.std, self.var = sigma, self.logvar.exp()

    def sample(self, generator=None):
        """A draw, (B, C, h, w); `generator` as in `minidiff.noise.randn`."""
        mu, sigma = self.mean, self.std
        eps = randn_like(mu, generator)

        # VAE (10)  z = \mu + \sigma \odot \epsilon
        z = mu + sigma * eps
        return z

    def mode(self):
        """The most probable latent: the mean."""
        return self.mean

    def kl(self):
        """(B,): the Kullback-Leibler divergence from N(0, I), summed over the entries, in nats."""
        mu, sigma, logvar = (
            self.mean,
            self.std,
            self.logvar,
        )  # half precision may lack log(sigma^2)

        # VAE (10), rearranged  D = -\frac12 \sum (1 + \mathrm{logvar} - \mu^2 - \sigma^2)
        D = -0.5 * (1 + logvar - mu**2 - sigma**2).flatten(1).sum(1)
        return D


@dataclass(eq=False)
class AutoencoderKLOutput(Output):
    """`latent_dist`: a `DiagonalGaussianDistribution`, what the encoder knows of the latent."""

    latent_dist: DiagonalGaussianDistribution


@dataclass(eq=False)
class DecoderOutput(Output):
    """`sample`: (B, out_channels, H, W), the decoded picture, in about [-1, 1]."""

    sample: torch.Tensor


class AutoencoderKL(Model):
    r"""Pictures to normal distributions of latents, and latents to pictures.

    Args:
        in_channels, out_channels: of the picture that is encoded, and of the decoded one.
        down_block_types: "DownEncoderBlock2D" for each level.
        up_block_types: "UpDecoderBlock2D" for each level.
        block_out_channels: channels of each level, fine to coarse; multiples of norm_num_groups. Between two levels
            the resolution is halved.
        layers_per_block: residual blocks a level of the encoder; the decoder has one more.
        act_fn: "silu", the only one that is published.
        latent_channels: C of the latents.
        norm_num_groups: of every GroupNorm.
        sample_size: height and width of the pictures it was trained on.
        scaling_factor: diffusion works on latents times this number, which has them vary by about 1.
    Raises:
        ValueError: a block type is unknown, the three lists do not have the same length, or channels do not split into
            groups.
    """

    left_out = {
        "shift_factor": None,
        "latents_mean": None,
        "latents_std": None,
        "force_upcast": (True, False),  # advice for half precision, which nothing here takes
        "use_quant_conv": True,
        "use_post_quant_conv": True,
        "mid_block_add_attention": True,
    }

    @configured
    def __init__(
        self,
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",),
        up_block_types=("UpDecoderBlock2D",),
        block_out_channels=(64,),
        layers_per_block=1,
        act_fn="silu",
        latent_channels=4,
        norm_num_groups=32,
        sample_size=32,
        scaling_factor=0.18215,
    ):
        super().__init__()
        check_autoencoder(self.config)
        self.encoder = Encoder(in_channels, 2 * latent_channels, block_out_channels, layers_per_block, norm_num_groups)
        self.quant_conv = nn.Conv2d(2 * latent_channels, 2 * latent_channels, 1)
        self.post_quant_conv = nn.Conv2d(latent_channels, latent_channels, 1)
        self.decoder = Decoder(latent_channels, out_channels, block_out_channels, layers_per_block, norm_num_groups)

    @property
    def factor(self):
        """int: height and width of a picture over those of its latent."""
        return 2 ** (len(self.config.block_out_channels) - 1)

    def encode(self, x, return_dict=True):
        """The distribution of the latent of a picture.

        Args:
            x: (B, in_channels, H, W) in [-1, 1]; H and W multiples of `factor`.
        Returns:
            `AutoencoderKLOutput`, or the tuple `(latent_dist,)`; latents have (B, latent_channels, h, w), before
            `scaling_factor`.
        Raises:
            ValueError: x has other channels, or H or W is no such multiple.
        """
        check_map("x", x, self.config.in_channels, self.factor)
        posterior = DiagonalGaussianDistribution(self.quant_conv(self.encoder(x)))
        return AutoencoderKLOutput(latent_dist=posterior).as_asked(return_dict)

    @leaving_out(generator=Off((None,), "a decoder draws nothing"))
    def decode(self, z, return_dict=True):
        """The picture of a latent.

        Args:
            z: (B, latent_channels, h, w), after division by `scaling_factor`.
        Returns:
            `DecoderOutput`, or the tuple `(sample,)`.
        Raises:
            ValueError: z has other channels.
        """
        check_map("z", z, self.config.latent_channels)
        return DecoderOutput(sample=self.decoder(self.post_quant_conv(z))).as_asked(return_dict)

    def forward(self, sample, sample_posterior=False, return_dict=True, generator=None):
        """Encode and decode: the mean of the latent, or a draw from its distribution if `sample_posterior`."""
        posterior = self.encode(sample).latent_dist
        z = posterior.sample(generator) if sample_posterior else posterior.mode()
        return self.decode(z, return_dict)


class Encoder(nn.Module):
    """(B, in_channels, H, W) -> (B, out_channels, h, w): the way down of a UNet, without a time, nothing kept."""

    def __init__(self, in_channels, out_channels, block_out_channels, layers, groups):
        super().__init__()
        C, resnet, attend = parts(block_out_channels, groups)
        self.conv_in = nn.Conv2d(in_channels, C[0], 3, padding=1)
        self.down_blocks = nn.ModuleList()
        for i in range(len(C)):
            down = partial(Downsample2D, padding=0) if i + 1 < len(C) else None
            self.down_blocks.append(DownBlock(C[max(i - 1, 0)], C[i], layers, resnet, lambda _: NoAttention(), down))
        self.mid_block = MidBlock(C[-1], resnet, attend)
        self.conv_norm_out = nn.GroupNorm(groups, C[-1], EPS)
        self.conv_out = nn.Conv2d(C[-1], out_channels, 3, padding=1)

    def forward(self, x):
        h = self.conv_in(x)
        for block in self.down_blocks:
            h, _ = block(h, None)
        h = self.mid_block(h, None)
        return self.conv_out(silu(self.conv_norm_out(h)))


class Decoder(nn.Module):
    """(B, in_channels, h, w) -> (B, out_channels, H, W): the way up of a UNet, without a time, nothing put beside."""

    def __init__(self, in_channels, out_channels, block_out_channels, layers, groups):
        super().__init__()
        C, resnet, attend = parts(block_out_channels, groups)
        self.conv_in = nn.Conv2d(in_channels, C[-1], 3, padding=1)
        self.mid_block = MidBlock(C[-1], resnet, attend)
        self.up_blocks = nn.ModuleList()
        for i in reversed(range(len(C))):
            up = Upsample2D if i > 0 else None
            self.up_blocks.append(UpDecoderBlock(C[min(i + 1, len(C) - 1)], C[i], layers + 1, resnet, up))
        self.conv_norm_out = nn.GroupNorm(groups, C[0], EPS)
        self.conv_out = nn.Conv2d(C[0], out_channels, 3, padding=1)

    def forward(self, z):
        h = self.mid_block(self.conv_in(z), None)
        for block in self.up_blocks:
            h = block(h)
        return self.conv_out(silu(self.conv_norm_out(h)))


class UpDecoderBlock(nn.Module):
    """One level of the decoder: residual blocks, then twice the resolution; arguments as in DownBlock and UpBlock."""

    def __init__(self, in_channels, out_channels, layers, resnet, upsample):
        super().__init__()
        channels = [in_channels] + [out_channels] * layers
        self.resnets = nn.ModuleList(resnet(c, c_next) for c, c_next in zip(channels, channels[1:]))
        self.upsamplers = nn.ModuleList([upsample(out_channels)] if upsample else [])  # published keys count it

    def forward(self, h):
        for resnet in self.resnets:
            h = resnet(h)
        for upsample in self.upsamplers:
            h = upsample(h)
        return h


def parts(block_out_channels, groups):
    """The channels by level, and what makes a residual block and the attention, a single head, of the middle."""
    resnet = partial(ResnetBlock2D, groups=groups, eps=EPS)
    return block_out_channels, resnet, partial(Attention, groups=groups, eps=EPS)


def check_autoencoder(config):
    """Refuse a config, of this or of the vector-quantised autoencoder, that no network can be made of."""
    check_lists(config, ("DownEncoderBlock2D",), ("UpDecoderBlock2D",))
    for argument in ("in_channels", "out_channels", "layers_per_block", "latent_channels", "norm_num_groups"):
        check_whole(argument, config[argument])
    for c in config.block_out_channels:
        if c % config.norm_num_groups:
            raise ValueError(
                f"block_out_channels holds {c}, which norm_num_groups={config.norm_num_groups} does not divide"
            )
    check_one_of("act_fn", config.act_fn, ("silu", "swish"))  # two names of one function
    factor = config.scaling_factor
    if not isinstance(factor, numbers.Real) or not 0 < factor < math.inf:
        raise ValueError(f"scaling_factor is {factor!r}; allowed is a positive number")


def check_map(argument, x, channels, multiple=1):
    """Raises ValueError unless x is (B, channels, H, W) with H and W positive multiples of `multiple`."""
    shape = tuple(getattr(x, "shape", ()))
    if len(shape) != 4 or shape[1] != channels or any(side % multiple or not side for side in shape[2:]):
        sides = f", H and W multiples of {multiple}" if multiple > 1 else ""
        raise ValueError(f"{argument} has the shape {shape}; allowed is (B, {channels}, H, W){sides}")
