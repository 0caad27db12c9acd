"""CPC's overlapping patches (van den Oord et al. 2018, arXiv:1807.03748, section 3.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sslfast.random.key import Key, Stream
from sslfast.views.tiles import check_patch, cut, grid, side_of


def patch_grid(images: Tensor, patch: int | None = None, stride: int | None = None) -> Tensor:
    """Cuts overlapping square patches out of views, in reading order.

    The paper takes 7 x 7 patches of 64 pixels that overlap by half from images of 256 pixels. The defaults keep
    that at other sizes: a quarter of the side, half a patch apart. At 32 pixels: 7 x 7 patches of 8.

    Args:
        images: (B, C, S, S), any floating dtype.
        patch: side of a patch, pixels; None: S / 4.
        stride: pixels from a patch to the next; None: patch / 2.

    Returns:
        (B, n * n, C, patch, patch), n = (S - patch) / stride + 1; each patch channels_last.

    Raises:
        ValueError: patches smaller than a pixel, larger than the image, or that leave a margin uncovered.
    """
    side = side_of("patch_grid", images)
    patch = side // 4 if patch is None else patch
    check_patch("patch_grid", patch, side, "the side of the images")
    stride = max(1, patch // 2) if stride is None else stride
    if stride < 1:
        raise ValueError(f"patch_grid: expected a stride of at least a pixel, got stride={stride}")
    if rest := (side - patch) % stride:
        raise ValueError(
            f"patch_grid: patches of {patch} pixels, {stride} apart, leave {rest} of {side} pixels uncovered; "
            f"take images of {side - rest} pixels"
        )
    return grid(images, patch, stride)


def shift_patches(patches: Tensor, key: Key, margin: int = 2) -> Tensor:
    """Cuts a random window out of each patch and surrounds it with zeros, so that positions cannot be told by it.

    The paper cuts 60 x 60 out of 64 x 64 and pads it back (section 3.2). Zero is a normalized view's mean color.

    Args:
        patches: (B, N, C, p, p), any floating dtype.
        key: of the B samples.
        margin: width of the zeros, pixels; a window moves by up to so many pixels, in either direction.

    Returns:
        Of the same shape, each patch channels_last.

    Raises:
        ValueError: nothing of a patch would be left.
    """
    samples, count, side = len(patches), patches.shape[1], patches.shape[-1]
    if margin < 0 or 2 * margin >= side:
        raise ValueError(
            f"shift_patches: expected a margin of less than half of {side} pixels, got margin={margin}"
        )
    top, left = key.integers(Stream.SHIFT, 2 * margin + 1, 2, count).unbind(1)
    windows = cut(patches.flatten(0, 1), top.reshape(-1, 1), left.reshape(-1, 1), side - 2 * margin)
    padded = F.pad(windows.permute(0, 1, 3, 4, 2), (0, 0, margin, margin, margin, margin))
    return padded.view(samples, count, side, side, -1).permute(0, 1, 4, 2, 3)


def flip_patches(patches: Tensor, key: Key, probability: float = 0.5) -> Tensor:
    """Mirrors some patches left to right, each at random by itself, as CPC v2 does.

    Args:
        patches: (B, N, C, h, w).
        key: of the B samples.
        probability: of a patch to be mirrored.

    Returns:
        Of the same shape and dtype.
    """
    flipped = key.uniform(Stream.FLIP, patches.shape[1]) < probability
    return torch.where(flipped[..., None, None, None], patches.flip(-1), patches)
