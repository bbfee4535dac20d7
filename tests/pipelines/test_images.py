"""Pictures of every mode become the same tensor."""

import numpy as np
import pytest
import torch
from PIL import Image

from minidiff.pipelines.images import check_sizes_agree, masks, pictures
from minidiff.zoo import world

DRAWING = world.draw(seed=3, size=32).image


def as_tensor(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 127.5 - 1


def test_levels():
    assert torch.allclose(pictures(DRAWING, 16), as_tensor(DRAWING), atol=1e-6)
    assert pictures(DRAWING, 16).dtype == torch.float32


@pytest.mark.parametrize("size, wanted", [((32, 50), (32, 48)), ((31, 17), (16, 16)), ((16, 16), (16, 16))])
def test_sizes(size, wanted):
    assert pictures(DRAWING.resize(size), 16).shape == (1, 3, *wanted[::-1])


@pytest.mark.parametrize("size", [(15, 32), (32, 15), (0, 32), (0, 0)])
def test_pictures_that_are_too_small(size):
    with pytest.raises(ValueError, match=rf"image is {size[0]} x {size[1]}; allowed are at least 16 x 16 pixels"):
        pictures(Image.new("RGB", size), 16)


def test_grey():
    grey = DRAWING.convert("L")
    assert torch.equal(pictures(grey, 16), as_tensor(grey.convert("RGB")))
    assert set(pictures(grey.convert("1"), 16).unique().tolist()) == {-1.0, 1.0}


def test_sixteen_bits():
    """Levels of 0 to 65535 are as bright as those of 0 to 255; Pillow's own conversion cuts them off at 255."""
    grey = np.array(DRAWING.convert("L"))
    for mode, dtype in (("I;16", "uint16"), ("I", "int32")):
        deep = Image.fromarray(grey.astype(dtype) * 257)
        assert deep.mode == mode
        assert torch.equal(pictures(deep, 16), pictures(Image.fromarray(grey), 16))
    with pytest.raises(ValueError, match="image has levels from 0 to 70000; allowed are 16 bit"):
        pictures(Image.fromarray(np.array([[0, 70000]] * 16, "int32").repeat(8, 1)), 16)


def test_palettes():
    few = DRAWING.quantize(16)
    assert few.mode == "P" and torch.equal(pictures(few, 16), as_tensor(few.convert("RGB")))


def test_what_is_transparent_lies_on_white():
    clear = DRAWING.convert("RGBA")
    clear.putalpha(0)
    assert (pictures(clear, 16) == 1).all()
    assert (pictures(clear.convert("LA"), 16) == 1).all()
    half = DRAWING.convert("RGBA")
    half.putalpha(128)
    assert torch.allclose(pictures(half, 16), (as_tensor(DRAWING) + 1) * (128 / 255) + 2 * (127 / 255) - 1, atol=0.01)
    few = DRAWING.quantize(16)
    few.info["transparency"] = few.getpixel((0, 0))
    assert (pictures(few, 16)[0, :, 0, 0] == 1).all()
    opaque = DRAWING.convert("RGBA")
    assert torch.equal(pictures(opaque, 16), pictures(DRAWING, 16))


def test_pictures_are_turned_as_the_camera_says(tmp_path):
    exif = DRAWING.getexif()
    exif[0x0112] = 6  # turn right by 90 degrees
    DRAWING.save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as image:
        assert torch.equal(pictures(image, 16), pictures(DRAWING.rotate(-90), 16))


def test_masks_are_turned_as_their_pictures(tmp_path):
    left = Image.new("L", (48, 32))
    left.paste(255, (0, 0, 24, 32))
    exif = Image.Exif()
    exif[0x0112] = 6
    left.save(tmp_path / "turned.png", exif=exif)
    upright = left.rotate(-90, expand=True)
    with Image.open(tmp_path / "turned.png") as turned:
        assert torch.equal(masks(turned, (48, 32)), masks(upright, (48, 32)))
        check_sizes_agree(turned, upright)
        check_sizes_agree(turned.convert("RGB"), turned)
        with pytest.raises(ValueError, match="mask_image is 48 x 32 and image 32 x 48; allowed are masks as large"):
            check_sizes_agree(turned, left)


@pytest.mark.parametrize("kind", (torch.zeros, np.zeros))
def test_lists_of_several_sizes(kind):
    with pytest.raises(ValueError, match="image holds pictures of 3 x 8 x 8, 3 x 16 x 16; allowed is one size for all"):
        pictures([kind((3, 8, 8)), kind((3, 16, 16))])
    with pytest.raises(ValueError, match="mask_image holds pictures of 8 x 8, 16 x 8; allowed is one size for all"):
        masks([kind((8, 8)), kind((16, 8))], (8, 8))
    with pytest.raises(ValueError, match="mask_image holds pictures of 8 x 8, 8 x 16; allowed is one size for all"):
        masks([Image.new("L", (8, 8)), Image.new("L", (8, 16))], (8, 8))


def test_numbers_of_no_known_range():
    with pytest.raises(ValueError, match="image has the mode 'F'"):
        pictures(DRAWING.convert("F"), 16)
