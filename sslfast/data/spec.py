"""The specification of a loader."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from sslfast.config import DataConfig
from sslfast.data.batch import rows_of_rank
from sslfast.data.sources import Source


def threads_of_rank(world_size: int) -> int:
    """Returns the number of cores that this process may use, shared with the ranks on its machine; 1 at least."""
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", world_size))  # torchrun sets it
    return max(1, len(os.sched_getaffinity(0)) // beside)


@dataclass(frozen=True)
class LoaderSpec:
    """All that the training batches of a process depend on.

    Attributes:
        source: the images; a batch's `index` is a position in it.
        data: sizes, views, pipeline.
        seed: of the order and of the augmentations.
        device: where the batches go.
        rank: of this process, in [0, world_size), which makes its part of each batch only.
        world_size: processes. Their parts, one after the other, are the batch that one process would make.
        dtype: of the views, which are computed in fp32: bf16 and fp16 round them as autocast's first layer would.
    """

    source: Source
    data: DataConfig
    seed: int
    device: torch.device
    rank: int = 0
    world_size: int = 1
    dtype: torch.dtype = torch.float32

    @property
    def threads(self) -> int:
        """Counts the threads that read and decode: `data.workers`, else this process's share of the cores."""
        return self.data.workers or threads_of_rank(self.world_size)

    def rows(self) -> NDArray[np.int64]:
        """Returns the rows of each batch that this process makes, int64 (data.batch_size / world_size,).

        Raises:
            UsageError: the processes cannot share a batch equally.
        """
        return rows_of_rank(self.data.batch_size, self.rank, self.world_size)
