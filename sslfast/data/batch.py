"""Batches, and the interface of the loaders that make them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sslfast.errors import UsageError
from sslfast.random.key import Key


@dataclass(frozen=True)
class Batch:
    """B images, on the device: data.batch_size of them, or of several ranks each its equal part."""

    views: tuple[Tensor, ...]  # each (B, C, S, S) of its own S, normalized, channels_last, fp32, bf16 or fp16
    index: Tensor  # int64 (B,): positions in the source
    label: Tensor | None  # int64 (B,); None where the source has none
    seed: int  # of the run
    epoch: int  # counted from 0
    # Of each view, fp32 (B, 5): its crop's top, left, height and width in pixels of the image, from a place that
    # all views of an image share, and 1 where the crop was mirrored.
    boxes: tuple[Tensor, ...] = ()

    def key(self, view: int = 0) -> Key:
        """Returns the key of the random numbers sampled for these images and their view of that number."""
        return Key(self.seed, self.epoch, self.index, view)

    def parts(self, count: int) -> list[Batch]:
        """Splits the batch in so many equal parts, in order, which share its memory."""
        if count == 1:
            return [self]
        views = zip(*(view.chunk(count) for view in self.views), strict=True)
        labels = [None] * count if self.label is None else self.label.chunk(count)
        return [
            replace(self, views=part, index=index, label=label)
            for part, index, label in zip(views, self.index.chunk(count), labels, strict=True)
        ]

    def to(self, device: torch.device) -> Batch:
        """Copies the batch to a device, which is not waited for where the batch is `pinned`."""
        return replace(
            self,
            views=tuple(view.to(device, non_blocking=True) for view in self.views),
            index=self.index.to(device, non_blocking=True),
            label=None if self.label is None else self.label.to(device, non_blocking=True),
            boxes=tuple(boxes.to(device, non_blocking=True) for boxes in self.boxes),
        )


class Loader(Protocol):
    """Batches as a pure function of (seed, epoch, step): to resume is to ask for (epoch, start)."""

    steps_per_epoch: int

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yields the batches of an epoch from step `start` on. Images that do not fill the last are left out."""


def check_full_batch(name: str, num_images: int, batch_size: int) -> None:
    """Refuses a source of fewer images than one batch.

    Raises:
        UsageError: it has fewer.
    """
    if num_images < batch_size:
        raise UsageError(
            f"{name}: {num_images} images are fewer than one batch of {batch_size}; "
            f"set data.batch_size to {num_images} or less"
        )


def rows_of_rank(batch_size: int, rank: int, world_size: int) -> NDArray[np.int64]:
    """Returns the rows of a batch that a rank makes: the ranks' parts, one after the other, are the whole batch.

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
    rows_per_rank = batch_size // world_size
    return np.arange(rank * rows_per_rank, (rank + 1) * rows_per_rank)
