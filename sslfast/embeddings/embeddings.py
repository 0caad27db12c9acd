"""The features of images, and what is found by them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sslfast import kernels as K
from sslfast.errors import UsageError

SIMILARITIES = 2**24  # held at once: 64 MiB
MOST = 8  # neighbors that the op finds


class Match(NamedTuple):
    """Two images that are alike.

    Attributes:
        similarity: the cosine of their features.
        image, other: their positions.
    """

    similarity: float
    image: int
    other: int


@dataclass(frozen=True)
class Embeddings:
    """The features of N images by an encoder.

    Attributes:
        features: fp32 (N, D); of patches (N, D, h, w).
        images: N names: a file's path; of an array the position.
        labels: int64 (N,), positions in `classes`; None where unlabeled.
        classes: the classes' names.
        encoder: the encoder as it was named.
        weights: the digest of its weights.
    """

    features: NDArray[np.float32]
    images: list[str]
    labels: NDArray[np.int64] | None = None
    classes: list[str] = field(default_factory=list)
    encoder: str = ""
    weights: str = ""

    def nearest(self, query: Tensor, k: int = 5) -> list[list[Match]]:
        """Finds the images whose features are most similar to each query's by cosine, the most similar first.

        Args:
            query: fp32 (M, D).
            k: how many, at least 1; of fewer images all. Up to 8 the op `nearest_neighbor` finds them.

        Returns:
            For each query its matches, whose `image` is the query's position.

        Raises:
            UsageError: k is below 1, or the features are of patches.
        """
        if k < 1:
            raise UsageError(f"k={k}: expected at least 1 neighbor")
        k, find = min(k, len(self.images)), K.nearest_neighbor if k <= MOST else _top
        found = find(query.float(), self._vectors(), k=k)
        places, similarities = (values.reshape(len(query), -1).tolist() for values in found)
        return [
            [Match(cosine, row, place) for place, cosine in zip(*pair, strict=True)]
            for row, pair in enumerate(zip(places, similarities, strict=True))
        ]

    def duplicates(self, cosine: float) -> list[Match]:
        """Finds the pairs of images whose features have at least this cosine, each once, the most similar first.

        Raises:
            UsageError: no cosine, or the features are of patches.
        """
        if not -1 <= cosine <= 1:
            raise UsageError(f"duplicates of a cosine of {cosine:g}: expected -1 to 1, 0.95 for example")
        x, matches = F.normalize(self._vectors(), dim=1), []
        size = max(1, SIMILARITIES // len(x))
        for start in range(0, len(x), size):
            similarity = x[start : start + size] @ x[start:].T
            rows, columns = (similarity >= cosine).triu(1).nonzero(as_tuple=True)
            values = zip(similarity[rows, columns].tolist(), rows.tolist(), columns.tolist(), strict=True)
            matches += [Match(value, row + start, column + start) for value, row, column in values]
        return sorted(matches, key=lambda match: (-match.similarity, match.image, match.other))

    def _vectors(self) -> Tensor:
        if self.features.ndim != 2:
            raise UsageError("the features are of patches, (N, D, h, w); embed the images without --patches")
        return torch.from_numpy(self.features)


def _top(query: Tensor, vectors: Tensor, *, k: int) -> tuple[Tensor, Tensor]:
    """Finds the places and the cosines of the k vectors that are nearest to each query, (M, k) each."""
    x = F.normalize(vectors, dim=1)
    parts = F.normalize(query, dim=1).split(max(1, SIMILARITIES // len(x)))
    cosines, places = zip(*((part @ x.T).topk(k) for part in parts), strict=True)
    return torch.cat(places), torch.cat(cosines)
