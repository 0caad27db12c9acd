"""The draws of a view, as a tensor on the device that needs them.

A GPU samples them itself, by `triton_kernels.py`: the host would take longer over them than the GPU over the
views. For the CPU, and where Triton is missing, the host does. Either way they are those of `reference.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from sslfast.config import ViewConfig
from sslfast.data.draws.reference import sample_view
from sslfast.device import to_device
from sslfast.random.on_device import samples_itself

ViewSampler = Callable[[int, Tensor], Tensor]


def view_sampler(
    view: ViewConfig, seed: int, view_number: int, height: int, width: int, device: torch.device
) -> ViewSampler:
    """Make the function that samples the draws of one view of images of one size.

    Args:
        view: its probabilities and ranges.
        seed: the run's seed.
        view_number: which of the sample's views.
        height: of the images, in pixels.
        width: of the images, in pixels.
        device: of the draws.

    Returns:
        sample(epoch, index): `reference.sample_view` of the samples with these positions in the data set, int64
        (B,) on the device, as `view_augment` takes it: fp32 (B, 14). A GPU without Triton is waited for.
    """
    if not samples_itself(device):
        return partial(_sample_on_host, view, seed, view_number, height, width)
    from sslfast.data.draws import triton_kernels

    rules = torch.tensor(triton_kernels.rules(view, height, width), dtype=torch.float64, device=device)
    return partial(triton_kernels.sample_view, rules, seed, view_number)


def _sample_on_host(
    view: ViewConfig, seed: int, view_number: int, height: int, width: int, epoch: int, index: Tensor
) -> Tensor:
    draws = sample_view(view, seed, epoch, index.cpu().numpy(), view_number, height, width)
    return to_device(draws.table(), index.device)
