"""Windows of a crop, and where another crop of the image shows them (Xiao et al. 2021, arXiv:2103.12902)."""

from __future__ import annotations

import torch
from torch import Tensor


def aligned_windows(
    box1: Tensor, box2: Tensor, side: int, window: int, step: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    """Slides a square window over a crop, and finds the same place of the image in another crop.

    Both crops are divided into side x side cells, in which places are counted: 1.5 is the middle of the second row
    or column.

    Args:
        box1, box2: (B, 5), as a batch's `boxes` has them.
        side: cells along a side.
        window: cells along a side of the window; at most `side`.
        step: cells from a window to the next.

    Returns:
        (windows of the first crop (B, N, 4): top, left, bottom, right; the same of the second crop, which may have
        other sides there; bool (B, N), whether the second crop shows all of it), row by row, with
        N = ((side - window) // step + 1)^2.

    Raises:
        ValueError: a window that is larger than the crop, or without a cell, or a step of none.
    """
    if not 1 <= window <= side or step < 1:
        raise ValueError(
            f"aligned_windows: expected a window of 1 to {side} cells, the side of the map, and a step of at least"
            f" 1, got window={window}, step={step}"
        )
    starts = torch.arange(0, side - window + 1, step, device=box1.device, dtype=box1.dtype)
    top, left = (places.flatten() for places in torch.meshgrid(starts, starts, indexing="ij"))
    windows = torch.stack([top, left, top + window, left + window], dim=1).expand(len(box1), -1, -1)

    top1, left1, height1, width1, mirrored1 = box1[:, :, None, None].unbind(1)  # [B, 1, 1] each
    top2, left2, height2, width2, mirrored2 = box2[:, :, None, None].unbind(1)
    rows = (side * (top1 - top2) + height1 * windows[..., ::2]) / height2  # [B, N, 2]: top, bottom
    columns = _mirrored(windows[..., 1::2], mirrored1, side)
    columns = _mirrored((side * (left1 - left2) + width1 * columns) / width2, mirrored2, side)
    aligned = torch.stack([rows[..., 0], columns[..., 0], rows[..., 1], columns[..., 1]], dim=2)
    slack = 1e-4 * side  # of rounding, where both crops end at the same place
    inside = ((aligned >= -slack) & (aligned <= side + slack)).all(2)
    return windows, aligned, inside


def _mirrored(columns: Tensor, mirrored: Tensor, side: int) -> Tensor:
    """Returns first and last columns (B, N, 2), of mirrored crops (B, 1, 1) those of their mirror image."""
    return torch.where(mirrored > 0, side - columns.flip(2), columns)
