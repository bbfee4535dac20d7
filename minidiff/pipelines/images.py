"""Pictures that people pass to a pipeline, as tensors."""

import torch


def as_rgb(image):
    """A PIL image of any mode as one of mode RGB.

    It is turned as its EXIF data say, and loses its alpha: what lies behind it is white.

    Raises:
        ValueError: the image has numbers of no known range (mode "F", or "I" beyond 16 bit).
    """
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


def pictures(image, multiple=1, size=None, latent_channels=None):
    """What people pass as `image`, as a tensor (K, 3, H, W) in [-1, 1].

    Args:
        image: a PIL image of any mode, or a list of them of one size; an array (H, W, 3) or (K, H, W, 3), or a tensor
            (3, H, W) or (K, 3, H, W), in [0, 1], or, if something in it is negative, in [-1, 1].
        multiple: PIL images are shrunk, arrays and tensors must be, to sides that are multiples of it.
        size: (H, W), which pictures are brought to instead.
        latent_channels: a tensor of so many channels, if they are not 3, holds latents, and is returned as it is.
    Raises:
        ValueError: it is none of these, has another shape, or numbers out of range.
    """
    if is_pil(image):
        images = [as_rgb(one) for one in as_list(image)]
        check_one_size("image", images)
        height, width = size or (images[0].height // multiple * multiple, images[0].width // multiple * multiple)
        if not height or not width:
            raise ValueError(
                f"image is {images[0].width} x {images[0].height}; allowed are at least {multiple} x {multiple} "
                "pixels, less the networks cannot take"
            )
        return levels_of(images, height, width) * 2 - 1
    x = as_tensor("image", image, channels=3, also=latent_channels)
    if x.shape[1] != 3:
        return x
    if not (x.abs() <= 1 + 1e-3).all():  # NaN is not <= anything
        raise ValueError(f"image has numbers from {x.min():.4g} to {x.max():.4g}; allowed are 0 to 1, or -1 to 1")
    if size is not None:
        x = brought_to(x, size)
    elif x.shape[2] % multiple or x.shape[3] % multiple:
        raise ValueError(f"image is {x.shape[3]} x {x.shape[2]}; allowed are multiples of {multiple}")
    return x if x.min() < 0 else x * 2 - 1


MASK_MODES = ("L", "1", "RGB")


def masks(mask_image, size):
    """What people pass as `mask_image`, as a tensor (K, 1, H, W) of zeros and ones.

    Args:
        mask_image: a PIL image of mode "L", "1" or "RGB", which is turned as its EXIF data say, or a list of them of
            one size; an array (H, W) or (K, H, W), or a tensor (H, W), (1, H, W) or (K, 1, H, W), in [0, 1].
        size: (H, W), which it is brought to; what is 0.5 or more then is 1.
    Raises:
        ValueError: it is none of these, has another mode or shape, or numbers out of range.
    """
    from PIL import ImageOps

    if is_pil(mask_image):
        images = [ImageOps.exif_transpose(one) for one in as_list(mask_image)]
        check_one_size("mask_image", images)
        for one in images:
            if one.mode not in MASK_MODES:
                raise ValueError(
                    f"mask_image has the mode {one.mode!r}; allowed are {', '.join(map(repr, MASK_MODES))}, white "
                    "where the picture shall be drawn anew; mask.getchannel('A') makes one of what is not transparent"
                )
        x = levels_of(images, *size, mode="L")
    else:
        x = as_tensor("mask_image", mask_image, channels=1)
        if not ((x >= 0) & (x <= 1)).all():
            raise ValueError(f"mask_image has numbers from {x.min():.4g} to {x.max():.4g}; allowed are 0 to 1")
        x = brought_to(x, size)
    return (x >= 0.5).to(x.dtype)


def check_sizes_agree(image, mask_image):
    """Raises ValueError where a mask is not as large as the picture it belongs to, so that nobody knows what it hides.

    Both are looked at before any resizing. That all of a list are of one size, `pictures` and `masks` say.
    """
    (w, h), (w_mask, h_mask) = size_of(image), size_of(mask_image)
    if (w, h) != (w_mask, h_mask):
        raise ValueError(
            f"mask_image is {w_mask} x {h_mask} and image {w} x {h}; allowed are masks as large as the image"
        )


def size_of(image):
    """(width, height) of what `pictures` or `masks` took; of a list the first's."""
    from PIL import ImageOps

    one = as_list(image)[0]
    if is_pil(one):
        return ImageOps.exif_transpose(one).size
    shape = tuple(one.shape)
    last = isinstance(one, torch.Tensor) or len(shape) == 2 or shape[-1] not in (1, 3)  # no channels behind the pixels
    return (shape[-1], shape[-2]) if last else (shape[-2], shape[-3])


def as_list(image):
    return list(image) if isinstance(image, list | tuple) else [image]


def is_pil(image):
    from PIL import Image

    return bool(as_list(image)) and all(isinstance(one, Image.Image) for one in as_list(image))


def check_one_size(argument, images):
    """Raises ValueError where PIL images differ in size, or arrays or tensors in shape."""
    sizes = [tuple(one.size if is_pil(one) else one.shape) for one in images]
    if len(set(sizes)) > 1:
        listed = ", ".join(" x ".join(map(str, size)) for size in sizes)
        raise ValueError(f"{argument} holds pictures of {listed}; allowed is one size for all")


def levels_of(images, height, width, mode="RGB"):
    """PIL images as a tensor (K, 3 or 1, height, width) in [0, 1], resized by Lanczos, then brought to `mode`."""
    import numpy as np
    from PIL import Image

    resized = [image.resize((width, height), Image.Resampling.LANCZOS).convert(mode) for image in images]
    levels = torch.from_numpy(np.stack([np.array(image) for image in resized])).float() / 255
    return levels[:, None] if mode == "L" else levels.permute(0, 3, 1, 2)


def as_tensor(argument, image, channels, also=None):
    """An array or a tensor, or a list of them, as a tensor (K, channels, H, W); or one of `also` channels."""
    import numpy as np

    images = as_list(image)
    arrays = all(isinstance(one, np.ndarray) for one in images)
    if not images or not arrays and not all(isinstance(one, torch.Tensor) for one in images):
        raise ValueError(f"{argument} is {image!r:.100}; allowed are PIL images, arrays and tensors")
    check_one_size(argument, images)
    x = torch.stack([torch.as_tensor(one) for one in images]) if len(images) > 1 else torch.as_tensor(images[0])
    shape = tuple(x.shape)
    if channels == 1:
        x = x[..., 0] if arrays and x.ndim > 2 and x.shape[-1] == 1 else x
        x = x[None, None] if x.ndim == 2 else x[:, None] if x.ndim == 3 else x
    elif x.ndim == 3:
        x = x[None]
    if arrays and x.ndim == 4 and channels != 1:
        x = x.permute(0, 3, 1, 2)
    if x.ndim != 4 or not x.numel() or x.shape[1] not in (channels, also) or not x.is_floating_point():
        wanted = f"(K, H, W, {channels})" if arrays and channels != 1 else f"(K, {channels}, H, W)"
        raise ValueError(
            f"{argument} has the shape {shape} and the dtype {x.dtype}; allowed are floating-point {wanted}"
        )
    return x


def brought_to(x, size):
    """(K, C, H, W) in the size (H, W), by the nearest pixel, as diffusers does it with tensors."""
    return x if x.shape[2:] == tuple(size) else torch.nn.functional.interpolate(x, size=tuple(size))
