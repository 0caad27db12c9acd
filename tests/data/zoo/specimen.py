"""A specimen of the zoo, and the pictures that it may show."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tests.data.photographs import photograph

Pixels = NDArray[np.uint8]
HEIGHT, WIDTH = 32, 40  # of most specimens, as they are stored

TURNS: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}
"""What each orientation of EXIF asks for, from the stored to the upright pixels."""


@dataclass(frozen=True)
class Specimen:
    """A file, and the upright RGB image that it stands for.

    Attributes:
        name: of the file.
        content: of the file.
        image: uint8 (H, W, 3), by the format's specification.
        tolerance: in levels, by which a right decoder may differ: 1 where it has to round, else 0.
    """

    name: str
    content: bytes
    image: Pixels
    tolerance: int = 0


def picture(seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> Pixels:
    return np.array(photograph(seed, height, width))


def rgb(gray: NDArray[np.generic]) -> Pixels:
    """Repeats gray levels (H, W) in three channels."""
    return np.repeat(np.rint(gray).astype(np.uint8)[..., None], 3, axis=-1)


def on_white(color: Pixels, alpha: NDArray[np.generic]) -> Pixels:
    """Lays colors (H, W, 3) of an opacity (H, W) from 0 to 255 on a white page."""
    share = alpha[..., None].astype(np.float64) / 255
    return np.rint(share * color + (1 - share) * 255).astype(np.uint8)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def by_pillow(name: str, content: bytes, tolerance: int = 0) -> Specimen:
    """Makes a specimen whose image Pillow tells, since its format loses something."""
    with Image.open(io.BytesIO(content)) as image:
        upright = ImageOps.exif_transpose(image)
    return Specimen(name, content, np.asarray(upright.convert("RGB")), tolerance)
