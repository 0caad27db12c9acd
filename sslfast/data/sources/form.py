"""The form in which a run has its images: how many channels, how many bits, which values are black and white."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sslfast.config import DataConfig
from sslfast.errors import UsageError

ValueRange = tuple[float, float]  # the values of black and of white
Levels = NDArray[np.uint8] | NDArray[np.uint16]  # the values of pixels, from 0 to the highest of 8 or 16 bits

WIDENED = 257  # from the levels of 8 bits to those of 16: 255 becomes 65535


class Form(NamedTuple):
    """How images are read.

    Attributes:
        channels: `data.channels`.
        depth: `data.depth`, in bits.
        value_range: `data.range`, the values that become black and white where there are more than 8 bits; None:
            0 and the largest that the bits hold.
    """

    channels: int = 3
    depth: int = 8
    value_range: ValueRange | None = None

    @classmethod
    def of(cls, data: DataConfig) -> Form:
        """Returns the form that a recipe's `data` section asks for."""
        return cls(data.channels, data.depth, data.range)

    @classmethod
    def of_levels(cls, images: Levels) -> Form:
        """Returns the form that images in an array, (..., C), have."""
        return cls(images.shape[-1], 8 * images.itemsize)

    @property
    def highest(self) -> int:
        """Returns the level of white."""
        return 2**self.depth - 1

    @property
    def pixel_bytes(self) -> int:
        """Returns the size of a pixel in bytes."""
        return self.channels * self.depth // 8

    def zeros(self, count: int, height: int, width: int) -> Levels:
        """Makes black images of this form, (count, height, width, channels)."""
        shape = count, height, width, self.channels
        return np.zeros(shape, dtype=np.uint8) if self.depth == 8 else np.zeros(shape, dtype=np.uint16)

    def takes(self, channels: int) -> bool:
        """Tells whether images of so many channels can be brought into it: gray ones become RGB, others stay."""
        return channels == self.channels or (channels, self.channels) == (1, 3)

    def of_array(self, images: NDArray[Any]) -> Levels:
        """Converts images in an array, (..., C) of uint8 or uint16 that `check_array` lets pass, to this form."""
        if images.dtype == np.uint16 and self.value_range is not None:
            images = scaled(images, self.value_range, self.highest).astype(np.uint16)
        elif images.dtype == np.uint8 and self.depth == 16:
            images = images.astype(np.uint16) * WIDENED
        if images.shape[-1] != self.channels:
            images = np.repeat(images, self.channels, axis=-1)
        return images

    def check_array(self, images: NDArray[Any], name: str) -> None:
        """Refuses an array that cannot be brought into this form without losing any of it.

        Raises:
            UsageError: it has other channels, or more bits.
        """
        found = images.shape[-1]
        if not self.takes(found):
            raise UsageError(
                f"{name}: {tuple(images.shape)} has images of {found} channels, expected data.channels="
                f"{self.channels}; pre-train with data.channels={found}, and data.mean and data.std of as many "
                "numbers, or give other images"
            )
        if images.dtype == np.uint16 and self.depth == 8:
            raise UsageError(
                f"{name}: has images of 16 bits, of which data.depth=8 would keep 8; pre-train with "
                "data.depth=16, or give images of uint8"
            )


def scaled(values: NDArray[Any], bounds: ValueRange, highest: int) -> NDArray[np.float64]:
    """Converts values to levels from 0, that of black, to the highest, that of white; those beyond are clipped."""
    black, white = bounds
    levels: NDArray[np.float64] = np.rint((values - black) * (highest / (white - black))).clip(0, highest)
    return levels


def check_rgb(data: DataConfig, what: str, instead: str, *, of_8_bits: bool = False) -> None:
    """Refuses images of other than three channels, or of more than 8 bits, where something takes no others.

    Args:
        data: the `data` section of a recipe or of an encoder.
        what: takes RGB only; the subject of the sentence.
        instead: what to do.
        of_8_bits: whether it takes 8 bits only.

    Raises:
        UsageError: they are.
    """
    if data.channels == 3 and (data.depth == 8 or not of_8_bits):
        return
    bits, setting = (" of 8 bits", f" data.depth={data.depth}") if of_8_bits else ("", "")
    raise UsageError(
        f"{what} takes RGB images{bits} only, and these are of data.channels={data.channels}{setting}; {instead}"
    )
