"""Cutting patches out of a batch, as the operations on patches share it."""

from __future__ import annotations

import torch
from torch import Tensor


def side_of(operation: str, images: Tensor) -> int:
    """Returns the side of a batch of square images.

    Raises:
        ValueError: `images` is not (B, C, S, S).
    """
    if images.ndim != 4 or images.shape[2] != images.shape[3]:
        raise ValueError(f"{operation}: expected images of shape (B, C, S, S), got {tuple(images.shape)}")
    return images.shape[2]


def check_patch(operation: str, patch: int, largest: int, where: str) -> None:
    """Refuses a patch of less than a pixel, or one larger than the piece that it is cut from.

    Raises:
        ValueError: a patch of such a size.
    """
    if not 1 <= patch <= largest:
        raise ValueError(f"{operation}: expected a patch of 1 to {largest} pixels, {where}, got patch={patch}")


def grid(images: Tensor, patch: int, stride: int) -> Tensor:
    """Cuts square patches at regular steps, in reading order.

    Args:
        images: (B, C, H, W).
        patch: side of a patch, pixels; at most H and W.
        stride: pixels from a patch to the next; the rest at the right and below is not used.

    Returns:
        (B, rows * columns, C, patch, patch), each patch channels_last.
    """
    windows = images.permute(0, 2, 3, 1).unfold(1, patch, stride).unfold(2, patch, stride)  # [B, n, n, C, p, p]
    return windows.permute(0, 1, 2, 4, 5, 3).flatten(1, 2).contiguous().permute(0, 1, 4, 2, 3)


def cut(images: Tensor, top: Tensor, left: Tensor, side: int) -> Tensor:
    """Cuts square patches, each at a place of its own, which must lie inside the image.

    Args:
        images: (B, C, H, W).
        top: int64 (B, N), the patches' first rows.
        left: int64 (B, N), their first columns.
        side: pixels of a patch.

    Returns:
        (B, N, C, side, side), each patch channels_last.
    """
    pixel = torch.arange(side, device=images.device)
    sample = torch.arange(len(images), device=images.device).view(-1, 1, 1, 1)
    rows, columns = top[..., None, None] + pixel[:, None], left[..., None, None] + pixel  # [B, N, side, 1 | side]
    return images.permute(0, 2, 3, 1)[sample, rows, columns].permute(0, 1, 4, 2, 3)
