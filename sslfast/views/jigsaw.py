"""The puzzle of Jigsaw (Noroozi and Favaro 2016, arXiv:1603.09246) and PIRL (Misra and van der Maaten 2020,
arXiv:1912.01991)."""

from __future__ import annotations

import torch
from torch import Tensor

from sslfast.random.key import Key, Stream
from sslfast.views.tiles import check_patch, cut, side_of

FLAT = 0.01  # half a gray level, 0.5 / 255, over ImageNet's standard deviation


def jigsaw_cells(images: Tensor, key: Key, cells: int = 3, patch: int | None = None) -> Tensor:
    """Cuts views into cells x cells, and out of each cell a patch at a random place, in reading order.

    The gaps, random, keep a network from matching edges. Jigsaw cuts patches of 64 pixels out of cells of 75, of a
    view of 225 (section 3.2); PIRL out of cells of 85, of a view of 255 (its section 3.2), hence patch=64.

    Args:
        images: (B, C, S, S), any floating dtype; pixels beyond a multiple of `cells` are left out at the edges.
        key: of the B samples.
        cells: along a side.
        patch: side of a patch, pixels; None: 64 / 75 of a cell.

    Returns:
        (B, cells**2, C, patch, patch), each patch channels_last.

    Raises:
        ValueError: cells smaller than a pixel, or patches larger than a cell.
    """
    side = side_of("jigsaw_cells", images)
    if not 1 <= cells <= side:
        raise ValueError(
            f"jigsaw_cells: expected 1 to {side} cells a side of images of {side} pixels, got cells={cells}"
        )
    cell = side // cells
    patch = max(1, cell * 64 // 75) if patch is None else patch
    check_patch("jigsaw_cells", patch, cell, "the side of a cell")
    start = torch.arange(cells, device=images.device) * cell + side % cells // 2
    rows, columns = start.repeat_interleave(cells), start.repeat(cells)
    down, right = key.integers(Stream.CELL, cell - patch + 1, 2, cells**2).unbind(1)
    return cut(images, rows + down, columns + right, patch)


def normalize_patches(patches: Tensor) -> Tensor:
    """Brings each channel of each patch to mean 0 and standard deviation 1.

    Neighbors share their mean and contrast, which would tell that they are neighbors (Noroozi and Favaro 2016,
    who normalize "each patch independently"). Channel by channel is ours: all together, a nearly flat patch
    would show its mean color, magnified. A channel that varies by less than half a gray level is not raised to 1.

    Args:
        patches: (B, N, C, h, w), normalized, any floating dtype.

    Returns:
        Of the same shape and dtype.
    """
    x = patches.to(torch.promote_types(patches.dtype, torch.float32))
    centered = x - x.mean((3, 4), keepdim=True)
    return (centered / centered.square().mean((3, 4), keepdim=True).sqrt().clamp(min=FLAT)).to(patches.dtype)


def permuted(patches: Tensor, order: Tensor) -> Tensor:
    """Puts patch order[b, i] of sample b at place i.

    Args:
        patches: (B, N, C, h, w).
        order: int64 (B, N), permutations of range(N): rows of `permutation_set`, or `random_order`.

    Returns:
        Of the same shape as `patches`.
    """
    sample = torch.arange(len(patches), device=patches.device)[:, None]
    return patches.permute(0, 1, 3, 4, 2)[sample, order].permute(0, 1, 4, 2, 3)


def random_order(key: Key, count: int) -> Tensor:
    """Samples a permutation of range(count) for each sample, of all there are, as PIRL: int64 (B, count)."""
    return key.uniform(Stream.PERMUTATION, count).argsort(dim=1, stable=True)
