"""Pictures that people pass to a pipeline, as tensors."""

import torch


def from_pil(image, multiple):
    """A PIL image as a tensor (1, 3, H, W) in [-1, 1].

    Turned as its EXIF data say, without alpha (what lies behind it is white), in three channels, and shrunk by less
    than `multiple` pixels a side, by Lanczos, to multiples of it.

    Raises:
        ValueError: a side is shorter than `multiple`; or the image has numbers of no known range (mode "F").
    """
    import numpy as np
    from PIL import Image

    image = as_rgb(image)
    size = [side - side % multiple for side in image.size]
    if not all(size):
        raise ValueError(
            f"image is {image.width} x {image.height}; allowed are at least {multiple} x {multiple} pixels, "
            "less the network cannot take"
        )
    pixels = torch.from_numpy(np.array(image.resize(size, Image.Resampling.LANCZOS)))
    return pixels.permute(2, 0, 1)[None] / 255 * 2 - 1


def as_rgb(image):
    """A PIL image of any mode as an upright one of mode RGB; see `from_pil`."""
    import numpy as np
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise ValueError("image has the mode 'F', numbers of no known range; allowed are pictures of whole levels")
    if image.mode.startswith("I"):  # 16 bit
        levels = np.asarray(image).astype("int64")
        if levels.size and not 0 <= levels.min() <= levels.max() < 2**16:
            raise ValueError(f"image has levels from {levels.min()} to {levels.max()}; allowed are 16 bit, 0 to 65535")
        image = Image.fromarray((levels / 257).round().astype("uint8"))
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def check_tensor(image, multiple, channels=3):
    """Raises ValueError unless `image` is (B, channels, H, W) in [-1, 1], H and W multiples of `multiple`."""
    shape = tuple(image.shape)
    if len(shape) != 4 or not shape[0] or shape[1] != channels or any(not n or n % multiple for n in shape[2:]):
        raise ValueError(
            f"image has the shape {shape}; allowed is (B, {channels}, H, W), H and W multiples of {multiple}"
        )
    if not image.is_floating_point() or not (image.abs() <= 1 + 1e-3).all():  # NaN is not <= anything
        raise ValueError(
            f"image has the dtype {image.dtype} and numbers from {image.min():.4g} to {image.max():.4g}; "
            "allowed are floating-point numbers from -1 to 1"
        )
