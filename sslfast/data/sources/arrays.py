"""Arrays of images and of labels, in the forms that data sets have them, as a source has them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)


def channels_last(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Returns images (N, H, W), (N, 3, H, W) or (N, H, W, 3) as (N, H, W, 1) or the last of these."""
    if array.ndim == 3:
        array = array[..., None]
    elif array.shape[1] == 3 and array.shape[-1] != 3:
        array = array.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(array, dtype=np.uint8)


def numbered(
    name: str, targets: Iterable[Any], classes: Sequence[object]
) -> tuple[list[str], NDArray[np.int64] | None]:
    """Returns the classes and the labels of a data set; none of either where an image has no label (None or -1).

    Args:
        name: the data set's, for a warning where only some have none.
        targets: of each image the number of its class.
        classes: their names; none: the numbers are the names.
    """
    labels = np.array([-1 if target is None else int(target) for target in targets], dtype=np.int64)
    if unlabeled := int((labels < 0).sum()):
        if unlabeled < len(labels):
            logger.warning("%s: %d of %d images have no label: no labels are taken", name, unlabeled, len(labels))
        return [], None
    return [str(c) for c in classes] or [str(i) for i in range(int(labels.max()) + 1)], labels
