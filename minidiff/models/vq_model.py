r"""The autoencoder of latent diffusion whose latents are looked up in a codebook.

Neural Discrete Representation Learning. van den Oord, Vinyals & Kavukcuoglu, NeurIPS 2017, arXiv:1711.00937; as the
first stage of High-Resolution Image Synthesis with Latent Diffusion Models. Rombach, Blattmann, Lorenz, Esser & Ommer,
CVPR 2022, arXiv:2112.10752, section 3.1: every vector of the latent map is replaced by the nearest of K codes before it
is decoded. Diffusion works on the map before that, so the lookup takes small errors of its last step away.

Letters: z_e is what the encoder gives, e the codebook, e_k a code, z_q what the decoder gets, sg the stop of gradients.
"""

from dataclasses import dataclass

import torch
from torch import nn

from minidiff.config import check_whole, configured
from minidiff.models.autoencoder_kl import Decoder, DecoderOutput, Encoder, check_autoencoder, check_map
from minidiff.models.base import Model
from minidiff.outputs import Output
from minidiff.signatures import leaving_out


@dataclass(eq=False)
class VQEncoderOutput(Output):
    """`latents`: (B, vq_embed_dim, h, w), before the lookup."""

    latents: torch.Tensor


class VQModel(Model):
    r"""Pictures to latents, and latents, by way of the nearest codes, to pictures.

    Args:
        in_channels, out_channels: of the picture that is encoded, and of the decoded one.
        down_block_types: "DownEncoderBlock2D" for each level.
        up_block_types: "UpDecoderBlock2D" for each level.
        block_out_channels: channels of each level, fine to coarse; multiples of norm_num_groups. Between two levels
            the resolution is halved.
        layers_per_block: residual blocks a level of the encoder; the decoder has one more.
        act_fn: "silu", the only one that is published.
        latent_channels: of what the encoder gives and the decoder takes.
        sample_size: height and width of the pictures it was trained on.
        num_vq_embeddings: K, how many codes there are.
        norm_num_groups: of every GroupNorm.
        vq_embed_dim: channels of a code, and of the latents; None for `latent_channels`.
        scaling_factor: diffusion works on latents times this number. 1 where a file does not say, as the published
            weights were trained; diffusers has 0.18215 there, see the ledger, "VQ scale".
    Raises:
        ValueError: a block type is unknown, the three lists do not have the same length, or channels do not split into
            groups.
    """

    left_out = {
        "norm_type": "group",
        "mid_block_add_attention": True,
        "lookup_from_codebook": False,
        "force_upcast": (False, True),  # advice for half precision, which nothing here takes
    }
    always_saved = ("scaling_factor",)

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
        latent_channels=3,
        sample_size=32,
        num_vq_embeddings=256,
        norm_num_groups=32,
        vq_embed_dim=None,
        scaling_factor=1.0,
    ):
        super().__init__()
        check_autoencoder(self.config)
        code_channels = latent_channels if vq_embed_dim is None else vq_embed_dim
        check_whole("vq_embed_dim", code_channels)
        check_whole("num_vq_embeddings", num_vq_embeddings)
        self.encoder = Encoder(in_channels, latent_channels, block_out_channels, layers_per_block, norm_num_groups)
        self.quant_conv = nn.Conv2d(latent_channels, code_channels, 1)
        self.quantize = VectorQuantizer(num_vq_embeddings, code_channels)
        self.post_quant_conv = nn.Conv2d(code_channels, latent_channels, 1)
        self.decoder = Decoder(latent_channels, out_channels, block_out_channels, layers_per_block, norm_num_groups)

    @property
    def factor(self):
        """int: height and width of a picture over those of its latent."""
        return 2 ** (len(self.config.block_out_channels) - 1)

    def encode(self, x, return_dict=True):
        """The latent of a picture.

        Args:
            x: (B, in_channels, H, W) in [-1, 1]; H and W multiples of `factor`.
        Returns:
            `VQEncoderOutput`, or the tuple `(latents,)`; before the lookup and before `scaling_factor`.
        Raises:
            ValueError: x has other channels, or H or W is no such multiple.
        """
        check_map("x", x, self.config.in_channels, self.factor)
        return VQEncoderOutput(latents=self.quant_conv(self.encoder(x))).as_asked(return_dict)

    @leaving_out(shape=None)
    def decode(self, h, force_not_quantize=False, return_dict=True):
        """The picture of a latent.

        Args:
            h: (B, vq_embed_dim, h, w), after division by `scaling_factor`.
            force_not_quantize: decode h as it is; otherwise the codes nearest to it.
        Returns:
            `DecoderOutput`, or the tuple `(sample,)`.
        Raises:
            ValueError: h has other channels.
        """
        check_map("h", h, self.post_quant_conv.in_channels)
        z_q = h if force_not_quantize else self.quantize(h).z_q
        return DecoderOutput(sample=self.decoder(self.post_quant_conv(z_q))).as_asked(return_dict)

    def forward(self, sample, return_dict=True):
        """Encode and decode."""
        return self.decode(self.encode(sample).latents, return_dict=return_dict)


@dataclass(eq=False)
class Quantised(Output):
    """What the lookup finds.

    Fields:
        z_q: (B, C, h, w), the nearest codes; a gradient goes through to the latents as if nothing had happened.
        loss: a scalar, which moves codes to the latents and latents to their codes.
        k: (B, h, w) int64, which codes they are.
    """

    z_q: torch.Tensor
    loss: torch.Tensor
    k: torch.Tensor


class VectorQuantizer(nn.Module):
    """The codebook.

    Args:
        codes: K.
        channels: of a code.
        beta: how much more slowly latents move to their codes than codes to them; 0.25 in the paper.
    """

    def __init__(self, codes, channels, beta=0.25):
        super().__init__()
        self.beta = beta
        self.embedding = nn.Embedding(codes, channels)
        nn.init.uniform_(self.embedding.weight, -1 / codes, 1 / codes)

    def forward(self, z):
        """z_e, (B, C, h, w) -> `Quantised`."""
        z_e, e, beta = z.movedim(1, -1), self.embedding.weight, self.beta  # (B, h, w, C), (K, C)
        k = nearest(z_e.flatten(0, 2), e)  # (B h w,)

        # VQ (2)  z_q = e_k
        z_q = e[k]  # (B h w, C)
        z_q = z_q.view_as(z_e)

        # VQ (3), scaled  L = \overline{(\mathrm{sg}(z_e) - z_q)^2} + \beta \overline{(z_e - \mathrm{sg}(z_q))^2}
        L = ((z_e.detach() - z_q) ** 2).mean() + beta * ((z_e - z_q.detach()) ** 2).mean()

        # VQ §3.2  z_q = z_e + \mathrm{sg}(z_q - z_e)
        z_q = z_e + (z_q - z_e).detach()
        return Quantised(z_q=z_q.movedim(-1, 1), loss=L, k=k.view(z_e.shape[:-1]))


def nearest(z, e):
    """Which of the codes e, (K, C), is nearest to each of the vectors z, (n, C): (n,) int64."""
    dtype = torch.promote_types(z.dtype, torch.float32)  # half a precision would find the wrong neighbour
    z, e = z.to(dtype), e.to(dtype)

    # VQ (1)  k_i = \arg\min_j \lVert z_i - e_j \rVert
    k = torch.cdist(z, e).argmin(1)
    return k
