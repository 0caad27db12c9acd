"""The crops of an evaluation, read by DALI."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sslfast.data.dali.graphs import evaluation_graph
from sslfast.data.dali.runner import Plan, Runner
from sslfast.data.files import Files
from sslfast.data.sources import Source
from sslfast.data.sources.images import STRIP


def dali_crops(
    source: Source, size: int, batch_size: int, device: torch.device, *, threads: int, prefetch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields the crops of files: each readable image once, in order, by `evaluation.resize_center_crop`.

    Args:
        source: of files.
        size: side of the crops, in pixels.
        batch_size: images a batch; the last may be smaller, and so is one that an unreadable file belongs to.
        device: where the batches go.
        threads: on which DALI reads and decodes.
        prefetch: batches decoded ahead.

    Yields:
        (uint8 (B, size, size, 3); int64 (B,) positions in the source).

    Raises:
        UsageError: more than the source allows cannot be read.
    """
    with closing(Files(source, threads)) as files:
        runner = Runner(
            partial(evaluation_graph, size=size),
            files,
            device,
            batch_size=batch_size,
            threads=threads,
            prefetch=prefetch,
        )

        def plan(step: int) -> Plan:
            indices = np.arange(step * batch_size, min((step + 1) * batch_size, len(source)))
            indices = indices[files.readable(indices)]
            shape = np.stack((files.heights[indices], files.widths[indices]), axis=1)
            return Plan(step, indices, _evaluation_arguments(shape, size))

        for _, (images, index) in runner.run(plan, range(-(-len(source) // batch_size))):
            yield images, index


def _evaluation_arguments(shape: NDArray[np.int64], size: int) -> list[NDArray[Any]]:
    """Computes `evaluation_graph`'s arguments to treat images of shapes (B, 2) as `resize_center_crop` does."""
    shorter = shape.min(axis=1, keepdims=True)
    part = np.minimum(shape, STRIP * shorter)
    part_start = (shape - part) // 2
    resized = part * shorter.clip(size, round(size * 8 / 7)) // shorter
    start = np.rint((resized - size) / 2)  # halves to even, as torchvision's center_crop
    floats = [array.astype(np.float32) for array in (part_start, part_start + part, resized)]
    return [*floats, start.astype(np.int32)]
