"""Contact sheets: images, and below them their views, pixel by pixel and to scale."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from sslfast.config import Recipe, ViewConfig
from sslfast.data import Batch, LoaderSpec, Source, make_loader
from sslfast.data.sources.subset import balanced_subset
from sslfast.errors import UsageError
from sslfast.methods import METHODS
from sslfast.run.atomic import atomic_write
from sslfast.views.color_spaces import to_rgb

IMAGES = 6  # columns
LEAST_SIDE = 112  # pixels; smaller views are enlarged by a whole factor
MARGIN, GAP, TILE_GAP = 12, 8, 2  # pixels
FONT_SIZE, COLUMN_SHARE = 13, 9  # pixels, or this part of a column's width where that is more
LINE = 1.3  # from a line to the next, in sizes of the font
INK = "black"
PAPER = 221  # gray level, and of places where nothing is: neither white nor black

Pixels = NDArray[np.uint8]  # (H, W, 3)
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Row = tuple[str, list[Pixels]]  # its caption, and a picture for each image


def draw_views(source: Source, recipe: Recipe, device: torch.device, path: Path) -> Path:
    """Draws some images, and below them each of their views as the first epoch of training has it.

    Below a view stand the pictures that the recipe's method makes of it, such as patches, where its networks get
    others than whole views.

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
    data, seed = recipe.data, recipe.train.seed
    shown = source.subset(balanced_subset(source.labels, len(source), IMAGES))
    loader = make_loader(LoaderSpec(shown, dataclasses.replace(data, batch_size=1), seed, device))
    by_index = {int(batch.index): batch for batch in loader.epoch(0)}
    batches = [by_index[index] for index in sorted(by_index)]
    sizes = [view.shape[-1] for view in batches[0].views]
    zoom = max(1, -(-LEAST_SIDE // max(sizes)))

    rows: list[Row] = []
    for number, (declared, size) in enumerate(zip(data.views, sizes, strict=True)):
        views = [to_rgb(batch.views[number], data.mean, data.std)[:, None] for batch in batches]
        rows.append((f"views.{number}: {declaration(declared, size)}", [_tiled(view, zoom) for view in views]))
        patches = [_patches(recipe, number, batch) for batch in batches]
        pictures = [_tiled(patch, zoom) for patch in patches if patch is not None]
        if pictures:
            rows.append((f"views.{number}, what {recipe.method.name} makes of it", pictures))
    widest = max(picture.shape[1] for _, pictures in rows for picture in pictures)
    images = [_fitted(shown.image(index), widest, zoom) for index in sorted(by_index)]
    return _save(_sheet([("images", images), *rows]), path)


def declaration(view: ViewConfig, size: int) -> str:
    """The settings of a view in a line, without those that do nothing."""
    low, high = view.scale
    parts = [f"{size} px", f"crop {low:g} to {high:g} of the area"]
    if view.ratio != (3 / 4, 4 / 3):
        parts.append("ratio {:.3g} to {:.3g}".format(*view.ratio))
    if view.flip:
        parts.append(f"flip {view.flip:g}")
    if view.jitter:
        strengths = f"{view.brightness:g} {view.contrast:g} {view.saturation:g} {view.hue:g}"
        parts.append(f"jitter {view.jitter:g} ({strengths})")
    if view.grayscale:
        parts.append(f"gray {view.grayscale:g}")
    if view.blur:
        parts.append("blur {:g} (sigma {:g} to {:g})".format(view.blur, *view.blur_sigma))
    if view.solarize:
        parts.append(f"solarise {view.solarize:g}")
    return ", ".join(parts)


def _patches(recipe: Recipe, number: int, batch: Batch) -> Tensor | None:
    """`Method.inputs_of_view` of a batch of one, as RGB."""
    key = batch.key(view=number)
    try:
        inputs = METHODS[recipe.method.name].inputs_of_view(recipe, number, batch.views[number], key)
    except ValueError as error:
        raise UsageError(f"views.{number}: {error}") from error
    return None if inputs is None else to_rgb(inputs[0], recipe.data.mean, recipe.data.std)[None]


def _tiled(pictures: Tensor, zoom: int) -> Pixels:
    """RGB pictures in [0, 1], (1, N, 3, h, w), enlarged and laid out in as many rows as columns; NaN is paper."""
    levels = (pictures[0] * 255).nan_to_num(PAPER)
    tiles = levels.permute(0, 2, 3, 1).cpu().numpy().round().astype(np.uint8)
    count, height, width, _ = tiles.shape
    columns = math.ceil(math.sqrt(count))
    rows = -(-count // columns)
    canvas = np.full((rows * (zoom * height + TILE_GAP), columns * (zoom * width + TILE_GAP), 3), PAPER, np.uint8)
    for n, tile in enumerate(tiles):
        top, left = n // columns * (zoom * height + TILE_GAP), n % columns * (zoom * width + TILE_GAP)
        canvas[top : top + zoom * height, left : left + zoom * width] = tile.repeat(zoom, 0).repeat(zoom, 1)
    return canvas[:-TILE_GAP, :-TILE_GAP]


def _fitted(image: Image.Image, box: int, zoom: int) -> Pixels:
    """A whole image, as large as fits into a square; where views are enlarged, its pixels stay visible too."""
    how = Image.Resampling.NEAREST if zoom > 1 else Image.Resampling.BICUBIC
    return np.asarray(ImageOps.contain(image, (box, box), how))


def _sheet(rows: Sequence[Row]) -> Image.Image:
    """The rows below each other, each under its caption, with margins and gaps of paper."""
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
    """The size of the captions in pixels: it grows with the columns, as a large sheet is looked at from afar."""
    return max(FONT_SIZE, column // COLUMN_SHARE)


def _wrapped(text: str, font: Font, width: int) -> list[str]:
    """The text in lines of at most `width` pixels, which no word may exceed."""
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
