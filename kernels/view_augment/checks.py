"""Checks of view_augment's arguments."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sslfast.kernels.common import checks
from sslfast.kernels.view_augment import reference
from sslfast.kernels.view_augment.draw import Draw

LEVELS = (torch.uint8, torch.uint16)  # of the images
RESULTS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def check_batch(images: Tensor, draws: Tensor, rows: Tensor | None, size: int, crop: bool, channels: int) -> None:
    """Raises ValueError for a batch of images of one size, or draws or rows of it, that do not fit."""
    if images.ndim != 4 or images.shape[-1] != channels or 0 in images.shape[1:3] or images.dtype not in LEVELS:
        raise ValueError(
            f"view_augment: expected images of shape (B, H, W, {channels}), uint8 or uint16, "
            f"got {tuple(images.shape)}, {images.dtype}"
        )
    if not crop and images.shape[1:3] != (size, size):
        raise ValueError(
            f"view_augment: expected images of shape (B, {size}, {size}, {channels}) to finish without a crop, "
            f"got {tuple(images.shape)}"
        )
    if rows is not None and (rows.ndim != 1 or rows.dtype != torch.int64):
        raise ValueError(
            f"view_augment: expected rows of shape (B,), torch.int64, got {tuple(rows.shape)}, {rows.dtype}"
        )
    _check_draws(draws, len(images if rows is None else rows))
    for name, tensor in (("draws", draws), ("rows", rows)):
        if tensor is not None and tensor.device != images.device:
            raise ValueError(
                f"view_augment: expected {name} on {images.device} to match images, got {tensor.device}"
            )


def check_inside(images: Tensor, draws: Tensor, rows: Tensor | None, crop: bool, sample: int = 0) -> None:
    """Raises RuntimeError, as the kernel does, for the first sample on the CPU whose row or box lies outside."""
    if draws.device.type != "cpu" or torch.compiler.is_compiling():
        return
    for i in reference.is_outside(images, draws, rows, crop).nonzero().flatten().tolist():
        count, height, width, _ = images.shape
        if rows is not None and not 0 <= rows[i] < count:
            raise RuntimeError(f"view_augment: expected rows in [0, {count}), got {int(rows[i])} for sample {i}")
        top, left, box_height, box_width = draws[i, : Draw.WIDTH + 1].tolist()
        raise RuntimeError(
            f"view_augment: expected boxes inside images of {height}x{width}, got top {top:g}, left {left:g}, "
            f"height {box_height:g}, width {box_width:g} for sample {sample + i}"
        )


def check_list(images: Sequence[Tensor], draws: Tensor, rows: Tensor | None, crop: bool, channels: int) -> None:
    """Raises ValueError for a list of images, each of a size of its own, or draws of it, that do not fit."""
    if rows is not None or not crop:
        given = "crop=False" if rows is None else "rows"
        raise ValueError(f"view_augment: expected a list of images without {given}; pass one tensor of them")
    checks.check_tensors("view_augment", **{f"images[{i}]": image for i, image in enumerate(images)})
    for i, image in enumerate(images):
        if image.ndim != 3 or image.shape[-1] != channels or 0 in image.shape or image.dtype not in LEVELS:
            raise ValueError(
                f"view_augment: expected images[{i}] of shape (H, W, {channels}), uint8 or uint16, "
                f"got {tuple(image.shape)}, {image.dtype}"
            )
        if image.device != draws.device:
            raise ValueError(
                f"view_augment: expected images[{i}] on {draws.device} to match draws, got {image.device}"
            )
    _check_draws(draws, len(images))


def _check_draws(draws: Tensor, samples: int) -> None:
    expected = (samples, len(Draw))
    if draws.shape != expected or draws.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"view_augment: expected draws of shape {expected}, torch.float32, "
            f"got {tuple(draws.shape)}, {draws.dtype}"
        )


def check_numbers(size: int, mean: Sequence[float], std: Sequence[float], dtype: torch.dtype) -> None:
    """Raises ValueError for what the views shall be, where it is out of range."""
    if size < 2:
        raise ValueError(f"view_augment: expected a size >= 2, got {size}")
    if not std or min(std) <= 0:
        raise ValueError(f"view_augment: expected a std of {len(mean)} numbers > 0, got {std!r}")
    if len(mean) != len(std):
        raise ValueError(f"view_augment: expected a mean of {len(std)} numbers, got {mean!r}")
    if dtype not in RESULTS:
        raise ValueError(f"view_augment: expected dtype to be one of {RESULTS}, got {dtype}")
