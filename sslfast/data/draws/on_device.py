"""The order of an epoch and the draws of its views, as tensors on the device that needs them.

A GPU computes them itself, by `triton_kernels.py`: the host would take longer over them than the GPU over the views.
For the CPU, and where Triton is missing, they are the host's. Either way they are those of `random.py` and
`draws.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from sslfast.config import ViewConfig
from sslfast.data.draws.reference import draw_view
from sslfast.device import to_device
from sslfast.random.on_device import draws_itself

Drawer = Callable[[int, Tensor], Tensor]


def drawer(view: ViewConfig, seed: int, number: int, height: int, width: int, device: torch.device) -> Drawer:
    """What draws one view of images of one size.

    Args:
        view: what to draw.
        seed: the run's seed.
        number: which of the sample's views.
        height: of the images, in pixels.
        width: of the images, in pixels.
        device: of the draws.

    Returns:
        draw(epoch, index): `draws.draw_view` of the samples with these positions in the data set, int64 (B,) on
        the device, as `view_augment` takes it: fp32 (B, 14). A GPU without Triton is waited for.
    """
    if not draws_itself(device):
        return partial(_draw_on_host, view, seed, number, height, width)
    from sslfast.data.draws import triton_kernels

    rules = torch.tensor(triton_kernels.rules(view, height, width), dtype=torch.float64, device=device)
    return partial(triton_kernels.draw_view, rules, seed, number)


def _draw_on_host(
    view: ViewConfig, seed: int, number: int, height: int, width: int, epoch: int, index: Tensor
) -> Tensor:
    draws = draw_view(view, seed, epoch, index.cpu().numpy(), number, height, width)
    return to_device(draws.table(), index.device)
