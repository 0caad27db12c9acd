"""The pipeline of small images: one uint8 tensor on the device, shuffled and augmented there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from sslfast.data.batch import Batch, check_full_batch
from sslfast.data.draws.on_device import view_sampler
from sslfast.data.in_memory import in_memory
from sslfast.data.spec import LoaderSpec
from sslfast.kernels import view_augment
from sslfast.kernels.view_augment import Draw
from sslfast.random.on_device import shuffled


class ResidentLoader:
    """Batches cut from images that lie on the device. Unreadable files are dropped when it is made."""

    def __init__(self, spec: LoaderSpec) -> None:
        """
        Raises:
            UsageError: fewer readable images than a batch, too many unreadable ones, images that do not fit in
                memory, or a batch that the processes cannot share equally.
        """
        self.rows = torch.from_numpy(spec.rows()).to(spec.device)
        decoded, positions = in_memory(spec.source, spec.device)
        assert decoded.images is not None
        check_full_batch(spec.source.name, len(decoded), spec.data.batch_size)
        self.steps_per_epoch = len(decoded) // spec.data.batch_size
        self.spec = spec
        self.images = torch.from_numpy(decoded.images).to(spec.device)  # [N, H, W, C]
        self.positions = torch.from_numpy(positions).to(spec.device)  # of the decoded images in the source
        self.labels = None if decoded.labels is None else torch.from_numpy(decoded.labels).to(spec.device)
        sizes = np.array([decoded.images.shape[1:3]]) if decoded.sizes is None else decoded.sizes
        self.samplers = [
            view_sampler(view, spec.seed, number, sizes, spec.device)
            for number, view in enumerate(spec.data.views)
        ]

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yields the batches of an epoch from step `start` on, in the epoch's own order."""
        order = shuffled(self.spec.seed, epoch, len(self.positions), self.images.device)
        for step in range(start, self.steps_per_epoch):
            yield self._batch(epoch, order[step * self.spec.data.batch_size + self.rows])

    def _batch(self, epoch: int, rows: Tensor) -> Batch:
        data, index = self.spec.data, self.positions[rows]
        draws = [sample(epoch, index, rows) for sample in self.samplers]
        views = tuple(
            view_augment(
                self.images,
                of_view,
                rows=rows,
                size=size,
                mean=data.mean,
                std=data.std,
                dtype=self.spec.dtype,
            )
            for size, of_view in zip(data.sizes, draws, strict=True)
        )
        label = None if self.labels is None else self.labels[rows]
        boxes = tuple(of_view[:, : Draw.FLIP + 1] for of_view in draws)
        return Batch(views, index, label, self.spec.seed, epoch, boxes)
