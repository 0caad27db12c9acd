"""The draws of a view, as a tensor on the device that needs them.

A GPU samples them itself, by `triton_kernels.py`: the host would take longer over them than the GPU over the
views. For the CPU, and where Triton is missing, the host does. Either way they are those of `reference.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sslfast.config import ViewConfig
from sslfast.data.draws.reference import sample_view
from sslfast.device import to_device
from sslfast.random.on_device import samples_itself

ViewSampler = Callable[[int, Tensor, Tensor], Tensor]


def view_sampler(
    view: ViewConfig, seed: int, view_number: int, sizes: NDArray[np.int64], device: torch.device
) -> ViewSampler:
    """Makes the function that samples the draws of one view.

    Args:
        view: its probabilities and ranges.
        seed: the run's seed.
        view_number: which of the sample's views.
        sizes: (N, 2) height and width of each image, or (1, 2) where all are of one size, in pixels.
        device: of the draws.

    Returns:
        sample(epoch, index, rows): `reference.sample_view` of the samples with these positions in the data set,
        whose sizes are in these rows, both int64 (B,) on the device: fp32 (B, 14), as `view_augment` takes it. A
        GPU without Triton is waited for.
    """
    if not samples_itself(device):
        return partial(_sample_on_host, view, seed, view_number, sizes)
    from sslfast.data.draws import triton_kernels

    rules = torch.tensor(triton_kernels.rules(view), dtype=torch.float64, device=device)
    sides = torch.from_numpy(triton_kernels.sides(view, sizes)).to(device)

    def sample(epoch: int, index: Tensor, rows: Tensor) -> Tensor:
        of_rows = sides if len(sides) == 1 else sides[rows]
        return triton_kernels.sample_view(rules, of_rows, seed, view_number, epoch, index)

    return sample


def _sample_on_host(
    view: ViewConfig,
    seed: int,
    view_number: int,
    sizes: NDArray[np.int64],
    epoch: int,
    index: Tensor,
    rows: Tensor,
) -> Tensor:
    heights, widths = (sizes if len(sizes) == 1 else sizes[rows.cpu().numpy()]).T
    draws = sample_view(view, seed, epoch, index.cpu().numpy(), view_number, heights, widths)
    return to_device(draws.table(), index.device)
