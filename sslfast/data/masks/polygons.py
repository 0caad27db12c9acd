"""Masks out of annotated objects: each pixel has the class of the object that encloses it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sslfast.data.annotations import AnnotatedImages, Objects
from sslfast.data.masks.base import BACKGROUND, IGNORED, MaskedImages
from sslfast.errors import UsageError


class OutlinedImages(MaskedImages):
    """Photographs with outlined objects; their classes follow the background, which no object encloses.

    Raises:
        UsageError: the objects have boxes only.
    """

    def __init__(self, annotated: AnnotatedImages) -> None:
        super().__init__(annotated.name, [BACKGROUND, *annotated.classes], annotated.paths)
        if not annotated.has_masks:
            raise UsageError(f"{annotated.name}: its objects have boxes only, and masks need their outlines")
        self.annotated, self.bad = annotated, annotated.bad

    def _read(self, index: int) -> tuple[Image.Image, NDArray[np.uint8]]:
        image = self.annotated.image(index)
        return image, painted(self.annotated.objects(index), image.height, image.width)

    def _choose(self, indices: Sequence[int] | NDArray[np.int64]) -> None:
        self.annotated = self.annotated.subset(indices)


def painted(objects: Objects, height: int, width: int) -> NDArray[np.uint8]:
    """Paints an image's objects in one mask, (height, width): 1 + an object's label, or 0 where there is none.

    Where objects overlap, the smaller one is on top, as a cup on a table: our choice, as outlines have no depth.
    Ignored ones, COCO's crowds, are IGNORED and below all others.
    """
    mask = np.zeros((height, width), dtype=np.uint8)
    outlines = objects.masks(height, width)
    areas = outlines.sum(axis=(1, 2))
    for number in np.lexsort((-areas, ~objects.ignored)):  # ignored ones first, then by area, the largest first
        mask[outlines[number]] = IGNORED if objects.ignored[number] else objects.labels[number] + 1
    return mask
