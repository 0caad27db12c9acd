"""Images, and the views of them that training makes, as rows of pictures."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from sslfast.config import Recipe, ViewConfig
from sslfast.data import Batch, LoaderSpec, Source, make_loader
from sslfast.data.sources.subset import balanced_subset
from sslfast.errors import UsageError
from sslfast.methods import METHODS
from sslfast.report.shown import shown_channels

IMAGES = 6  # columns
TILE_GAP = 2  # pixels
PAPER = 221  # gray level of places where nothing is: neither white nor black

Pixels = NDArray[np.uint8]  # (H, W, 3)
Row = tuple[str, list[Pixels]]  # its caption, and a picture for each image


def view_rows(source: Source, recipe: Recipe, device: torch.device, least_side: int = 1) -> list[Row]:
    """Makes a row of some images, and a row for each of their views as the first epoch of training has it.

    Below a view stand the pictures that the recipe's method makes of it, such as patches, where its networks get
    others than whole views.

    Args:
        source: the images.
        recipe: the recipe whose views are drawn.
        device: where the views are made.
        least_side: pixels; smaller views are enlarged by a whole factor.

    Raises:
        UsageError: the images cannot be read, or the method cannot work on views of this size.
    """
    data, seed = recipe.data, recipe.train.seed
    shown = source.subset(balanced_subset(source.labels, len(source), IMAGES))
    loader = make_loader(LoaderSpec(shown, dataclasses.replace(data, batch_size=1), seed, device))
    by_index = {int(batch.index): batch for batch in loader.epoch(0)}
    batches = [by_index[index] for index in sorted(by_index)]
    sizes = [view.shape[-1] for view in batches[0].views]
    zoom = max(1, -(-least_side // max(sizes)))

    rows: list[Row] = []
    for number, (declared, size) in enumerate(zip(data.views, sizes, strict=True)):
        views = [shown_channels(batch.views[number], data)[:, None] for batch in batches]
        rows.append((f"views.{number}: {declaration(declared, size)}", [_tiled(view, zoom) for view in views]))
        patches = [_patches(recipe, number, batch) for batch in batches]
        pictures = [_tiled(patch, zoom) for patch in patches if patch is not None]
        if pictures:
            rows.append((f"views.{number}, what {recipe.method.name} makes of it", pictures))
    widest = max(picture.shape[1] for _, pictures in rows for picture in pictures)
    images = [_fitted(shown.image(index), widest, zoom) for index in sorted(by_index)]
    return [("images", images), *rows]


def declaration(view: ViewConfig, size: int) -> str:
    """Lists the settings of a view in a line, without those that do nothing."""
    low, high = view.scale
    parts = [f"{size} px", f"crop {low:g} to {high:g} of the area"]
    if view.region != (0, 0, 1, 1):
        parts.append(
            "of rows {:.3g} to {:.3g}, columns {:.3g} to {:.3g}".format(*view.region[::2], *view.region[1::2])
        )
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
        parts.append(f"solarize {view.solarize:g}")
    return ", ".join(parts)


def _patches(recipe: Recipe, number: int, batch: Batch) -> Tensor | None:
    """Makes what `Method.inputs_of_view` makes of a batch of one, as RGB."""
    key = batch.key(view=number)
    try:
        inputs = METHODS[recipe.method.name].inputs_of_view(recipe, number, batch.views[number], key)
    except ValueError as error:
        raise UsageError(f"views.{number}: {error}") from error
    return None if inputs is None else shown_channels(inputs[0], recipe.data)[None]


def _tiled(pictures: Tensor, zoom: int) -> Pixels:
    """Lays out RGB pictures in [0, 1], (1, N, 3, h, w), enlarged, in as many rows as columns; NaN is paper."""
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
    """Fits a whole image into a square; where views are enlarged, its pixels stay visible too."""
    how = Image.Resampling.NEAREST if zoom > 1 else Image.Resampling.BICUBIC
    return np.asarray(ImageOps.contain(image, (box, box), how))
