"""Image files: reading one as RGB, whatever its mode, and cutting a strip down to its middle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

EXTENSIONS = frozenset(
    f".{name}"
    for name in ("avif", "bmp", "gif", "jp2", "jpeg", "jpg", "pbm", "pgm", "png", "ppm", "tif", "tiff", "webp")
)

STRIP = 8  # an image that is longer than so many times its width is a strip


class UnreadableImage(Exception):
    """A file that cannot be decoded: empty, truncated, not an image. The text says why."""


def read_rgb(path: Path) -> Image.Image:
    """Decode a file to RGB, turned upright by its EXIF orientation; of an animation, the first frame.

    Raises:
        UnreadableImage: the file cannot be decoded.
    """
    try:
        with Image.open(path) as image:
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return as_rgb_mode(image)
    except Exception as error:  # broken files make Pillow's decoders raise nearly anything
        raise UnreadableImage(f"{type(error).__name__}: {error}") from error


def as_rgb_mode(image: Image.Image) -> Image.Image:
    """Convert an image of any of Pillow's modes to its mode RGB.

    Grayscale is repeated over the channels and 16 bits are scaled to 8. Transparent pixels are laid on white, as a
    page would show them: the colours that a file keeps under full transparency are arbitrary.

    Raises:
        ValueError: values whose scale is unknown: floats, or integers outside the range of 16 bits.
    """
    if image.has_transparency_data:
        page = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(page, image.convert("RGBA")).convert("RGB")
    if image.mode == "RGB":
        return image
    if image.mode == "F":
        raise ValueError("floating-point values have no known scale")
    if image.mode.startswith("I"):  # I;16 in its byte orders, or I: 32 bits, where Pillow also puts 16
        values = np.asarray(image).astype(np.int64)
        if not (values.min() >= 0 and values.max() <= 65535):
            raise ValueError(f"integers in [{values.min()}, {values.max()}], expected 16 bits: [0, 65535]")
        return Image.fromarray(np.rint(values / 257).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")


def without_ends(image: Image.Image) -> Image.Image:
    """The middle of a strip, 8 times as long as it is wide; any other image as it is.

    It is cut before an image is resized by its shorter side for the sake of its centre: 1 x 5000 pixels would
    become 224 x 1,120,000.
    """
    longest = STRIP * min(image.size)
    width, height = (min(side, longest) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height)) if (width, height) != image.size else image
