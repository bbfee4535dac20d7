r"""storybook-vq: the autoencoder of storybook-ldm and storybook-ldm-sr, 64x64 drawings to 16x16 codes out of 1,024.

High-Resolution Image Synthesis with Latent Diffusion Models. Rombach et al., CVPR 2022, arXiv:2112.10752, section 3.1,
as in storybook-kl without a discriminator and without a perceptual loss. It starts from that one's convolutions, and
with codes that are latents of drawings. So that no code is left where no latent comes, a third term draws every code
to the latent of the batch that is nearest to it.

When it is saved, latents and codes are divided by the latents' standard deviation, and what reads them is multiplied by
it: nothing changes but that diffusion needs no scale, as with the published autoencoders of this kind.
"""

import torch

from minidiff.models.autoencoder_kl import AutoencoderKL
from minidiff.models.vq_model import VQModel
from minidiff.zoo.recipes import latents
from minidiff.zoo.recipes.training import TrainingRecipe


class Recipe(TrainingRecipe):
    name, seed, steps, batch_size = "storybook-vq", 0, 3_500, 8
    learning_rate, warmup, ema_decay = 2e-3, 200, 0.999
    drawings = 20_000

    def network(self):
        network = VQModel(
            sample_size=64,
            latent_channels=3,
            num_vq_embeddings=1024,
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            block_out_channels=(20, 40, 80),
            layers_per_block=1,
            norm_num_groups=4,
        )
        start = latents.trained(AutoencoderKL, "storybook-kl", "storybook-ldm-text").state_dict()
        own = network.state_dict()
        fitting = {key: W for key, W in start.items() if key in own and W.shape == own[key].shape}
        network.load_state_dict(own | fitting)

        z = latents.encoded(network, latents.drawings(100, self.seed)[0]).movedim(1, -1).flatten(0, 2)
        codes = network.quantize.embedding.weight
        codes.data = z[torch.randperm(len(z))[: len(codes)]].clone()
        return network

    def optimizers(self, network, step):
        outside = ("conv_in.weight", "conv_out.weight", "quantize.embedding.weight")
        return latents.hidden_by_muon(network, self.learning_rate, outside)

    def data(self):
        return latents.drawings(self.drawings, self.seed)[:1]  # (n, 3, 64, 64) uint8

    def loss(self, network, batch, generator, step):
        x = latents.centred(batch[0])
        z_e = network.encode(x).latents
        found = network.quantize(z_e)
        x_hat = network.decode(found.z_q, force_not_quantize=True).sample
        near = distance_to_latents(network.quantize.embedding.weight, z_e.detach())
        return latents.reconstruction_loss(x_hat, x) + found.loss + 0.1 * near

    def save(self, network, folder):
        pixels, _ = latents.drawings(min(1_000, self.drawings), self.seed)
        scaled(network, latents.latent_std(latents.encoded(network, pixels)))
        network.half().save_pretrained(folder)

    def measure(self, folder, device="cpu"):
        return worth(VQModel.from_pretrained(folder))


@torch.no_grad()
def worth(network):
    """dict: how well 500 unseen drawings come back from a VQModel, and how many of its codes that takes."""
    x = latents.unseen_drawings(500)
    k = torch.cat([network.quantize(part).k.flatten() for part in latents.encoded(network, x).split(100)])
    K = network.config.num_vq_embeddings
    return latents.reconstruction(network, x)[0] | {"codes": K, "codes_in_use": len(k.unique()) / K}


def distance_to_latents(e, z_e):
    """The mean over the codes e, (K, C), of the squared distance to the nearest of the latents z_e, (B, C, h, w)."""
    return torch.cdist(e, z_e.movedim(1, -1).flatten(0, 2)).min(1).values.square().mean()


@torch.no_grad()
def scaled(network, sigma_hat):
    """Divide a VQModel's latents and codes by sigma_hat, and multiply what reads them: pictures stay what they are."""
    network.quant_conv.weight /= sigma_hat
    network.quant_conv.bias /= sigma_hat
    network.quantize.embedding.weight /= sigma_hat
    network.post_quant_conv.weight *= sigma_hat
