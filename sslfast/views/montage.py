"""Jigsaw Clustering's montages (Chen, Liu, Jia 2021, arXiv:2104.00323)."""

from __future__ import annotations

import math

from torch import Tensor


def montage(patches: Tensor) -> Tensor:
    """Puts patches together to square images, in reading order: the inverse of `divide`.

    Args:
        patches: (B, N, C, p, p), any floating dtype; N a square number.

    Returns:
        (B, C, S, S), S = sqrt(N) * p, channels_last.

    Raises:
        ValueError: `patches` has another shape, or their number is no square.
    """
    if patches.ndim != 5 or patches.shape[3] != patches.shape[4]:
        raise ValueError(f"montage: expected patches of shape (B, N, C, p, p), got {tuple(patches.shape)}")
    side = math.isqrt(patches.shape[1])
    if side**2 != patches.shape[1]:
        raise ValueError(f"montage: expected a square number of patches an image, got {patches.shape[1]}")
    places = patches.unflatten(1, (side, side)).permute(0, 1, 4, 2, 5, 3)  # [B, m, p, m, p, C]
    return places.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)
