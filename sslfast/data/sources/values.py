"""The form that a source is read in, and a warning where `data.range` does not fit values of more than 8 bits."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from sslfast.data.sources.base import Source
from sslfast.data.sources.form import Form
from sslfast.data.sources.rgb import gray_values, is_deep_gray, read_samples

logger = logging.getLogger(__name__)

PROBED = 32  # files, evenly spread, whose values stand for all

_looked_at: set[tuple[str, Form]] = set()  # sources by their names


class Found(NamedTuple):
    """The values in a file, or an array, of more than 8 bits.

    Attributes:
        low, high: the least and the largest.
        most: the largest that its form can hold; None where that says nothing of their scale.
        is_color: whether they are colors, of which Pillow reads the upper 8 bits.
    """

    low: float
    high: float
    most: float | None
    is_color: bool


def in_form(source: Source, form: Form) -> Source:
    """Returns the source, its images read in a form.

    A warning, one for each source and form, tells where the form's range does not fit the values that are found.

    Args:
        source: files or an array.
        form: `Form.of` a `data` section.

    Raises:
        UsageError: an array that the form does not fit, see `Form.check_array`.
    """
    if source.images is not None:
        form.check_array(source.images, source.name)
    if source.is_formed:
        return source
    if source.form != form:
        source = copy.copy(source)
        source.form = form
    if (source.name, form) not in _looked_at:
        _looked_at.add((source.name, form))
        _warn(source, _values_in(source))
    return source


def _warn(source: Source, found: list[Found]) -> None:
    """Warns of values that the source's range does not fit."""
    gray, color = ([values for values in found if values.is_color == is_color] for is_color in (False, True))
    if gray and source.form.value_range is not None:
        black, white = source.form.value_range
        if any(values.low < black or values.high > white for values in gray):
            logger.warning("%s; data.range=[%g, %g] clips those beyond it", _shown(source, gray), black, white)
    elif gray and all(_is_narrow(values) for values in gray):
        _warn_of_narrow(source, gray)
    if color and source.form.depth == 16:  # colors that are read whole
        if source.form.value_range is None and all(_is_narrow(values) for values in color):
            _warn_of_narrow(source, color)
    elif color and all(_is_narrow(values) for values in color):
        levels = 1 + int(max(values.high for values in color)) // 256
        logger.warning(
            "%s, %d of 256 levels, as only the upper 8 bits of colors are read; convert the files to 8 bits",
            *(_shown(source, color), levels),
        )


def _warn_of_narrow(source: Source, found: list[Found]) -> None:
    """Warns of values that leave a bit or more unused, as a range would not."""
    used = max(values.high / (values.most or 1) for values in found)
    white = 2 ** int(max(values.high for values in found)).bit_length() - 1
    share = f"{1 + round(255 * used)} of 256 levels" if source.form.depth == 8 else f"up to {used:.2g} of white"
    logger.warning(
        "%s, %s; set data.range (evaluate: range), such as [0, %d]", _shown(source, found), share, max(white, 1)
    )


def _shown(source: Source, found: list[Found]) -> str:
    low, high = min(values.low for values in found), max(values.high for values in found)
    kind = "color " if found[0].is_color else "gray "
    count, kind = (len(found), kind) if source.images is None else (len(source), "")
    return f"{source.name}: {count} {kind}images of more than 8 bits have values in [{low:g}, {high:g}]"


def _is_narrow(values: Found) -> bool:
    """Tells whether the values leave a bit of their form unused, or more."""
    return values.most is not None and values.high <= values.most / 2


def _values_in(source: Source) -> list[Found]:
    """Finds the values of a source in what has more than 8 bits: in some of its files, or in its array."""
    if source.paths is not None:
        step = max(1, -(-len(source.paths) // PROBED))
        return _values(source.paths[::step])
    images = source.images
    if images is None or images.dtype != np.uint16 or not images.size:
        return []
    pixels = (images,) if source.sizes is None else map(source.pixels, range(len(source)))
    bounds = [(float(each.min()), float(each.max())) for each in pixels]
    return [Found(min(low for low, _ in bounds), max(high for _, high in bounds), 65535, is_color=False)]


def _values(paths: list[Path]) -> list[Found]:
    """Finds the values in those of these files that have more than 8 bits."""
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
