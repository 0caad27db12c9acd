"""The pipeline of small images: one uint8 tensor on the device, shuffled, drawn and augmented there."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from sslfast.config import DataConfig
from sslfast.data.batch import Batch, full_batches, rows_of_rank
from sslfast.data.draws.on_device import drawer
from sslfast.data.in_memory import in_memory
from sslfast.data.sources import Source
from sslfast.kernels import view_augment
from sslfast.random.on_device import shuffled


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
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.rows = torch.from_numpy(rows_of_rank(data.batch_size, rank, world_size)).to(device)
        decoded, positions = in_memory(source, device)
        assert decoded.images is not None
        self.steps_per_epoch = full_batches(source.name, len(decoded), data.batch_size)
        self.images = torch.from_numpy(decoded.images).to(device)  # [N, H, W, 3]
        self.positions = torch.from_numpy(positions).to(device)  # of the decoded images in the source
        self.labels = None if decoded.labels is None else torch.from_numpy(decoded.labels).to(device)
        self.data = data
        self.seed = seed
        self.dtype = dtype
        _, height, width, _ = self.images.shape
        self.drawers = [
            drawer(view, seed, number, height, width, device) for number, view in enumerate(data.views)
        ]

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from step `start` on, in an order of its own."""
        order = shuffled(self.seed, epoch, len(self.positions), self.images.device)
        for step in range(start, self.steps_per_epoch):
            yield self._batch(epoch, order[step * self.data.batch_size + self.rows])

    def _batch(self, epoch: int, rows: Tensor) -> Batch:
        index = self.positions[rows]
        views = tuple(
            view_augment(
                self.images,
                draw(epoch, index),
                rows=rows,
                size=size,
                mean=self.data.mean,
                std=self.data.std,
                dtype=self.dtype,
            )
            for size, draw in zip(self.data.sizes, self.drawers, strict=True)
        )
        label = None if self.labels is None else self.labels[rows]
        return Batch(views, index, label, self.seed, epoch)
