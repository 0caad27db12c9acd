"""Contact sheets: images, and below them their views, pixel by pixel and to scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

from sslfast.config import Recipe
from sslfast.data import Source
from sslfast.errors import UsageError
from sslfast.report.views import PAPER, Row, view_rows
from sslfast.run.atomic import atomic_write

LEAST_SIDE = 112  # pixels; smaller views are enlarged by a whole factor
MARGIN, GAP = 12, 8  # pixels
FONT_SIZE, COLUMN_SHARE = 13, 9  # pixels, or this part of a column's width where that is more
LINE = 1.3  # from a line to the next, in sizes of the font
INK = "black"

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def draw_views(source: Source, recipe: Recipe, device: torch.device, path: Path) -> Path:
    """Draws some images, and below them each of their views, see `view_rows`.

    Args:
        source: the images.
        recipe: the recipe whose views are drawn.
        device: where the views are made.
        path: the PNG to write; one that exists is replaced.

    Returns:
        `path`.

    Raises:
        UsageError: the images cannot be read, the method cannot work on views of this size, or the file cannot
            be written.
    """
    return _save(_sheet(view_rows(source, recipe, device, LEAST_SIDE)), path)


def _sheet(rows: Sequence[Row]) -> Image.Image:
    """Puts the rows below each other, each under its caption, with margins and gaps of paper."""
    widest = max(picture.shape[1] for _, pictures in rows for picture in pictures)
    size, column = font_size(widest), widest + GAP
    font, line = ImageFont.load_default(size), round(LINE * size)
    longest_word = max(font.getlength(word) for label, _ in rows for word in label.split())
    inner = max(column * max(len(pictures) for _, pictures in rows) - GAP, math.ceil(longest_word))
    captions = [_wrapped(label, font, inner) for label, _ in rows]
    heights = [
        line * len(caption) + max(p.shape[0] for p in pictures) + GAP
        for caption, (_, pictures) in zip(captions, rows, strict=True)
    ]
    sheet = Image.new("RGB", (2 * MARGIN + inner, 2 * MARGIN - GAP + sum(heights)), (PAPER, PAPER, PAPER))
    draw = ImageDraw.Draw(sheet)
    top = MARGIN
    for caption, height, (_, pictures) in zip(captions, heights, rows, strict=True):
        for n, text in enumerate(caption):
            draw.text((MARGIN, top + n * line), text, INK, font)
        for n, picture in enumerate(pictures):
            sheet.paste(Image.fromarray(picture), (MARGIN + n * column, top + line * len(caption)))
        top += height
    return sheet


def font_size(column: int) -> int:
    """Chooses the captions' size in pixels: it grows with the columns, as large sheets are seen from afar."""
    return max(FONT_SIZE, column // COLUMN_SHARE)


def _wrapped(text: str, font: Font, width: int) -> list[str]:
    """Breaks the text into lines of at most `width` pixels, which no word may exceed."""
    first, *words = text.split()
    lines = [first]
    for word in words:
        longer = f"{lines[-1]} {word}"
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _save(sheet: Image.Image, path: Path) -> Path:
    """Writes a sheet as the PNG `path`, which it returns."""
    try:
        with atomic_write(path) as file:
            sheet.save(file, format="PNG")
    except OSError as error:
        raise UsageError(f"{path}: cannot write: {error.strerror or error}") from error
    return path
