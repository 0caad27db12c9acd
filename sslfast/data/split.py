"""Fixed subsets of a source: the same images whatever the training seed, so that runs can be compared."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sslfast.data.sources import Source
from sslfast.errors import UsageError
from sslfast.random.philox import permutation

SPLIT_SEED = 1


def split(source: Source, fraction: float) -> tuple[Source, Source]:
    """Holds out a share of the images, stratified by label.

    Every class gives its share up to one image, and the total is round(fraction * N), at least one image.

    Args:
        source: labeled or not.
        fraction: the held-out share, in [0, 1); 0 holds out nothing.

    Returns:
        (train, val), each in the source's order.

    Raises:
        UsageError: the fraction is out of range, or nothing would be left to train on.
    """
    chosen = held_out(source.name, len(source), fraction, source.labels)
    return source.subset(np.flatnonzero(~chosen)), source.subset(np.flatnonzero(chosen))


def held_out(
    name: str, num_images: int, fraction: float, labels: NDArray[np.int64] | None = None
) -> NDArray[np.bool_]:
    """Tells which images `split` holds out, bool (num_images,).

    Args:
        name: the source's, for messages.
        num_images: of the source.
        fraction: the held-out share.
        labels: int64 (num_images,); None: unlabeled.

    Raises:
        UsageError: as `split`.
    """
    if not 0 <= fraction < 1:
        raise UsageError(f"data.val_fraction: expected a share in [0, 1), got {fraction:g}")
    count = max(1, round(fraction * num_images)) if fraction else 0
    if count >= num_images:
        raise UsageError(
            f"{name}: {num_images} images are too few to hold out a share of {fraction:g} (val_fraction)"
        )
    order = permutation(SPLIT_SEED, 0, num_images)
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    # Along the classes, one after the other, the running count of held-out images keeps to k * count / num_images.
    k = np.arange(num_images)
    chosen = np.empty(num_images, dtype=bool)
    chosen[order] = (k + 1) * count // num_images > k * count // num_images
    return chosen


def untrained_classes(train: Source, held_out: Source) -> list[str]:
    """Lists the classes of held-out images of which no image is left to train on; both have the same classes."""
    assert train.labels is not None
    assert held_out.labels is not None
    return [train.classes[label] for label in np.setdiff1d(held_out.labels, train.labels)]
