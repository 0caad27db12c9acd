"""Precise RoI pooling (Jiang, Luo, Mao, Xiao, Jiang 2018, arXiv:1807.11590), of each region to one vector."""

from __future__ import annotations

import torch
from torch import Tensor


def pool_regions(maps: Tensor, regions: Tensor) -> Tensor:
    """Averages a map over regions: the integral of what bilinear interpolation makes of it (equation 5).

    A cell's value stands at its middle, which mirrored maps share; the published code puts it at the corner.
    Beyond the outermost middles the map falls to 0, and the weights are scaled to a sum of 1: ours.

    Args:
        maps: (B, C, h, w), any floating dtype.
        regions: (B, N, 4), top, left, bottom, right in cells, bottom > top and right > left.

    Returns:
        (B, N, C), of the maps' dtype.
    """
    height, width = maps.shape[2:]
    top, left, bottom, right = regions.unbind(2)
    rows, columns = _weights(top, bottom, height), _weights(left, right, width)
    weights = rows[..., :, None] * columns[..., None, :]  # [B, N, h, w]
    weights = weights.flatten(2) / weights.sum(dim=(2, 3))[..., None]
    return weights.to(maps.dtype) @ maps.flatten(2).mT


def _weights(start: Tensor, end: Tensor, count: int) -> Tensor:
    """Computes the weights (B, N, count) of cells in an integral from start to end (B, N), along one axis.

    Interpolation weighs a cell by the hat max(1 - |u|, 0), u from its middle, whose integral up to u is
    1/2 + u - u |u| / 2 within [-1, 1].
    """
    middles = torch.arange(count, device=start.device, dtype=start.dtype) + 0.5

    def up_to(place: Tensor) -> Tensor:
        u = (place[..., None] - middles).clamp(-1, 1)
        return u - u * u.abs() / 2

    return up_to(end) - up_to(start)
