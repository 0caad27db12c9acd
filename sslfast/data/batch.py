"""What a loader gives to a training step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sslfast.errors import UsageError


@dataclass(frozen=True)
class Batch:
    """B images, on the device: data.batch_size of them, or of several ranks each its equal part."""

    views: tuple[Tensor, ...]  # each (B, 3, S, S) of its own S, normalised, channels_last, fp32 or bf16
    index: Tensor  # int64 (B,): positions in the source
    label: Tensor | None  # int64 (B,); None where the source has none
    seed: int  # of the run
    epoch: int  # counted from 0


class Loader(Protocol):
    """Batches as a pure function of (seed, epoch, step): to resume is to ask for (epoch, start)."""

    steps_per_epoch: int

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from step `start` on. What does not fill the last batch is left out."""


def full_batches(name: str, images: int, batch_size: int) -> int:
    """How many full batches there are in a source.

    Raises:
        UsageError: none.
    """
    if images < batch_size:
        raise UsageError(
            f"{name}: {images} images are fewer than one batch of {batch_size}; "
            f"set data.batch_size to {images} or less"
        )
    return images // batch_size


def rows_of_rank(batch_size: int, rank: int, world_size: int) -> NDArray[np.int64]:
    """The rows of a batch that a rank makes: the ranks' parts, one after the other, are the whole batch.

    Args:
        batch_size: of all ranks together.
        rank: in [0, world_size).
        world_size: processes.

    Returns:
        int64 (batch_size / world_size,).

    Raises:
        UsageError: the parts would not be equal.
    """
    if batch_size % world_size:
        raise UsageError(
            f"data.batch_size={batch_size}: expected a multiple of the {world_size} processes that share a batch"
        )
    own = batch_size // world_size
    return np.arange(rank * own, (rank + 1) * own)
