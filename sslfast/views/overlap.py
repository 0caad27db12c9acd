"""Where two crops of an image show the same place (Xie et al. 2021, arXiv:2011.10043, section 3.1)."""

from __future__ import annotations

import torch
from torch import Tensor


def near_cells(box1: Tensor, box2: Tensor, side: int, threshold: float) -> Tensor:
    """Finds the cells of two crops whose centers are near each other in the image.

    A crop is divided into side x side cells, counted row by row. The distance of two centers is in diagonals of a
    cell, of the larger one of the two crops', as in the published code; its coordinates are shares of the image's
    height and width, ours pixels.

    Args:
        box1, box2: (B, 5), as a batch's `boxes` has them.
        side: cells along a side.
        threshold: the largest distance that is near.

    Returns:
        bool (B, side * side, side * side), by the cell of the first and of the second crop.
    """
    (y1, x1, diagonal1), (y2, x2, diagonal2) = _centers(box1, side), _centers(box2, side)
    dy = (y1[:, :, None] - y2[:, None, :]).square()[:, :, None, :, None]  # [B, i1, 1, i2, 1]
    dx = (x1[:, :, None] - x2[:, None, :]).square()[:, None, :, None, :]  # [B, 1, j1, 1, j2]
    largest = threshold * torch.maximum(diagonal1, diagonal2)
    near = dy + dx <= largest.square()[:, None, None, None, None]
    return near.flatten(3).flatten(1, 2)


def _centers(box: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Computes the centers of a crop's rows and columns of cells, (B, side) each, and a cell's diagonal (B,)."""
    top, left, height, width, mirrored = box.unbind(1)
    share = (torch.arange(side, device=box.device) + 0.5) / side
    across = torch.where(mirrored[:, None] > 0, 1 - share, share)
    rows, columns = top[:, None] + height[:, None] * share, left[:, None] + width[:, None] * across
    return rows, columns, torch.hypot(height, width) / side
