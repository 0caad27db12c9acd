"""The launches of view_augment's Triton kernels."""

from collections.abc import Sequence

import torch
import triton
from torch import Tensor

from sslfast.kernels.view_augment.reference import blur_window
from sslfast.kernels.view_augment.triton_kernels import choose_config, column_kernel, crop_kernel, view_kernel


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
    """Makes views (B, 3, size, size), channels_last."""
    images, draws = images.contiguous(), draws.contiguous()
    rows_or_none = draws if rows is None else rows.contiguous()
    n, h, w, _ = images.shape
    b, c = len(draws), choose_config(size)
    blocks, radius = triton.cdiv(size, c.BR), blur_window(size) // 2
    out = torch.empty((b, 3, size, size), dtype=dtype, device=images.device, memory_format=torch.channels_last)
    planes, sums = draws.new_empty((b, 3, size, size)), draws.new_empty((b, blocks))
    center, inverse_std = tuple(mean), tuple(1 / s for s in std)
    shape = {"BR": c.BR, "BW": c.BW, "num_warps": c.num_warps}
    source = {"HAS_ROWS": rows is not None, "CROP": crop, **shape}
    if b:
        with torch.cuda.device_of(images):
            if blocks > 1:
                crop_kernel[(b, blocks)](images, draws, rows_or_none, sums, planes, n, h, w, size, **source)
            view_kernel[(b, blocks)](
                images, draws, rows_or_none, sums, planes, out, n, h, w, size, radius, center, inverse_std,
                BLOCKS=triton.next_power_of_2(blocks), maxnreg=c.maxnreg, **source,
            )  # fmt: skip
            if blocks > 1:
                column_kernel[(b, blocks)](draws, planes, out, size, radius, center, inverse_std, **shape)
    return out
