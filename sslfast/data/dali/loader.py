"""Photographs: too large and varied to keep decoded, so NVIDIA DALI decodes them again each epoch.

On a GPU, DALI reads, decodes, crops, resizes and flips, and `augment.finish` does the rest. On the CPU it
reads and decodes, and `augment.augment` makes the views, whose crops take a fraction of the time of DALI's there.
Or DALI does everything (data.pipeline=dali_only). The draws come from `draws/reference.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sslfast.data.augment import augment, finish
from sslfast.data.batch import Batch, check_full_batch
from sslfast.data.dali.graphs import (
    color_arguments,
    crop_arguments,
    crop_graph,
    image_graph,
    region_arguments,
    view_graph,
)
from sslfast.data.dali.runner import Plan, Runner
from sslfast.data.draws.reference import sample_view
from sslfast.data.files import Files
from sslfast.data.order import ReadableOrder
from sslfast.data.spec import LoaderSpec
from sslfast.device import to_device


class DaliLoader:
    """Batches of augmented views: a pure function of (seed, epoch, step) and of which files are unreadable.

    Their images are those of `ReadableOrder`.
    """

    def __init__(self, spec: LoaderSpec, *, decodes_only: bool | None = None) -> None:
        """
        Args:
            spec: its source of files; pipeline=dali_only: everything in DALI, see `view_graph`.
            decodes_only: whether DALI leaves the crops to `augment`; None: on the CPU, where that can be.

        Raises:
            UsageError: the source holds fewer images than a batch, or the ranks cannot share one equally.
        """
        source, data = spec.source, spec.data
        check_full_batch(source.name, len(source), data.batch_size)
        self.steps_per_epoch = len(source) // data.batch_size
        self.spec = spec
        self.rows = spec.rows()
        self.labels = None if source.labels is None else torch.from_numpy(source.labels).to(spec.device)
        self.by_region = data.decode == "region"
        self.files = Files(source, spec.threads)
        self.dali_only = data.pipeline == "dali_only"
        if decodes_only is None:
            decodes_only = spec.device.type == "cpu"
        self.decodes_only = decodes_only and not self.dali_only
        graph: Any = partial(crop_graph, sizes=data.sizes)
        if self.dali_only:
            graph = partial(view_graph, sizes=data.sizes, mean=data.mean, std=data.std)
        elif self.decodes_only:
            graph = image_graph
        self.runner = Runner(
            partial(graph, region=self.by_region),
            self.files,
            spec.device,
            batch_size=len(self.rows),
            threads=spec.threads,
            prefetch=data.prefetch,
        )

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yields the batches of an epoch from step `start` on.

        Raises:
            UsageError: too many files cannot be read.
        """
        order = ReadableOrder(self.spec, self.files, epoch)
        plan = partial(self._plan, epoch, order)
        for done, (*outputs, index) in self.runner.run(plan, range(start, self.steps_per_epoch)):
            views = tuple(self._views(done, outputs))
            label = None if self.labels is None else self.labels[index]
            boxes = tuple(to_device(view.crops(), self.spec.device) for view in done.draws)
            yield Batch(views, index, label, self.spec.seed, epoch, boxes)

    def _views(self, plan: Plan, outputs: list[Any]) -> Iterator[Tensor]:
        """Yields the views of a planned batch, made from the graph's outputs for it."""
        data, dtype = self.spec.data, self.spec.dtype
        if self.dali_only:
            yield from (view.permute(0, 3, 1, 2).to(dtype) for view in outputs)
        elif self.decodes_only:
            (images,) = outputs
            for draws, size in zip(plan.draws, data.sizes, strict=True):
                yield augment(images, draws, size, data.mean, data.std, dtype)
        else:
            for crops, draws in zip(outputs, plan.draws, strict=True):
                yield finish(crops.permute(0, 3, 1, 2), draws, data.mean, data.std, dtype)

    def _plan(self, epoch: int, order: ReadableOrder, step: int) -> Plan:
        """Makes the plan of a step: its images, their draws, and the graph's arguments."""
        indices = order.batch(step)
        heights, widths = self.files.heights[indices], self.files.widths[indices]
        draws = tuple(
            sample_view(view, self.spec.seed, epoch, indices, number, heights, widths)
            for number, view in enumerate(self.spec.data.views)
        )
        arguments: list[NDArray[Any]] = []
        shapes = np.stack((heights, widths), axis=1)
        if self.by_region:
            arguments, shapes, draws = region_arguments(draws, shapes, self.files.orientation[indices])
        if self.decodes_only:
            return Plan(step, indices, arguments, draws, shapes)
        for view in draws:
            arguments += [*crop_arguments(view), *(color_arguments(view) if self.dali_only else ())]
        return Plan(step, indices, arguments, draws)
