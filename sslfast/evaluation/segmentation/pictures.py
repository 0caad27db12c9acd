"""Pictures of predictions: an image under its true and under its predicted classes, in colors."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sslfast.data.masks import BACKGROUND, IGNORED
from sslfast.errors import printable
from sslfast.evaluation.jpeg import write_jpeg

SIDE = 480  # pixels, the longer side of each of the three
GAP, LINE = 8, 18  # pixels
OPACITY = 0.6  # of the colors over the image
TURN = 0.381966  # of the hue from a class to the next: the golden angle keeps any number of them apart


def draw_prediction(
    path: Path, image: Image.Image, truth: NDArray[np.uint8], predicted: NDArray[np.uint8], classes: Sequence[str]
) -> None:
    """Writes a JPEG of the image, its true classes and the predicted ones, side by side above their names.

    Args:
        path: the file.
        image: RGB.
        truth: (H, W), classes or IGNORED, which is white.
        predicted: (H, W).
        classes: their names.

    Raises:
        UsageError: the file cannot be written.
    """
    tints = tints_of(classes)
    panels = [image.copy(), tinted(image, tints[truth]), tinted(image, tints[predicted])]
    for panel in panels:
        panel.thumbnail((SIDE, SIDE))
    width, height = panels[0].size
    shown = [number for number in np.union1d(truth, predicted).tolist() if number < len(classes)]
    sheet = Image.new("RGB", (3 * width + 2 * GAP, height + LINE * (1 + len(shown))), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(LINE * 2 // 3)
    for place, (panel, title) in enumerate(zip(panels, ("image", "truth", "prediction"), strict=True)):
        sheet.paste(panel, (place * (width + GAP), LINE))
        draw.text((place * (width + GAP), 2), title, "black", font)
    for row, number in enumerate(shown, 1):
        top = height + LINE * row
        draw.rectangle((0, top + 4, LINE - 4, top + LINE - 2), color(number))
        draw.text((LINE, top + 2), printable(classes[number]), "black", font)
    write_jpeg(path, sheet)


def tints_of(classes: Sequence[str]) -> NDArray[np.float64]:
    """Gives each value of a mask its color, 0..255, and opacity, (256, 4): IGNORED white, background unseen."""
    tints = np.full((IGNORED + 1, 4), [255, 255, 255, OPACITY])
    tints[: len(classes), :3] = [color(number) for number in range(len(classes))]
    if BACKGROUND in classes:
        tints[classes.index(BACKGROUND), 3] = 0
    return tints


def tinted(image: Image.Image, tints: NDArray[np.float64]) -> Image.Image:
    """Lays the colors of its pixels, (H, W, 4), over an image."""
    opacity = tints[..., 3:]
    pixels = (1 - opacity) * np.asarray(image) + opacity * tints[..., :3]
    return Image.fromarray(np.rint(pixels).astype(np.uint8))


def color(number: int) -> tuple[int, int, int]:
    """Chooses the color of a class, RGB in 0..255."""
    red, green, blue = colorsys.hsv_to_rgb(number * TURN % 1, 0.9, 0.9 - 0.3 * (number % 2))
    return round(255 * red), round(255 * green), round(255 * blue)
