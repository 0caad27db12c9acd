"""A subset of a source, balanced over its classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sslfast.random.philox import permutation

SUBSET_SEED = 0


def balanced_subset(labels: NDArray[np.int64] | None, n: int, limit: int) -> NDArray[np.int64]:
    """Chooses `limit` of n positions, as evenly over the classes as they allow; sorted, always the same.

    A larger limit adds to the choice of a smaller one.
    """
    order = permutation(SUBSET_SEED, 0, n)
    if labels is not None:
        order = order[np.argsort(_class_ranks(labels[order]), kind="stable")]
    return np.sort(order[:limit])


def _class_ranks(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Computes the rank of each entry in its class: the number of earlier entries with the same label."""
    by_class = np.argsort(labels, kind="stable")
    ordered = labels[by_class]
    class_ranks = np.empty_like(labels)
    class_ranks[by_class] = np.arange(len(labels)) - np.searchsorted(ordered, ordered)
    return class_ranks
