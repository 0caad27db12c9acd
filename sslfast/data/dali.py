"""Photographs: too large and varied to keep decoded, so NVIDIA DALI decodes them again each epoch.

DALI reads, decodes, crops, resizes and flips, on the CPU or, decoding JPEGs too, on the GPU; what follows is
`augment.finish`. The draws come from `draws.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sslfast.data.augment import finish, normalize
from sslfast.data.batch import Batch, full_batches
from sslfast.data.dali_files import Files
from sslfast.data.dali_pipeline import Plan, Runner, evaluation_graph, training_graph
from sslfast.data.draws import ViewDraws, draw_view
from sslfast.data.random import permutation
from sslfast.data.sources import Source
from sslfast.errors import UsageError

if TYPE_CHECKING:
    from sslfast.config import DataConfig


class DaliLoader:
    """Batches of augmented views; a pure function of (seed, epoch, step) and of which files are unreadable.

    Each epoch visits every image once, but for an incomplete last batch and unreadable files. An unreadable
    file's place is taken by the next readable image that follows the batch in the epoch's order, so no image is
    twice in a batch. Which files are unreadable is found out as they are met; nothing of it is saved to resume.
    """

    def __init__(self, source: Source, data: DataConfig, seed: int, device: torch.device) -> None:
        """
        Args:
            source: of files.
            data: sizes, views, threads, prefetching.
            seed: of the order and the draws.
            device: where the batches shall be.

        Raises:
            UsageError: the source holds fewer images than a batch.
        """
        self.steps_per_epoch = full_batches(source.name, len(source), data.batch_size)
        self.source = source
        self.data = data
        self.seed = seed
        self.labels = None if source.labels is None else torch.from_numpy(source.labels).to(device)
        self.files = Files(source, data.workers)
        self.runner = Runner(
            partial(training_graph, views=len(data.views), size=data.size),
            self.files,
            device,
            batch_size=data.batch_size,
            threads=data.workers,
            prefetch=data.prefetch,
        )

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from step `start` on.

        Raises:
            UsageError: too many files cannot be read.
        """
        order = permutation(self.seed, epoch, len(self.source))
        plan = partial(self._plan, epoch, order)
        for done, (*crops, index) in self.runner.run(plan, range(start, self.steps_per_epoch)):
            views = tuple(
                finish(crop.permute(0, 3, 1, 2), draws, self.data.mean, self.data.std)
                for crop, draws in zip(crops, done.draws, strict=True)
            )
            label = None if self.labels is None else self.labels[index]
            yield Batch(views, index, label, self.seed, epoch)

    def _plan(self, epoch: int, order: NDArray[np.int64], step: int) -> Plan:
        indices = self._readable(order, step)
        heights, widths = self.files.heights[indices], self.files.widths[indices]
        draws = tuple(
            draw_view(view, self.seed, epoch, indices, number, heights, widths)
            for number, view in enumerate(self.data.views)
        )
        return Plan(step, indices, [argument for d in draws for argument in _crop_arguments(d)], draws)

    def _readable(self, order: NDArray[np.int64], step: int) -> NDArray[np.int64]:
        """The images of a step, each unreadable one replaced by the next in the epoch's order after the batch."""
        size = self.data.batch_size
        indices = order[step * size : (step + 1) * size].copy()
        bad = ~self.files.readable(indices)
        if bad.any():
            following = np.roll(order, -(step + 1) * size)
            spares = list(islice((i for i in following if self.files.readable(i[None])), int(bad.sum())))
            if not spares:
                raise UsageError(f"{self.source.name}: none of the {len(self.source)} images can be read")
            indices[bad] = np.resize(spares, bad.sum())  # repeated if fewer are readable than are needed
        return indices


def _crop_arguments(draws: ViewDraws) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """`training_graph`'s: start and shape of the crop, flip."""
    boxes = draws.boxes.astype(np.int32)
    return boxes[:, :2].copy(), boxes[:, 2:].copy(), draws.flip.astype(np.int32)  # DALI takes no strided arrays


def dali_eval_batches(
    source: Source, size: int, data: DataConfig, batch_size: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """`loader.eval_batches` for a source of files: each readable image once, in order, resized and cropped alike.

    Args:
        source: of files.
        size: side of the result, in pixels.
        data: its mean, std, threads and prefetching.
        batch_size: images a batch; the last may be smaller, and so is one that an unreadable file belongs to.
        device: where the batches go.

    Yields:
        (float32 (B, 3, size, size), normalised, channels_last; int64 (B,) positions in the source).

    Raises:
        UsageError: more than the source allows cannot be read.
    """
    files = Files(source, data.workers)
    runner = Runner(
        partial(evaluation_graph, size=size),
        files,
        device,
        batch_size=batch_size,
        threads=data.workers,
        prefetch=data.prefetch,
    )

    def plan(step: int) -> Plan:
        indices = np.arange(step * batch_size, min((step + 1) * batch_size, len(source)))
        indices = indices[files.readable(indices)]
        resized = _resized_shapes(files.heights[indices], files.widths[indices], size)
        start = np.rint((resized - size) / 2)  # halves to even, as torchvision's center_crop
        return Plan(step, indices, [resized.astype(np.float32), start.astype(np.int32)])

    for _, (images, index) in runner.run(plan, range(-(-len(source) // batch_size))):
        yield normalize(images.permute(0, 3, 1, 2), data.mean, data.std), index


def _resized_shapes(heights: NDArray[np.int64], widths: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """(B, 2) heights and widths, the shorter brought into [size, 8/7 size] as by `loader.resize_center_crop`."""
    shape = np.stack((heights, widths), axis=1)
    shorter = shape.min(axis=1, keepdims=True)
    return shape * shorter.clip(size, round(size * 8 / 7)) // shorter
