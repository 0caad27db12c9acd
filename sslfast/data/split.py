"""Fixed subsets of a source: the same images whatever the training seed, so that runs can be compared."""

from __future__ import annotations

import numpy as np

from sslfast.data.sources import Source
from sslfast.errors import UsageError
from sslfast.random.philox import permutation

SPLIT_SEED = 1


def split(source: Source, fraction: float) -> tuple[Source, Source]:
    """Hold out a share of the images, stratified by label.

    Every class gives its share up to one image, and the total is round(fraction * N), at least one image.

    Args:
        source: labelled or not.
        fraction: the held-out share, in [0, 1); 0 holds out nothing.

    Returns:
        (train, val), each in the source's order.

    Raises:
        UsageError: the fraction is out of range, or nothing would be left to train on.
    """
    n = len(source)
    if not 0 <= fraction < 1:
        raise UsageError(f"data.val_fraction: expected a share in [0, 1), got {fraction:g}")
    held_out = max(1, round(fraction * n)) if fraction else 0
    if held_out >= n:
        raise UsageError(
            f"{source.name}: {n} images are too few to hold out data.val_fraction={fraction:g} of them"
        )
    order = permutation(SPLIT_SEED, 0, n)
    if source.labels is not None:
        order = order[np.argsort(source.labels[order], kind="stable")]
    # Along the classes, one after the other, the running count of held-out images keeps to k * held_out / n.
    k = np.arange(n)
    chosen = (k + 1) * held_out // n > k * held_out // n
    return source.subset(np.sort(order[~chosen])), source.subset(np.sort(order[chosen]))


def untrained_classes(train: Source, held_out: Source) -> list[str]:
    """The classes of held-out images of which no image is left to train on; both have the same classes."""
    assert train.labels is not None
    assert held_out.labels is not None
    return [train.classes[label] for label in np.setdiff1d(held_out.labels, train.labels)]
