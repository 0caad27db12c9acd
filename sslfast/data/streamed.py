"""Photographs without DALI: Pillow's threads decode them again each epoch, some batches ahead."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from functools import partial

import torch

from sslfast.data.augment import augment
from sslfast.data.batch import Batch, check_full_batch
from sslfast.data.draws.reference import sample_view
from sslfast.data.files import Files
from sslfast.data.order import ReadableOrder
from sslfast.data.sources.images import UnreadableImage
from sslfast.data.sources.reading import in_threads
from sslfast.data.spec import LoaderSpec
from sslfast.device import pinned


class StreamedLoader:
    """Batches of augmented views: a pure function of (seed, epoch, step) and of which files are unreadable.

    Threads decode the images of a batch, and one more augments it on the CPU, while earlier batches train. The
    thread that takes it copies it to the device: another would wait there for the steps before.
    """

    def __init__(self, spec: LoaderSpec) -> None:
        """
        Args:
            spec: its source is of files.

        Raises:
            UsageError: the source holds fewer images than a batch, or the ranks cannot share one equally.
        """
        source, data = spec.source, spec.data
        check_full_batch(source.name, len(source), data.batch_size)
        self.spec = spec
        self.rows = spec.rows()
        self.steps_per_epoch = len(source) // data.batch_size
        self.labels = None if source.labels is None else torch.from_numpy(source.labels)
        self.files = Files(source, spec.threads)
        weakref.finalize(self, self.files.close)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yields the batches of an epoch from step `start` on.

        Raises:
            UsageError: too many files cannot be read.
        """
        make = partial(self._batch, epoch, ReadableOrder(self.spec, self.files, epoch))
        for batch in in_threads(make, range(start, self.steps_per_epoch), self.spec.data.prefetch, threads=1):
            yield batch.to(self.spec.device)

    def _batch(self, epoch: int, order: ReadableOrder, step: int) -> Batch:
        """Makes a batch on the host, anew with another image where one turns out unreadable as it is decoded."""
        spec, data, device = self.spec, self.spec.data, self.spec.device
        while True:
            indices = order.batch(step)
            try:
                images = [torch.tensor(pixels) for pixels in self.files.pixels(indices)]
                break
            except UnreadableImage:
                continue  # `files` knows it now
        heights, widths = self.files.heights[indices], self.files.widths[indices]
        draws = [
            sample_view(view, spec.seed, epoch, indices, number, heights, widths)
            for number, view in enumerate(data.views)
        ]
        views = tuple(
            pinned(augment(images, of_view, size, data.mean, data.std, spec.dtype), device)
            for of_view, size in zip(draws, data.sizes, strict=True)
        )
        index = torch.from_numpy(indices)
        label = None if self.labels is None else pinned(self.labels[index], device)
        boxes = tuple(pinned(torch.from_numpy(of_view.crops()), device) for of_view in draws)
        return Batch(views, pinned(index, device), label, spec.seed, epoch, boxes)
