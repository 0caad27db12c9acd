"""COCO's run-length encoding of masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Runs(NamedTuple):
    """A mask as the lengths of its runs down the columns, of pixels outside and inside in turn.

    Attributes:
        lengths: int64, the first of pixels outside.
        height, width: of the mask, in pixels.
    """

    lengths: NDArray[np.int64]
    height: int
    width: int

    def mask(self) -> NDArray[np.bool_]:
        """Decodes the mask, bool (height, width)."""
        inside = np.arange(len(self.lengths)) % 2 == 1
        return np.repeat(inside, self.lengths).reshape(self.width, self.height).T


def read_runs(counts: str | Sequence[int], height: int, width: int) -> Runs:
    """Reads the runs of a COCO file, as numbers or in the characters of the COCO API.

    Args:
        counts: `segmentation.counts`.
        height, width: `segmentation.size`.

    Raises:
        ValueError: the runs do not fill the mask, or are none.
    """
    lengths = np.array(_decoded(counts) if isinstance(counts, str) else counts, dtype=np.int64)
    if lengths.ndim != 1 or (lengths < 0).any() or lengths.sum() != height * width:
        raise ValueError(f"expected runs of {height} x {width} pixels in all")
    return Runs(lengths, height, width)


def _decoded(text: str) -> list[int]:
    """Decodes the numbers of the COCO API's string: five bits a character, the sixth tells that more follow.

    From the fourth on, each number is stated as its difference from the second before it.
    """
    lengths: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError("expected the characters of the COCO API")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (bits & 16) << (shift - 4)  # the last group's highest bit is the sign
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("expected a whole number at the end")
    return lengths
