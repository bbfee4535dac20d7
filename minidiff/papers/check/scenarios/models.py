"""What drives the paired statements of the networks and their layers."""

import torch

from minidiff.papers.check.scenarios.driving import picture, rand, scenario, tiny_unet, tiny_unet_1d


@scenario("minidiff.models.resnet")
def resnet(module):
    module.ResnetBlock2D(4, 6, temb_channels=5, groups=2, output_scale_factor=2**0.5)(rand(2, 4, 5, 7), rand(2, 5))
    module.ResnetBlock2D(4, 4, groups=2, output_scale_factor=1.5)(rand(2, 4, 5, 7))


@scenario("minidiff.models.attention")
def attention(module):
    module.Attention(6, head_channels=2, groups=3, output_scale_factor=2**0.5)(rand(2, 6, 4, 5))


@scenario("minidiff.models.embeddings")
def embeddings(module):
    for flip_sin_to_cos in (False, True):
        for freq_shift in (0, 1):
            module.timestep_embedding(torch.tensor([3.5, 700]), 6, flip_sin_to_cos, freq_shift)
    module.GaussianFourierProjection(3, scale=1.0)(torch.tensor([0.3, 20]))


@scenario("minidiff.models.unet_1d")
def unet_1d(module):
    for flip_sin_to_cos in (True, False):
        tiny_unet_1d(flip_sin_to_cos=flip_sin_to_cos)(rand(2, 3, 16), torch.tensor([0.3, 0.9]))


@scenario("minidiff.models.unet_2d")
def unet_2d(module):
    for options in (
        {},
        {"mid_block_scale_factor": 2**0.5, "downsample_padding": 0, "flip_sin_to_cos": False, "freq_shift": 1},
    ):
        tiny_unet(**options)(picture(), torch.tensor([3, 9]))
    tiny_unet(center_input_sample=True, time_embedding_type="fourier")(picture(), torch.tensor([0.3, 7.0]))


@scenario("minidiff.models.autoencoder_kl")
def autoencoder_kl(module):
    posterior = module.DiagonalGaussianDistribution(rand(2, 8, 3, 5))
    posterior.sample(torch.Generator().manual_seed(0))
    posterior.kl()


CLIP_SIZES = {"hidden_size": 6, "intermediate_size": 7, "num_hidden_layers": 1, "num_attention_heads": 2}


@scenario("minidiff.models.clip")
def clip(module):
    tokens = torch.tensor([[3, 1, 10, 0], [4, 4, 2, 9]])
    module.CLIPTextModel(11, **CLIP_SIZES, max_position_embeddings=5)(tokens)
    module.CLIPVisionModel(**CLIP_SIZES, image_size=8, patch_size=4)(rand(2, 3, 8, 8))


@scenario("minidiff.models.safety_checker")
def safety_checker(module):
    vision = {**CLIP_SIZES, "image_size": 8, "patch_size": 4}
    module.StableDiffusionSafetyChecker(vision, projection_dim=5).above(rand(2, 5), rand(3, 5), rand(3))


@scenario("minidiff.models.ldm_bert")
def ldm_bert(module):
    sizes = {"encoder_layers": 1, "encoder_ffn_dim": 7, "encoder_attention_heads": 2, "head_dim": 3, "d_model": 5}
    module.LDMBertModel(11, 6, **sizes)(torch.tensor([[3, 1, 10, 0], [4, 4, 2, 9]]))


@scenario("minidiff.models.transformer")
def transformer(module):
    module.Transformer2D(6, context_channels=5, heads=3, groups=2)(rand(2, 6, 3, 4), rand(2, 7, 5))


@scenario("minidiff.models.vq_model")
def vq_model(module):
    module.VectorQuantizer(7, 3)(rand(2, 3, 4, 5))
