"""The four rotations of RotNet (Gidaris, Singh, Komodakis 2018, arXiv:1803.07728)."""

from __future__ import annotations

import torch
from torch import Tensor

from sslfast.views.tiles import side_of


def rotations(images: Tensor) -> Tensor:
    """Turns views counterclockwise by 0, 90, 180, 270 degrees; all four of a view join a batch (section 2.3).

    Args:
        images: (B, C, S, S), any dtype.

    Returns:
        (B, 4, C, S, S), each channels_last; the class of [:, k] is k.

    Raises:
        ValueError: images that are not square.
    """
    side_of("rotations", images)
    pixels = images.permute(0, 2, 3, 1)
    turned = torch.stack([pixels.rot90(k, dims=(1, 2)) for k in range(4)], dim=1)
    return turned.permute(0, 1, 4, 2, 3)
