r"""storybook-kl: the autoencoder of storybook-ldm-text and storybook-sd, 64x64 drawings to 16x16x4 latents.

High-Resolution Image Synthesis with Latent Diffusion Models. Rombach et al., CVPR 2022, arXiv:2112.10752, section 3.1
and appendix G, without two parts: the discriminator, and the perceptual loss, which needs a network trained on a
million photographs. Drawings have sharp edges and no textures; the distances of pixels do for them. The weight of the
Kullback-Leibler term is the paper's, 10^-6.

Its minutes were spent before its steps were: the weights that the zoo holds are the moving average after 2,395 of
them, at 35 dB. The rest is left to gain.
"""

from minidiff.models.autoencoder_kl import AutoencoderKL
from minidiff.zoo.recipes import latents
from minidiff.zoo.recipes.training import TrainingRecipe


class Recipe(TrainingRecipe):
    name, seed, steps, batch_size = "storybook-kl", 0, 6_000, 8
    learning_rate, warmup, ema_decay = 2e-3, 200, 0.999
    drawings = 20_000

    def network(self):
        return AutoencoderKL(
            sample_size=64,
            latent_channels=4,
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            block_out_channels=(20, 40, 80),
            layers_per_block=1,
            norm_num_groups=4,
        )

    def optimizers(self, network, step):
        return latents.hidden_by_muon(network, self.learning_rate)

    def data(self):
        return latents.drawings(self.drawings, self.seed)[:1]  # (n, 3, 64, 64) uint8

    def loss(self, network, batch, generator, step):
        x = latents.centred(batch[0])
        q = network.encode(x).latent_dist
        x_hat = network.decode(q.sample(generator)).sample
        L_rec, L_reg = latents.reconstruction_loss(x_hat, x), q.kl().mean()

        # LDM app. G, weighted  L = L_{rec} + 10^{-6} L_{reg}
        L = L_rec + 1e-6 * L_reg
        return L

    def save(self, network, folder):
        """The weights, with the scale of the latents of 1,000 drawings in the config."""
        pixels, _ = latents.drawings(min(1_000, self.drawings), self.seed)
        scale = 1 / latents.latent_std(latents.encoded(network, pixels)).item()
        scaled = AutoencoderKL.from_config(network.config, scaling_factor=round(scale, 5))
        scaled.load_state_dict(network.state_dict())
        scaled.half().save_pretrained(folder)

    def measure(self, folder, device="cpu"):
        """How well 500 unseen drawings come back."""
        return latents.reconstruction(AutoencoderKL.from_pretrained(folder), latents.unseen_drawings(500))[0]
