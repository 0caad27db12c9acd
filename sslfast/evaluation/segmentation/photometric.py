"""The photometric distortion of mmsegmentation, after SSD (Liu et al. 2016, arXiv:1512.02325)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BRIGHTNESS = 32  # levels of 255, added or taken away
LEAST, MOST = 0.5, 1.5  # factors of contrast and of saturation
HUE = 0.1  # turns to either side: 18 of OpenCV's 180
NUM_DRAWS = 9
LEVELS = np.arange(256)


def distorted(image: Image.Image, draws: NDArray[np.float64]) -> Image.Image:
    """Changes the colors of an RGB image at random, each of the following by a probability of one half.

    Brightness, then contrast, saturation and hue; or contrast last, which is tossed as well. The contrast is a
    factor of all values, as mmsegmentation has it.

    Args:
        image: RGB.
        draws: (NUM_DRAWS,) uniform numbers: whether and how much of each of the four, and where contrast stands.
    """
    brighten, contrast, saturate, turn, contrast_last = draws[[0, 1, 2, 3, 8]] < 0.5
    brightness, hue = (2 * draws[[4, 7]] - 1) * (BRIGHTNESS, 256 * HUE)
    contrast_factor, saturation_factor = LEAST + (MOST - LEAST) * draws[[5, 6]]
    if brighten:
        image = image.point(_table(LEVELS + brightness) * 3)
    if contrast and not contrast_last:
        image = image.point(_table(LEVELS * contrast_factor) * 3)
    if saturate or turn:
        hues, saturations, values = image.convert("HSV").split()
        if saturate:
            saturations = saturations.point(_table(LEVELS * saturation_factor))
        if turn:
            hues = hues.point(_table((LEVELS + round(hue)) % 256))
        image = Image.merge("HSV", (hues, saturations, values)).convert("RGB")
    if contrast and contrast_last:
        image = image.point(_table(LEVELS * contrast_factor) * 3)
    return image


def _table(values: NDArray[np.float64] | NDArray[np.int64]) -> list[int]:
    """Maps each level to a level, in the form that Pillow takes."""
    table: list[int] = np.rint(values).clip(0, 255).astype(int).tolist()
    return table
