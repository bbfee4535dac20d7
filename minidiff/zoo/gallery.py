"""Many pictures on one sheet, with captions."""

from PIL import Image, ImageDraw, ImageFont

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
