r"""What pipelines over latents share, before and after their loop.

High-Resolution Image Synthesis with Latent Diffusion Models. Rombach, Blattmann, Lorenz, Esser & Ommer, CVPR 2022,
arXiv:2112.10752: diffusion runs on the latents of an autoencoder, scaled to vary by about 1.

Letters: z_0 is the latent that the loop ends with, s the scale, 1 over the paper's \hat\sigma.
"""

from minidiff.config import check_whole
from minidiff.models.base import unwrapped

OUTPUT_TYPES = ("pil", "np", "pt", "latent")


def decoded(autoencoder, z_0):
    """The pictures, (B, 3, H, W) in about [-1, 1], of latents z_0, (B, C, h, w), as diffusion works on them."""
    autoencoder = unwrapped(autoencoder)
    s = autoencoder.config.scaling_factor

    # LDM app. G, rearranged  z = \frac{z_0}{s}
    z = z_0 / s
    return autoencoder.decode(z).sample


def multiple_of_pixels(autoencoder, unet):
    """int: what the sides of a picture must be multiples of, so that autoencoder and UNet2DModel can halve them."""
    return unwrapped(autoencoder).factor * 2 ** halvings(unet)


def halvings(unet):
    """int: how often a UNet halves the resolution on its way down."""
    return len(unwrapped(unet).config.block_out_channels) - 1


def latent_shape(autoencoder, unet, height=None, width=None):
    """(C, h, w) of the latent of a picture of that size; of the size that the UNet was trained on if it is None.

    Args:
        unet: a UNet2DConditionModel, which finds odd sizes again on its way up.
    Raises:
        ValueError: one of the two is given without the other, or is no positive multiple of the autoencoder's factor.
    """
    f, C = unwrapped(autoencoder).factor, unwrapped(autoencoder).config.latent_channels
    if height is None and width is None:
        return (C, *unwrapped(unet).sample_shape[1:])
    for argument, value, other in (("height", height, "width"), ("width", width, "height")):
        if value is None:
            raise ValueError(f"{argument} is None, but {other} is not; allowed are both or neither")
        check_whole(argument, value)
        if value % f:
            raise ValueError(
                f"{argument} is {value}; allowed are multiples of {f}, which the autoencoder shrinks to one"
            )
    return (C, height // f, width // f)


def prompts(prompt):
    """list of str: a prompt, or several.

    Raises:
        ValueError: it is neither, or there are none.
    """
    found = [prompt] if isinstance(prompt, str) else prompt
    if not isinstance(found, list | tuple) or not found or not all(isinstance(text, str) for text in found):
        raise ValueError(f"prompt is {prompt!r}; allowed is a text, or a list of at least one")
    return list(found)
