"""An image as images of Pillow, which has none of many channels or of colors of 16 bits.

The parts of an image are its channels, one after the other: one image of mode RGB, or one of mode L, of 8 bits, or
I;16, of 16, for each channel. What is done to an image, as resizing, is done to each of its parts alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from sslfast.data.sources.form import WIDENED, Form, Levels
from sslfast.data.sources.rgb import Samples, as_rgb_mode, gray_levels, is_deep_gray

GRAY_MODES = ("1", "L", "LA", "La")  # of 8 bits


def parts_of(image: Image.Image, samples: Samples, form: Form) -> list[Image.Image]:
    """Returns the parts of an image of any of Pillow's modes, in a form.

    Args:
        image: loaded.
        samples: `read_samples` of it.
        form: what it is to be.

    Raises:
        ValueError: it has other channels, or not all of its bits can be read, or as `as_rgb_mode`.
    """
    found = 1 if is_deep_gray(image) or image.mode in GRAY_MODES else 3
    if not form.takes(found):
        counted = "1 channel" if found == 1 else "3 channels"
        raise ValueError(
            f"{counted} (Pillow's mode {image.mode}), expected {form.channels}, as "
            f"data.channels={form.channels}; pre-train with data.channels={found}, or convert the files"
        )
    if form.depth == 8:
        rgb = as_rgb_mode(image, samples, form.value_range)
        return [rgb if form.channels == 3 else rgb.getchannel(0)]
    if samples.is_deep_color:
        raise ValueError(
            "colors of 16 bits, of which only the upper 8 can be read, and data.depth=16 keeps all; convert the "
            "files to upright PNGs without transparency, or give them from Python as an array of uint16"
        )
    if is_deep_gray(image):
        levels = gray_levels(image, samples, form.value_range, form.highest)
        return [Image.fromarray(levels.astype(np.uint16))] * form.channels
    channels = as_rgb_mode(image, samples).split()[: form.channels]
    return [Image.fromarray(np.asarray(channel).astype(np.uint16) * WIDENED) for channel in channels]


def parts_of_array(pixels: Levels) -> list[Image.Image]:
    """Returns the parts of an image (H, W, C)."""
    if pixels.shape[-1] == 3 and pixels.dtype == np.uint8:
        return [Image.fromarray(pixels)]
    return [Image.fromarray(np.ascontiguousarray(channel)) for channel in np.moveaxis(pixels, -1, 0)]


def as_array(parts: Sequence[Image.Image]) -> Levels:
    """Returns the pixels of an image in parts, (H, W, C)."""
    if parts[0].mode == "RGB":
        return np.array(parts[0])
    return np.stack([np.asarray(part) for part in parts], axis=-1)


def as_picture(parts: Sequence[Image.Image]) -> Image.Image:
    """Shows an image in parts as people see it, in RGB of 8 bits: its first three channels, of fewer the first."""
    if parts[0].mode == "RGB":
        return parts[0]
    first = list(parts[:3]) if len(parts) >= 3 else [parts[0]] * 3
    shown = as_array(first)
    return Image.fromarray((shown if shown.dtype == np.uint8 else shown // WIDENED).astype(np.uint8))
