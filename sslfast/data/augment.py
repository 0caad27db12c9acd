"""What the pipelines do to a batch on its device, by the op `view_augment` where it is augmented."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sslfast.data.draws.reference import ViewDraws
from sslfast.device import to_device
from sslfast.kernels import view_augment


def finish(
    crops: Tensor,
    draws: ViewDraws,
    mean: Sequence[float],
    std: Sequence[float],
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Colour jitter, grayscale, Gaussian blur, solarisation and normalisation: what follows the crop.

    Args:
        crops: uint8 (B, 3, S, S); best channels_last, as DALI's are.
        draws: of the same B samples; boxes and flips are not looked at.
        mean: of red, green, blue over [0, 1].
        std: standard deviation of the same.
        dtype: of the result.

    Returns:
        (B, 3, S, S), channels_last.
    """
    table = to_device(draws.table(), crops.device)
    images = crops.permute(0, 2, 3, 1)
    return view_augment(images, table, size=crops.shape[-1], mean=mean, std=std, crop=False, dtype=dtype)


def augment(
    images: Tensor | list[Tensor],
    draws: ViewDraws,
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """All of a view, crop and flip too.

    Args:
        images: uint8 (B, H, W, 3), or (H, W, 3) each, of a size of its own; on the CPU.
        draws: of the same B samples.
        size: S, side of the views, in pixels.
        mean, std, dtype: as for `finish`.

    Returns:
        (B, 3, S, S), channels_last.
    """
    table = torch.from_numpy(draws.table())
    return view_augment(images, table, size=size, mean=mean, std=std, dtype=dtype)


@torch.no_grad()
def normalize(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """What `finish` does to views without any of their augmentations; the same arguments, and float32."""
    x = images.to(torch.float32, memory_format=torch.channels_last, copy=True).div_(255)
    center, spread = to_device(np.array([mean, std], dtype=np.float32), x.device).view(2, 3, 1, 1)
    return x.sub_(center).div_(spread)
