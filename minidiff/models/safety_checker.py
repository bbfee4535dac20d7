r"""The safety checker that was published with Stable Diffusion, which blacks out pictures of some concepts.

There is no paper of it, only the code (CompVis, 2022; since then in diffusers). It rests on CLIP (Radford et al., ICML
2021, arXiv:2103.00020): a concept is a direction in CLIP's space, kept without its name, and a picture shows it if the
cosine between both is above the concept's threshold. If one of the special concepts shows, all others count as shown a
little earlier.

Letters: E holds the directions of the pictures and F those of the concepts, one a row; C their cosines.
"""

import warnings

import numpy as np
import torch
from torch import nn

from minidiff.config import check_whole, configured
from minidiff.models.base import Model
from minidiff.models.clip import CLIPVisionModel

CONCEPTS, SPECIAL = 17, 3  # how many there are of each, as published
EARLIER = 0.01  # by which thresholds are lowered where a special concept shows


class StableDiffusionSafetyChecker(Model):
    """Looks at pictures, and blacks out those that show one of its concepts.

    Args:
        vision_config: the config of a CLIPVisionModel, as a dict.
        projection_dim: D of the space in which pictures and concepts are compared.
    """

    weight_names = ("model.safetensors", "pytorch_model.bin")
    library = "stable_diffusion"

    @configured
    def __init__(self, vision_config=None, projection_dim=512):
        super().__init__()
        check_whole("projection_dim", projection_dim)
        self.vision_model = CLIPVisionModel.from_config(vision_config or {})
        channels, D = self.vision_model.config.hidden_size, projection_dim
        self.visual_projection = nn.Linear(channels, D, bias=False)
        self.concept_embeds = nn.Parameter(torch.ones(CONCEPTS, D), requires_grad=False)
        self.special_care_embeds = nn.Parameter(torch.ones(SPECIAL, D), requires_grad=False)
        # The thresholds, which published keys call weights.
        self.concept_embeds_weights = nn.Parameter(torch.ones(CONCEPTS), requires_grad=False)
        self.special_care_embeds_weights = nn.Parameter(torch.ones(SPECIAL), requires_grad=False)

    @classmethod
    def rename(cls, weights):
        """The vision model's keys as CLIPVisionModel has them."""
        begin = "vision_model."
        vision = {key.removeprefix(begin): tensor for key, tensor in weights.items() if key.startswith(begin)}
        others = {key: tensor for key, tensor in weights.items() if not key.startswith(begin)}
        return {begin + key: tensor for key, tensor in CLIPVisionModel.rename(vision).items()} | others

    def saved_config(self):
        header = {"architectures": [type(self).__name__], "model_type": "clip"}
        return header | dict(sorted(self.config.handed_on().items()))

    def forward(self, clip_input, images):
        """Black pictures for those that show a concept, with a warning.

        Args:
            clip_input: (B, 3, H, W), the pictures as the image processor prepares them.
            images: the pictures themselves, a tensor, an array or a list of B of them, where 0 is black.
        Returns:
            (images, shown): the pictures, and a list of B bools.
        """
        with torch.no_grad():
            shown = self.shown(self.visual_projection(self.vision_model(clip_input).pooler_output))
        if any(shown):
            warnings.warn(
                f"the safety checker found one of its concepts in {sum(shown)} of {len(shown)} pictures; "
                "they are black. Another prompt or another seed may help",
                stacklevel=2,
            )
        made = torch.stack if isinstance(images, torch.Tensor) else np.stack if isinstance(images, np.ndarray) else list
        return made([image * 0 if found else image for image, found in zip(images, shown)]), shown

    def shown(self, e):
        """list of B bools: whether pictures with the vectors e, (B, D), show a concept."""
        special = self.above(e, self.special_care_embeds, self.special_care_embeds_weights)
        lowered = EARLIER * special.any(dim=1, keepdim=True)  # (B, 1)
        return self.above(e, self.concept_embeds, self.concept_embeds_weights, lowered).any(dim=1).tolist()

    def above(self, e, f, thresholds, lowered=0.0):
        """(B, K) bools: whether the cosines of vectors e, (B, D), with f, (K, D), are above the thresholds, (K,)."""
        e, f = e.float(), f.float()  # a cosine counts to the thousandth, which half precision cannot hold
        # CLIP §2.3  E = \frac{e}{\lVert e \rVert}
        E = e / e.norm(dim=1, keepdim=True)
        # CLIP §2.3  F = \frac{f}{\lVert f \rVert}
        F = f / f.norm(dim=1, keepdim=True)
        # CLIP §2.3  C = E F^\top
        C = E @ F.T
        return (C - thresholds + lowered).round(decimals=3) > 0
