r"""storybook-clip: a text and a vision model for the drawn world, trained together, for storybook-sd.

Learning Transferable Visual Models From Natural Language Supervision. Radford et al., ICML 2021, arXiv:2103.00020,
section 2.3 and figure 3: of all captions of a batch, each drawing shall find its own, and each caption its drawing.
Here several drawings of a batch can have the same caption; all of them count as its own.

The text model conditions storybook-sd, frozen, as in Stable Diffusion. The vision model is its safety checker's, which
blacks out one concept of this world: the red mushroom, a fly agaric, which is poisonous.
"""

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from minidiff.models.clip import CLIPTextModel, CLIPVisionModel
from minidiff.models.safety_checker import StableDiffusionSafetyChecker
from minidiff.pipelines.foreign import transformers_class
from minidiff.zoo import world
from minidiff.zoo.recipes import latents, words
from minidiff.zoo.recipes.training import TrainingRecipe

SIZE, D = 64, 64  # pixels a side; channels of the space that drawings and captions share
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # of CLIP's image processor
CONCEPT = {"object": "mushroom", "colour": "red"}
NEVER = 2.0  # a threshold above every cosine


class CLIP(nn.Module):
    """Both models, and their projections into the space that they share."""

    def __init__(self):
        super().__init__()
        layers = {"num_hidden_layers": 4, "num_attention_heads": 4, "projection_dim": D}
        end = words.vocabulary()[words.END]
        self.text_model = CLIPTextModel(
            len(words.vocabulary()),
            96,
            384,
            max_position_embeddings=words.LENGTH,
            pad_token_id=end,
            bos_token_id=end - 1,
            eos_token_id=end,
            **layers,
        )
        self.vision_model = CLIPVisionModel(72, 288, image_size=SIZE, patch_size=8, **layers)
        self.text_projection = nn.Linear(96, D, bias=False)
        self.visual_projection = nn.Linear(72, D, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(2.6593))  # log(1 / 0.07), as in the paper
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)

    def texts(self, ids):
        """(B, N) tokens -> (B, D)."""
        return self.text_projection(self.text_model(ids).pooler_output)

    def pictures(self, x):
        """(B, 3, 64, 64) in [0, 1] -> (B, D)."""
        return self.visual_projection(self.vision_model(normalized(x)).pooler_output)


def normalized(x):
    """Pictures (B, 3, H, W) in [0, 1] as CLIP's image processor hands them on."""
    mean, std = (torch.tensor(values, device=x.device).reshape(1, 3, 1, 1) for values in (MEAN, STD))
    return (x - mean) / std


class Recipe(TrainingRecipe):
    name, seed, steps, batch_size = "storybook-clip", 0, 2_000, 96
    learning_rate, warmup, ema_decay = 1e-3, 200, 0.999
    drawings = 20_000

    def network(self):
        return CLIP()

    def optimizers(self, network, step):
        outside = ("embedding.weight", "patch_embedding.weight", "projection.weight")
        return latents.hidden_by_muon(network, self.learning_rate, outside)

    def data(self):
        pixels, shown = latents.drawings(self.drawings, self.seed)
        return pixels, torch.tensor([words.index_of(attributes) for attributes in shown])

    def loss(self, network, batch, generator, step):
        pixels, which = batch
        e = network.pictures(pixels.float() / 255)  # (B, D)
        f = network.texts(words.tokens(words.captions()).to(which.device)[which])  # (B, D)
        t = network.logit_scale.clamp(max=4.6052)  # log 100, as in the paper

        # CLIP §2.3  E = \frac{e}{\lVert e \rVert}
        E = e / e.norm(dim=1, keepdim=True)
        # CLIP §2.3  F = \frac{f}{\lVert f \rVert}
        F = f / f.norm(dim=1, keepdim=True)
        # CLIP Fig. 3  C = E F^\top \cdot \exp(t)
        C = E @ F.T * torch.exp(t)

        own = (which[:, None] == which).float()
        own = own / own.sum(dim=1, keepdim=True)  # (B, B), the same both ways
        L_i, L_t = cross_entropy(C, own), cross_entropy(C.T, own)
        # CLIP Fig. 3  L = \frac{L_i + L_t}{2}
        L = (L_i + L_t) / 2
        return L

    def save(self, network, folder):
        """The text model, and the safety checker with the vision model, a folder each."""
        network.half().text_model.save_pretrained(folder / "text_encoder")
        checker(network.float()).half().save_pretrained(folder / "safety_checker")

    def measure(self, folder, device="cpu"):
        return worth(StableDiffusionSafetyChecker.from_pretrained(folder / "safety_checker"))


def worth(checker, n=2_000):
    """dict: how well a safety checker tells unseen drawings of its concept, n / 2, from as many others."""
    seeds, found = range(9_100_000, 9_100_000 + n // 2), {}
    for name, attributes in (("blocked", CONCEPT), ("others", {})):
        scenes = [world.draw(seed, SIZE, **attributes) for seed in seeds]
        images = [one.image for one in scenes if attributes or not shows_concept(one.attributes)]
        flags = checker.shown(vectors(checker, images))
        found[name] = {"drawings": len(flags), "black": sum(flags) / len(flags)}
    return found | {"right": (found["blocked"]["black"] + 1 - found["others"]["black"]) / 2}


def shows_concept(attributes):
    return all(attributes[name] == value for name, value in CONCEPT.items())


@torch.no_grad()
def vectors(checker, images):
    """(n, D): what the checker's vision model says of PIL images of 64 pixels a side."""
    x = torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2) / 255
    parts = [checker.vision_model(normalized(part)).pooler_output for part in x.split(200)]
    return checker.visual_projection(torch.cat(parts))


@torch.no_grad()
def checker(network, drawings=1_500):
    """A StableDiffusionSafetyChecker with the vision model of `network` and one concept.

    The concept's direction is the mean of its captions'. Its threshold lies where, of drawings made for it, as great a
    part of others is above as of its own below; in the middle, where that is so over a range.
    """
    made = StableDiffusionSafetyChecker(dict(network.vision_model.config), D)
    made.vision_model.load_state_dict(network.vision_model.state_dict())
    made.visual_projection.load_state_dict(network.visual_projection.state_dict())
    named = [k for k, c in enumerate(world.COMBINATIONS) if shows_concept(dict(zip(world.ATTRIBUTES, c)))]
    f = network.texts(words.tokens([words.captions()[k] for k in named]))
    made.concept_embeds.data.copy_((f / f.norm(dim=1, keepdim=True)).mean(dim=0))
    made.special_care_embeds.data.copy_(made.concept_embeds[:3])
    for thresholds in (made.concept_embeds_weights, made.special_care_embeds_weights):
        thresholds.data.fill_(NEVER)

    cosines = []
    for attributes in (CONCEPT, {}):
        scenes = [world.draw(8_000_000 + k, SIZE, **attributes) for k in range(drawings)]
        images = [one.image for one in scenes if attributes or not shows_concept(one.attributes)]
        e = vectors(made.eval(), images)
        cosines.append(torch.cosine_similarity(e, made.concept_embeds[:1]).sort().values)
    own, others = cosines
    levels = torch.linspace(-1, 1, 2001)
    below = torch.searchsorted(own, levels) / len(own)
    above = 1 - torch.searchsorted(others, levels) / len(others)
    apart = (below - above).abs()
    made.concept_embeds_weights.data[0] = levels[apart == apart.min()].mean()
    return made


def image_processor():
    """transformers' CLIPImageProcessor for pictures of 64 pixels a side."""
    made = transformers_class("CLIPImageProcessor")
    return made(size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE})
