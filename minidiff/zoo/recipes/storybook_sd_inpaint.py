r"""storybook-sd-inpaint: storybook-sd, trained further to draw a part of a drawing anew.

High-Resolution Image Synthesis with Latent Diffusion Models. Rombach et al., CVPR 2022, arXiv:2112.10752, section 4.5.
The UNet takes five channels more, the mask and the latents of what it leaves, whose first weights are zero, as in the
inpainting weights that were published with Stable Diffusion. Half of the masks cover the object, the others a part of
the picture that chance decides, one in eight all of it.

What is left to gain: the outlines of cats fray at night, and what is white or black has few inner lines.
"""

import random
from pathlib import Path

import torch
from torch.nn.functional import interpolate

from minidiff import zoo
from minidiff.models.unet_2d_condition import UNet2DConditionModel
from minidiff.pipelines.stable_diffusion_inpaint import StableDiffusionInpaintPipeline
from minidiff.zoo import sketches, world
from minidiff.zoo.evaluator import as_pictures, look, share
from minidiff.zoo.evaluator import wanted as captioned
from minidiff.zoo.recipes import latents, storybook_sd, words


class Recipe(storybook_sd.Recipe):
    name, steps, channels = "storybook-sd-inpaint", 1_200, 9
    learning_rate = 1e-3
    pipeline = StableDiffusionInpaintPipeline

    def network(self):
        """storybook-sd's UNet with five input channels more."""
        here = Path("storybook-sd", "unet")
        source = here if here.is_dir() else zoo.path("storybook-sd") / "unet"
        return widened(UNet2DConditionModel.from_pretrained(source), self.unet()).train()

    @torch.no_grad()
    def data(self):
        pixels, shown = latents.drawings(self.drawings, self.seed)
        vae = self.parts()["vae"]
        self.context = self.encoded_prompts()
        masks = torch.stack([mask(self.seed, k) for k in range(len(pixels))])  # (n, 1, 64, 64)
        z, z_masked = [], []
        for part, hidden in zip(pixels.split(500), masks.split(500)):
            x = latents.centred(part)
            for kept, found in ((x, z), (x * (1 - hidden), z_masked)):
                found.append(vae.encode(kept).latent_dist.mode() * vae.config.scaling_factor)
        m = interpolate(masks, size=(16, 16))
        which = torch.tensor([words.index_of(attributes) for attributes in shown])
        return torch.cat(z), m, torch.cat(z_masked), which

    def measure(self, folder, device="cpu", n=200, steps=50, guidance_scale=4.0):
        """How often the object that a prompt names stands in the hole of an unseen drawing, and how well what is
        outside of it is kept.
        """
        pipe = StableDiffusionInpaintPipeline.from_pretrained(folder, safety_checker=None).to(device)
        pipe.set_progress_bar_config(disable=True)
        before = [sketches.with_hole(9_300_000 + k) for k in range(n)]
        wanted = [one.attributes | other_object(9_400_000 + k) for k, one in enumerate(before)]
        prompts = [world.caption(attributes) for attributes in wanted]
        images, holes = [one.image for one in before], [one.mask for one in before]
        call = {"num_inference_steps": steps, "guidance_scale": guidance_scale, "output_type": "pt"}
        after = pipe(prompts, images, holes, generator=torch.Generator().manual_seed(0), **call).images.cpu()
        said, asked = look(as_pictures(after)[0]), captioned(prompts, n)
        right = {name: said[name].argmax(dim=1) == asked[name] for name in world.ATTRIBUTES}
        return {
            "drawings": n,
            "steps": steps,
            "object in the hole": share(right["object"] & right["colour"]),
            "prompt_accuracy": share(torch.stack(list(right.values())).all(dim=0)),
            "decibels outside": outside(after, images, holes).mean().item(),
        }


def widened(unet, larger):
    """`larger`, a UNet that takes more channels, with the weights of `unet`, and zeros for the channels beyond."""
    weights = unet.state_dict()
    kernel = torch.zeros_like(larger.conv_in.weight)
    kernel[:, : weights["conv_in.weight"].shape[1]] = weights["conv_in.weight"]
    larger.load_state_dict(weights | {"conv_in.weight": kernel})
    return larger


def mask(seed, k):
    """(1, 64, 64): what is hidden of drawing k of the training stream, 1 where it is."""
    rng = random.Random(f"mask {seed} {k}")
    _, scene, _ = world._of_stream(seed, k)
    hidden, kind = torch.zeros(1, latents.SIZE, latents.SIZE), rng.random()
    if kind < 0.5:
        left, top, right, bottom = sketches.place_in(scene)
    elif kind < 0.875:
        (left, right), (top, bottom) = (sorted((rng.random(), rng.random())) for _ in range(2))
    else:
        left, top, right, bottom = 0, 0, 1, 1
    left, top, right, bottom = (round(part * latents.SIZE) for part in (left, top, right, bottom))
    hidden[:, max(top, 0) : bottom + 1, max(left, 0) : right + 1] = 1
    return hidden


def other_object(seed):
    """dict: an object and a colour."""
    shown = world.draw(seed, size=8).attributes
    return {name: shown[name] for name in ("object", "colour")}


def outside(after, images, holes):
    """(n,) decibels: how far pictures (n, 3, 64, 64) in [0, 1] keep what the masks of PIL images leave."""
    from minidiff.pipelines.images import masks, pictures

    x, m = pictures(images), masks(holes, (latents.SIZE, latents.SIZE))
    error = (((after * 2 - 1 - x) / 2) ** 2 * (1 - m)).flatten(1).sum(1) / (3 * (1 - m).flatten(1).sum(1))
    return -10 * error.log10()
