"""The pipeline of small images: one uint8 tensor on the device, augmented there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from sslfast.data.augment import crop_resize, finish, to_device
from sslfast.data.batch import Batch, full_batches, rows_of_rank
from sslfast.data.draws import draw_view
from sslfast.data.in_memory import in_memory
from sslfast.data.random import permutation
from sslfast.data.sources import Source

if TYPE_CHECKING:
    from sslfast.config import DataConfig


class ResidentLoader:
    """Batches cut from images that lie on the device. Unreadable files are dropped when it is made."""

    def __init__(
        self,
        source: Source,
        data: DataConfig,
        seed: int,
        device: torch.device,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.rows = rows_of_rank(data.batch_size, rank, world_size)
        decoded, self.positions = in_memory(source, device)  # positions: of the decoded images in the source
        assert decoded.images is not None
        self.steps_per_epoch = full_batches(source.name, len(decoded), data.batch_size)
        self.images = torch.from_numpy(decoded.images).to(device)  # [N, H, W, 3]
        self.labels = None if decoded.labels is None else torch.from_numpy(decoded.labels).to(device)
        self.data = data
        self.seed = seed

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from step `start` on, in an order of its own."""
        order = permutation(self.seed, epoch, len(self.positions))
        for step in range(start, self.steps_per_epoch):
            yield self._batch(epoch, order[step * self.data.batch_size + self.rows])

    def _batch(self, epoch: int, rows: NDArray[np.int64]) -> Batch:
        device = self.images.device
        on_device = to_device(rows, device)
        images = self.images[on_device].permute(0, 3, 1, 2)
        index = self.positions[rows]
        views = []
        for number, (view, size) in enumerate(zip(self.data.views, self.data.sizes, strict=True)):
            draws = draw_view(view, self.seed, epoch, index, number, *images.shape[2:])
            crops = crop_resize(images, draws.boxes, size, draws.flip)
            views.append(finish(crops, draws, self.data.mean, self.data.std))
        label = None if self.labels is None else self.labels[on_device]
        return Batch(tuple(views), to_device(index, device), label, self.seed, epoch)
