"""Views of images that the host has drawn the numbers for: whole ones, or of crops that DALI has made."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sslfast.data.draws.reference import ViewDraws
from sslfast.device import to_device
from sslfast.kernels import view_augment


def augment(
    images: Tensor | list[Tensor],
    draws: ViewDraws,
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Makes a whole view of decoded images, from the crop on.

    Args:
        images: uint8 or uint16 (B, H, W, C), or (H, W, C) each, of a size of its own; on the CPU.
        draws: of the same B samples.
        size: S, side of the views, in pixels.
        mean: of each channel over [0, 1].
        std: standard deviation of the same.
        dtype: of the result.

    Returns:
        (B, C, S, S), channels_last.
    """
    table = torch.from_numpy(draws.table())
    return view_augment(images, table, size=size, mean=mean, std=std, dtype=dtype)


def finish(
    crops: Tensor,
    draws: ViewDraws,
    mean: Sequence[float],
    std: Sequence[float],
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Makes a view of crops: color jitter, grayscale, Gaussian blur, solarization and normalization.

    Args:
        crops: uint8 (B, 3, S, S); best channels_last, as DALI's are.
        draws: of the same B samples; boxes and flips are not looked at.
        mean, std, dtype: as for `augment`.

    Returns:
        (B, 3, S, S), channels_last.
    """
    table = to_device(draws.table(), crops.device)
    images = crops.permute(0, 2, 3, 1)
    return view_augment(images, table, size=crops.shape[-1], mean=mean, std=std, crop=False, dtype=dtype)
