"""The order of an epoch and the draws of its views, as tensors on the device that needs them.

A GPU computes them itself, which the host could not do fast enough for it; the host's are copied where there is no
Triton. Either way they are the numbers of `random.py` and `draws.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sslfast.data.augment import to_device
from sslfast.data.draws import STREAMS_PER_VIEW, central_crop, draw_view, factor_range
from sslfast.data.random import SHUFFLE_STREAM, permutation
from sslfast.kernels._library import MISSING

if TYPE_CHECKING:
    from sslfast.config import ViewConfig


def shuffled(seed: int, epoch: int, n: int, device: torch.device) -> Tensor:
    """`random.permutation`, int64 (n,), on the device."""
    if not _draws_itself(device):
        return to_device(permutation(seed, epoch, n), device)
    from sslfast.kernels.view_augment import triton_draws

    return triton_draws.permutation(n, seed, epoch, SHUFFLE_STREAM, device)


class Drawer:
    """Draws one view of images of one size: `draws.draw_view` as a table on the device."""

    def __init__(
        self, view: ViewConfig, seed: int, number: int, height: int, width: int, device: torch.device
    ) -> None:
        """
        Args:
            view: what to draw.
            seed: the run's seed.
            number: which of the sample's views.
            height: of the images, in pixels.
            width: of the images, in pixels.
            device: of the indices and of the draws.
        """
        self.view, self.seed, self.number = view, seed, number
        self.height, self.width = height, width
        self.rules = torch.tensor(_rules(view, height, width), dtype=torch.float64, device=device)

    def __call__(self, epoch: int, index: Tensor) -> Tensor:
        """Draw.

        Args:
            epoch: the epoch.
            index: int64 (B,), positions of the samples in the data set, on the device.

        Returns:
            float32 (B, 14), as `view_augment` takes them.
        """
        if not _draws_itself(index.device):
            draws = draw_view(
                self.view, self.seed, epoch, index.cpu().numpy(), self.number, self.height, self.width
            )
            return to_device(draws.table(), index.device)
        from sslfast.kernels.view_augment import triton_draws

        return triton_draws.draw_views(index, self.rules, self.seed, epoch, self.number * STREAMS_PER_VIEW)


def _draws_itself(device: torch.device) -> bool:
    return device.type == "cuda" and MISSING["triton"] is None


def _rules(view: ViewConfig, height: int, width: int) -> list[float]:
    """As `triton_draws.draw_views` takes them."""
    factors = [end for name in ("brightness", "contrast", "saturation") for end in factor_range(getattr(view, name))]
    return [
        *(height, width),
        *view.scale,
        *np.log(view.ratio),
        *central_crop(height, width, view.ratio),
        *(view.flip, view.jitter),
        *factors,
        *(-view.hue, view.hue),
        *(view.grayscale, view.blur),
        *view.blur_sigma,
        view.solarize,
    ]
