"""The annotated objects of one image, and the masks that their outlines enclose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sslfast.data.annotations.runs import Runs

Polygon = NDArray[np.float32]


@dataclass(frozen=True)
class Objects:
    """The n annotated objects of one image.

    Attributes:
        boxes: float32 (n, 4), x1 y1 x2 y2 in pixels from the image's upper left corner.
        labels: int64 (n,), positions in the classes of the data set.
        ignored: bool (n,), of those that are neither trained on nor missed when they are not found: VOC's
            difficult ones, COCO's crowds.
        polygons: n lists of outlines, each float32 (m, 2) of x and y in pixels, which together enclose the object;
            None where the data set has boxes only.
        runs: the masks of those that have runs in place of outlines, by their position.
    """

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    ignored: NDArray[np.bool_]
    polygons: Sequence[Sequence[Polygon]] | None = None
    runs: Mapping[int, Runs] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, places: NDArray[np.int64], labels: NDArray[np.int64]) -> Objects:
        """Selects the objects at these positions, with labels in place of theirs, int64 (len(places),)."""
        return Objects(
            boxes=self.boxes[places],
            labels=labels,
            ignored=self.ignored[places],
            polygons=None if self.polygons is None else [self.polygons[place] for place in places],
            runs={new: self.runs[old] for new, old in enumerate(places.tolist()) if old in self.runs},
        )

    def masks(self, height: int, width: int) -> NDArray[np.bool_]:
        """Draws the pixels of each object, bool (n, height, width), in an image of this size.

        Raises:
            ValueError: there are no outlines, or an object's runs are of an image of another size.
        """
        if self.polygons is None:
            raise ValueError("objects with boxes only have no masks")
        masks = np.zeros((len(self), height, width), dtype=bool)
        for number, polygons in enumerate(self.polygons):
            if number in self.runs:
                masks[number] = self.runs[number].mask()
            for polygon in polygons:
                masks[number] |= inside(polygon, height, width)
        return masks


def inside(polygon: Polygon, height: int, width: int) -> NDArray[np.bool_]:
    """Finds the pixels whose centers a polygon encloses, by the even-odd rule: bool (height, width).

    Pillow's drawing would take the pixels of the outline along, a fifth of the area of an object of 10 pixels.
    """
    start = polygon.astype(np.float64) - 0.5  # so that the center of a pixel is its index
    end = np.roll(start, -1, axis=0)
    start, end = start[start[:, 1] != end[:, 1]], end[start[:, 1] != end[:, 1]]
    rows = np.arange(height)[:, None]
    crosses = (start[:, 1] <= rows) != (end[:, 1] <= rows)  # (height, edges)
    row, edge = crosses.nonzero()
    along = (row - start[edge, 1]) / (end[edge, 1] - start[edge, 1])
    column = np.ceil(start[edge, 0] + along * (end[edge, 0] - start[edge, 0])).clip(0, width).astype(np.int64)
    crossings = np.zeros((height, width + 1), dtype=np.int64)
    np.add.at(crossings, (row, column), 1)
    return crossings.cumsum(axis=1)[:, :width] % 2 == 1
