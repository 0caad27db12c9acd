"""The batches of an evaluation, read by DALI."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sslfast.config import DataConfig
from sslfast.data.augment import normalize
from sslfast.data.dali.files import Files
from sslfast.data.dali.graphs import (
    evaluation_graph,
)
from sslfast.data.dali.runner import Plan, Runner
from sslfast.data.sources import Source
from sslfast.data.sources.images import STRIP


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
        shape = np.stack((files.heights[indices], files.widths[indices]), axis=1)
        return Plan(step, indices, _evaluation_arguments(shape, size))

    for _, (images, index) in runner.run(plan, range(-(-len(source) // batch_size))):
        yield normalize(images.permute(0, 3, 1, 2), data.mean, data.std), index


def _evaluation_arguments(shape: NDArray[np.int64], size: int) -> list[NDArray[Any]]:
    """Those of `evaluation_graph` that do what `loader.resize_center_crop` does to images of shapes (B, 2)."""
    shorter = shape.min(axis=1, keepdims=True)
    part = np.minimum(shape, STRIP * shorter)
    part_start = (shape - part) // 2
    resized = part * shorter.clip(size, round(size * 8 / 7)) // shorter
    start = np.rint((resized - size) / 2)  # halves to even, as torchvision's center_crop
    floats = [array.astype(np.float32) for array in (part_start, part_start + part, resized)]
    return [*floats, start.astype(np.int32)]
