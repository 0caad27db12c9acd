"""The turning of images upright after DALI has decoded them as they lie in their files.

DALI's own reading of EXIF is switched off: it takes other types of the tag than Pillow, and knows no XMP.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from nvidia.dali import fn, types

from sslfast.data.sources.header import TRANSPOSED, UPRIGHT

# The orientations, of EXIF, that ask for mirroring, after the transposition where there is one.
MIRRORED_LEFT_RIGHT = (2, 3, 6, 7)
MIRRORED_TOP_BOTTOM = (3, 4, 7, 8)

TURN: list[tuple[Any, int]] = [(types.BOOL, 0), (types.BOOL, 0), (types.INT32, 0), (types.INT32, 0)]


def turn_arguments(orientation: NDArray[np.int64]) -> list[NDArray[Any]]:
    """Tells how to turn images of orientations (B,): whether at all; transpose; mirror left-right; top-bottom."""
    return [
        orientation != UPRIGHT,
        np.isin(orientation, TRANSPOSED),
        np.isin(orientation, MIRRORED_LEFT_RIGHT).astype(np.int32),
        np.isin(orientation, MIRRORED_TOP_BOTTOM).astype(np.int32),
    ]


def turn(image: Any, turned: Any, transposed: Any, left_right: Any, top_bottom: Any) -> Any:
    """Makes the nodes that turn an image by `turn_arguments`."""
    if turned:
        if transposed:
            image = fn.transpose(image, perm=[1, 0, 2], transpose_layout=False)
        image = fn.flip(image, horizontal=left_right, vertical=top_bottom)
    return image


def stored_region(
    start: NDArray[np.int64], shape: NDArray[np.int64], size: NDArray[np.int64], orientation: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Computes the parts of images as they lie in their files.

    Args:
        start: (B, 2) top and left of the parts in the upright images.
        shape: (B, 2) height and width of the parts.
        size: (B, 2) height and width of the upright images.
        orientation: (B,) EXIF's.

    Returns:
        (start, shape) in the files.
    """
    mirrored = np.stack([np.isin(orientation, MIRRORED_TOP_BOTTOM), np.isin(orientation, MIRRORED_LEFT_RIGHT)], 1)
    start = np.where(mirrored, size - start - shape, start)
    transposed = np.isin(orientation, TRANSPOSED)[:, None]
    return np.where(transposed, start[:, ::-1], start), np.where(transposed, shape[:, ::-1], shape)
