"""The values in files of more than 8 bits: `data.range`, and a warning where it does not fit them."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from sslfast.data.sources.base import Source
from sslfast.data.sources.rgb import ValueRange, gray_values, is_deep_gray, read_samples

logger = logging.getLogger(__name__)

PROBED = 32  # files, evenly spread, whose values stand for all

_looked_at: set[tuple[str, ValueRange | None]] = set()  # sources by their names


class Found(NamedTuple):
    """The values in a file of more than 8 bits.

    Attributes:
        low, high: the least and the largest.
        most: the largest that its form can hold; None where that says nothing of their scale.
        is_color: whether they are colors, of which the upper 8 bits are read.
    """

    low: float
    high: float
    most: float | None
    is_color: bool


def with_range(source: Source, value_range: ValueRange | None) -> Source:
    """The source, its files of more than 8 bits read by a range of values.

    A warning, one for each source and range, tells where the range does not fit the values that are found.

    Args:
        source: files or an array, which is of 8 bits.
        value_range: `data.range`; None: the values of all the files' bits.
    """
    if source.value_range != value_range:
        source = copy.copy(source)
        source.value_range = value_range
    if source.paths is not None and (source.name, value_range) not in _looked_at:
        _looked_at.add((source.name, value_range))
        step = max(1, -(-len(source.paths) // PROBED))
        _warn(source, _values(source.paths[::step]))
    return source


def _warn(source: Source, found: list[Found]) -> None:
    """Warn of values that the source's range does not fit."""
    gray, color = ([values for values in found if values.is_color == is_color] for is_color in (False, True))
    if gray and source.value_range is not None:
        black, white = source.value_range
        if any(values.low < black or values.high > white for values in gray):
            logger.warning("%s; data.range=[%g, %g] clips those beyond it", _shown(source, gray), black, white)
    elif gray and all(_is_narrow(values) for values in gray):
        levels = 1 + max(round(255 * values.high / (values.most or 1)) for values in gray)
        white = 2 ** int(max(values.high for values in gray)).bit_length() - 1
        logger.warning(
            "%s, %d of 256 levels; set data.range (evaluate: range), such as [0, %d]",
            _shown(source, gray),
            levels,
            max(white, 1),
        )
    if color and all(_is_narrow(values) for values in color):
        levels = 1 + int(max(values.high for values in color)) // 256
        logger.warning(
            "%s, %d of 256 levels, as only the upper 8 bits of colors are read; convert the files to 8 bits",
            *(_shown(source, color), levels),
        )


def _shown(source: Source, found: list[Found]) -> str:
    low, high = min(values.low for values in found), max(values.high for values in found)
    kind = "color" if found[0].is_color else "gray"
    return f"{source.name}: {len(found)} {kind} images of more than 8 bits have values in [{low:g}, {high:g}]"


def _is_narrow(values: Found) -> bool:
    """Whether the values leave a bit of their form unused, or more."""
    return values.most is not None and values.high <= values.most / 2


def _values(paths: list[Path]) -> list[Found]:
    """The values in those of these files that have more than 8 bits."""
    found = []
    for path in paths:
        try:
            with path.open("rb") as file, Image.open(file) as image:
                samples = read_samples(image)
                if samples.is_deep_color:
                    high = 256 * int(np.asarray(image.convert("RGB")).max()) + 255
                    found.append(Found(0, high, 65535, is_color=True))
                elif is_deep_gray(image):
                    values = gray_values(image, samples)
                    most = samples.full_range and samples.full_range[1]
                    found.append(Found(values.min(), values.max(), most, is_color=False))
        except Exception:  # whatever is wrong with the file, reading it will tell
            logger.debug("cannot tell the values in %s", path)
    return found
