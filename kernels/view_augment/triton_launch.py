"""The launches of the Triton kernels."""

from collections.abc import Sequence

import torch
import triton
from torch import Tensor

from sslfast.kernels.view_augment.reference import blur_window
from sslfast.kernels.view_augment.triton_kernels import config, gray_kernel, view_kernel


def view_augment(
    images: Tensor,
    draws: Tensor,
    rows: Tensor | None,
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    crop: bool,
    dtype: torch.dtype,
) -> Tensor:
    """Views (B, 3, size, size), channels_last."""
    images, draws = images.contiguous(), draws.contiguous()
    rows_or_none = draws if rows is None else rows.contiguous()
    _, h, w, _ = images.shape
    b, c = len(draws), config(size)
    out = torch.empty((b, 3, size, size), dtype=dtype, device=images.device, memory_format=torch.channels_last)
    tiles = triton.cdiv(size, c.BT) ** 2
    sums = draws.new_empty((b, tiles))
    options = {"HAS_ROWS": rows is not None, "CROP": crop, "BT": c.BT, "num_warps": c.num_warps}
    if b:
        with torch.cuda.device_of(images):
            if tiles > 1:
                gray_kernel[(b, tiles)](images, draws, rows_or_none, sums, h, w, size, **options)
            view_kernel[(b, tiles)](
                images, draws, rows_or_none, sums, out, h, w, size, blur_window(size) // 2,
                *mean, *(1 / s for s in std), BI=c.BI, TILES=triton.next_power_of_2(tiles), **options,
            )  # fmt: skip
    return out
