"""Images of any of Pillow's modes as RGB of 8 bits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, SAMPLEFORMAT, TiffImageFile

from sslfast.data.sources.form import ValueRange, scaled

UNSIGNED = 1  # of TIFF's sample formats
WHITE_IS_ZERO = 0  # of TIFF's photometric interpretations
LEVELS_OF_GRAY = {"L;2": 85, "L;4": 17}  # 8-bit levels between two values of a gray PNG of 2 or 4 bits


class Samples(NamedTuple):
    """How a file keeps the values of its pixels.

    Attributes:
        rawmode: Pillow's name for their form in the file; empty where it has none.
        full_range: the values of black and white that the form implies, for gray of more than 8 bits; None: it
            implies none, as for floating-point values.
        scale: what Pillow's value of a pixel is multiplied by to be the file's.
        white_is_zero: whether the least value is white.
        is_deep_color: whether they are colors, or gray with alpha, of 16 bits, of which Pillow reads the upper 8.
    """

    rawmode: str
    full_range: ValueRange | None
    scale: float
    white_is_zero: bool
    is_deep_color: bool


def read_samples(image: Image.Image) -> Samples:
    """Reads how the values of an image's pixels are kept.

    Args:
        image: opened, and not loaded.
    """
    tile = getattr(image, "tile", None)
    arguments = tile[0][3] if tile else ""
    rawmode = str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)
    full_range: ValueRange | None = (0, 65535)
    scale, white_is_zero = 1.0, False
    is_deep_color = ";16" in rawmode and not rawmode.startswith(("I", "BGR"))  # which is of 16 bits in all
    if isinstance(image, TiffImageFile):
        bits = image.tag_v2.get(BITSPERSAMPLE, (1,))[0]
        is_unsigned = image.tag_v2.get(SAMPLEFORMAT, (UNSIGNED,))[0] == UNSIGNED
        full_range = (0, 2**bits - 1) if is_unsigned and bits <= 16 else None
        white_is_zero = image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == WHITE_IS_ZERO
    elif image.mode == "F":
        full_range = None
    elif image.format == "PPM" and isinstance(arguments, tuple):  # Pillow stretches its values to 16 bits
        maximum = arguments[1]
        full_range, scale = (0, maximum), maximum / 65535
        is_deep_color = image.mode == "RGB" and maximum > 255
    return Samples(rawmode, full_range, scale, white_is_zero, is_deep_color)


def is_deep_gray(image: Image.Image) -> bool:
    """Tells whether an image is gray of more than 8 bits."""
    return image.mode == "F" or image.mode.startswith("I")


def gray_values(image: Image.Image, samples: Samples) -> NDArray[np.float64]:
    """Returns the file's values of a gray image of more than 8 bits, (H, W).

    Raises:
        ValueError: some are not finite.
    """
    pixels = np.asarray(image)
    if samples.rawmode.startswith("I;32") and samples.rawmode != "I;32S":
        pixels = pixels.view(np.uint32)  # which Pillow keeps as signed
    values = pixels.astype(np.float64)
    if samples.scale != 1:
        values = np.rint(values * samples.scale)
    if not np.isfinite(values).all():
        raise ValueError("floating-point values that are infinite or not a number")
    return values


def as_rgb_mode(image: Image.Image, samples: Samples, value_range: ValueRange | None = None) -> Image.Image:
    """Converts an image to Pillow's mode RGB.

    Gray is repeated over the channels and more than 8 bits are scaled to 8. Transparent pixels are laid on white,
    as a page would show them: the colors that a file keeps under full transparency are arbitrary.

    Args:
        image: loaded, of any mode.
        samples: `read_samples` of it.
        value_range: the values that become black and white where there are more than 8 bits; others are clipped.
            None: the full range of 16 bits, or of as many as the file states.

    Raises:
        ValueError: values whose scale is not known, or that Pillow cannot read whole for `value_range`.
    """
    if is_deep_gray(image):
        levels = gray_levels(image, samples, value_range, 255)
        return Image.fromarray(levels.astype(np.uint8)).convert("RGB")
    if samples.is_deep_color and value_range is not None:
        raise ValueError(
            f"colors of 16 bits, of which only the upper 8 can be read, and data.range={list(value_range)} needs "
            "all; convert the files to 8 bits"
        )
    if image.has_transparency_data:
        return _on_white(image, samples)
    return image if image.mode == "RGB" else image.convert("RGB")


def gray_levels(
    image: Image.Image, samples: Samples, value_range: ValueRange | None, highest: int
) -> NDArray[np.float64]:
    """Computes the levels of a gray image of more than 8 bits, (H, W), whole numbers from 0 to the highest.

    Args:
        image: loaded.
        samples, value_range: as for `as_rgb_mode`.
        highest: the level of white; transparent pixels have it.

    Raises:
        ValueError: values whose scale is not known.
    """
    bounds = value_range or samples.full_range
    if bounds is None:
        kind = "floating-point" if image.mode == "F" else "signed or 32-bit"
        raise ValueError(
            f"{kind} values have no known scale; set data.range (evaluate: range) to the values of black and white"
        )
    values = gray_values(image, samples)
    levels = scaled(values, bounds, highest)
    if samples.white_is_zero:
        levels = highest - levels
    transparent = image.info.get("transparency")
    if transparent is not None:
        levels[values == transparent] = highest
    return levels


def _on_white(image: Image.Image, samples: Samples) -> Image.Image:
    """Lays an image with transparency on white."""
    transparent = image.info.get("transparency")
    if samples.rawmode in LEVELS_OF_GRAY and transparent is not None:  # Pillow scales the pixels only
        image.info["transparency"] = transparent * LEVELS_OF_GRAY[samples.rawmode]
    elif samples.is_deep_color and isinstance(transparent, tuple):  # of 16 bits, where Pillow keeps the upper 8
        image.info["transparency"] = tuple(value >> 8 for value in transparent)
    if image.mode == "La":
        image = image.convert("LA")
    page = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(page, image.convert("RGBA")).convert("RGB")
