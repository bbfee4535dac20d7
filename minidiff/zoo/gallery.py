"""Many pictures on one sheet, with captions; and pictures of sounds."""

import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from minidiff import files

PAPER, INK, PALE = (253, 251, 246), (40, 36, 48), (120, 114, 128)


def sheet(images, columns=8, size=96, gap=6):
    """PIL images side by side, in rows of `columns`, each enlarged until its longer side has `size` pixels.

    Returns:
        a PIL image.
    Raises:
        ValueError: there are no images.
    """
    if not images:
        raise ValueError("images is empty; allowed is at least one picture")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    board = Image.new("RGB", (columns * (size + gap) + gap, rows * (size + gap) + gap), PAPER)
    for k, image in enumerate(images):
        sharp = size % max(image.size) == 0  # whole pixels stay pixels, which also makes small files
        resampling = Image.Resampling.NEAREST if sharp else Image.Resampling.LANCZOS
        place = gap + k % columns * (size + gap), gap + k // columns * (size + gap)
        scaled = [round(side * size / max(image.size)) for side in image.size]
        board.paste(image.convert("RGB").resize(scaled, resampling), place)
    return board


def save(image, file, **options):
    """Write a PIL image in the format that the file's name ends in; until it is whole, the old file stays."""
    whole = io.BytesIO()
    image.save(whole, Image.registered_extensions()[Path(file).suffix.lower()], **options)
    files.replace(file, whole.getbuffer())


def stack(sheets):
    """Sheets below each other, each under its caption.

    Args:
        sheets: pairs (caption, remark, sheet); the remark stands on the right, in grey.
    Returns:
        a PIL image.
    """
    large, small, head = ImageFont.load_default(20), ImageFont.load_default(15), 36
    width = max(board.width for _, _, board in sheets)
    page = Image.new("RGB", (width, sum(head + board.height for _, _, board in sheets) + 6), PAPER)
    draw, y = ImageDraw.Draw(page), 0
    for caption, remark, board in sheets:
        draw.text((8, y + head - 6), caption, INK, large, anchor="ls")
        draw.text((width - 8, y + head - 6), remark, PALE, small, anchor="rs")
        page.paste(board, (0, y + head))
        y += head + board.height
    return page


def sound_picture(sound, sample_rate, size=198):
    """A sound as one sees it: its wave, and below it how loud each frequency is at each time.

    Args:
        sound: an array or tensor (C, L) in [-1, 1]; of several channels the mean.
        sample_rate: samples a second, for the labels.
        size: width and height of the picture in pixels.
    Returns:
        a PIL image: time runs to the right; the wave from -1 to 1; the spectrogram from 0 Hz, below, to half the rate,
        over 60 decibels.
    """
    import torch

    wave = torch.as_tensor(sound).detach().cpu().double().mean(dim=0)  # (L,)
    picture = Image.new("RGB", (size, size), PAPER)
    draw, middle, top = ImageDraw.Draw(picture), size // 5, 2 * size // 5
    for x, part in enumerate(wave.tensor_split(size)):  # a column holds the wave's range in its time
        if len(part):
            low, high = (round(middle - middle * value.clamp(-1, 1).item()) for value in (part.min(), part.max()))
            draw.line((x, low, x, high), INK)

    window = torch.hann_window(256, dtype=wave.dtype)
    loud = torch.stft(wave, 256, hop_length=64, window=window, pad_mode="constant", return_complex=True).abs()
    loud = 2 * loud / window.sum()  # (129, times): 1 for a sine from -1 to 1
    share = (1 + 20 * loud.clamp(min=1e-9).log10() / 60).clamp(0, 1).flip(0)
    levels = Image.fromarray((255 * share).round().byte().numpy()).resize((size, size - top - 2), Image.Resampling.BOX)
    picture.paste(ImageOps.colorize(levels, PAPER, INK), (0, top + 2))
    font = ImageFont.load_default(11)
    draw.text((3, top + 4), f"{sample_rate / 2000:g} kHz", PALE, font)
    draw.text((size - 3, top + 4), f"{len(wave) / sample_rate:.3g} s", PALE, font, anchor="ra")
    return picture
