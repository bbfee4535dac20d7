r"""storybook-ldm-text: 64x64 drawings as a prompt asks for them, by diffusion over the latents of storybook-kl.

High-Resolution Image Synthesis with Latent Diffusion Models. Rombach et al., CVPR 2022, arXiv:2112.10752, equation
(3): the text encoder is trained from nothing together with the UNet that listens to it. Every tenth prompt is the
empty one, so that there is something to be guided away from (Ho & Salimans, arXiv:2207.12598); and here and there a
word is the unknown one, so that a prompt with a word that no caption has is heard all the same.

The run in the zoo was planned longer, for 3,100 steps and then for 2,000, and cut at steps 990 and 1,085, since a short
time sufficed for what is asked of it: up to there its learning rates are those of the longer runs. Cleaner outlines are
left to gain.
"""

import tempfile
from pathlib import Path

import torch
from torch import nn

from minidiff import files
from minidiff.models.autoencoder_kl import AutoencoderKL
from minidiff.models.ldm_bert import LDMBertModel
from minidiff.models.unet_2d_condition import UNet2DConditionModel
from minidiff.pipelines.latent_diffusion import LDMTextToImagePipeline
from minidiff.schedulers.ddim import DDIMScheduler
from minidiff.zoo import world
from minidiff.zoo.evaluator import evaluate
from minidiff.zoo.recipes import latents

LENGTH = 16  # tokens of a prompt: the longest caption has 13
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
UNKNOWN, BEGIN, END = 1, 2, 3


def caption(combination):
    return world.caption(dict(zip(world.ATTRIBUTES, combination)))


def vocabulary():
    """list of str: BERT's special tokens, then every word of every caption."""
    return SPECIAL + sorted({word for combination in world.COMBINATIONS for word in caption(combination).split()})


def tokenizer():
    """A BertTokenizer, which is made from a file."""
    from transformers import BertTokenizer

    with tempfile.TemporaryDirectory() as folder:
        write_vocabulary(folder)
        return BertTokenizer.from_pretrained(folder, model_max_length=LENGTH)


def write_vocabulary(folder):
    files.replace(Path(folder, "vocab.txt"), ("\n".join(vocabulary()) + "\n").encode())


class Recipe(latents.DiffusionRecipe):
    name, seed, steps, batch_size = "storybook-ldm-text", 0, 1_500, 32

    def __init__(self):
        self.scheduler = DDIMScheduler(
            beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False
        )  # as published

    def network(self):
        bert = LDMBertModel(
            len(vocabulary()),
            LENGTH,
            encoder_layers=4,
            encoder_ffn_dim=384,
            encoder_attention_heads=4,
            head_dim=24,
            d_model=96,
        )
        unet = UNet2DConditionModel(
            16,
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            block_out_channels=(40, 64, 96),
            layers_per_block=1,
            norm_num_groups=8,
            cross_attention_dim=96,
            attention_head_dim=4,
        )
        return nn.ModuleDict({"bert": bert, "unet": unet})

    def optimizers(self, network, step):
        network.bert.to_logits.requires_grad_(False)  # used by nobody
        return super().optimizers(network, step)

    def autoencoder(self):
        return latents.trained(AutoencoderKL, "storybook-kl", self.name)

    def data(self):
        pixels, shown = latents.drawings(self.drawings, self.seed)
        kl = self.autoencoder()
        z = latents.encoded(kl, pixels) * kl.config.scaling_factor
        return z, tokens([world.caption(attributes) for attributes in shown])

    def loss(self, network, batch, generator, step):
        z_0, ids = batch
        (empty,) = tokens([""]).to(ids.device)
        silent = torch.rand(len(ids), 1, generator=generator).to(ids.device) < 0.1
        misheard = torch.rand(ids.shape, generator=generator).to(ids.device) < 0.02
        y = torch.where(silent, empty, torch.where(misheard & (ids > END), UNKNOWN, ids))
        context = network.bert(y).last_hidden_state
        return self.noise_loss(z_0, lambda z_t, t: network.unet(z_t, t, context).sample, generator)

    def save(self, network, folder):
        words = tokenizer()
        pipe = LDMTextToImagePipeline(
            self.autoencoder().half(), network.bert.half(), words, network.unet.half(), self.scheduler
        )
        pipe.save_pretrained(folder)
        write_vocabulary(Path(folder, "tokenizer"))  # the form in which BERT's tokenizers are published

    def measure(self, folder, device="cpu", samples=1_000, steps=20, guidance_scale=4.0):
        """How many of 1,000 prompts are drawn as they say, for combinations seen in training and for held-out ones."""
        pipe = LDMTextToImagePipeline.from_pretrained(folder).to(device)
        pipe.set_progress_bar_config(disable=True)
        measures = {"steps": steps}
        groups = {"seen": world.SEEN, "held_out": sorted(world.HELD_OUT)}
        for name, combinations in groups.items():
            for scale, n in ((guidance_scale, samples), (1.0, 100), (2.0, 100), (7.5, 100)):
                measures[f"{name}, guidance_scale {scale:g}"] = self.accuracy(pipe, combinations, n, scale, steps)
        measures["autoencoder"] = latents.reconstruction(pipe.vqvae.to("cpu"), latents.unseen_drawings(500))[0]
        return measures

    def accuracy(self, pipe, combinations, n, guidance_scale, steps):
        """dict: what `zoo.evaluate` says of n pictures for prompts that name all combinations in turn."""
        prompts = [caption(combinations[k % len(combinations)]) for k in range(n)]
        call = {"num_inference_steps": steps, "guidance_scale": guidance_scale, "output_type": "pt"}
        parts = [
            pipe(prompts[k : k + 100], generator=torch.Generator().manual_seed(k), **call).images
            for k in range(0, n, 100)
        ]
        quality = evaluate(torch.cat(parts), prompts)
        kept = ["images", "prompt_accuracy", "named"] + ["frechet"] * (n >= 1_000)  # of fewer it says little
        return {key: quality[key] for key in kept}


def tokens(prompts):
    """(B, LENGTH) int64: prompts as the pipeline hands them to the text encoder."""
    asked = tokenizer()(prompts, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt")
    return asked.input_ids
