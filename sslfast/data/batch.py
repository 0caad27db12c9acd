"""What a loader gives to a training step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from sslfast.errors import UsageError


@dataclass(frozen=True)
class Batch:
    """B images, on the device."""

    views: tuple[Tensor, ...]  # each float32 (B, 3, S, S), normalised, channels_last
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
