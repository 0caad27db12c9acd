"""The patches of context prediction (Doersch, Gupta, Efros 2015, arXiv:1505.05192)."""

from __future__ import annotations

import torch
from torch import Tensor

from sslfast.random.key import Key, Stream
from sslfast.views.tiles import check_patch, cut, side_of


def context_pair(
    images: Tensor, key: Key, patch: int = 96, gap: int | None = None, jitter: int | None = None
) -> tuple[Tensor, Tensor]:
    """Cuts out a patch and one of its eight neighbors, and tells which of them it is.

    The paper takes patches of 96 pixels, about half a patch apart, each moved by up to 7 pixels both ways, so that
    neither edges nor their continuation tell the position (section 3). A center is sampled from the places where
    all eight neighbors would lie in the image, so that its own place tells nothing.

    Args:
        images: (B, C, S, S), any floating dtype.
        key: of the B samples.
        patch: side of a patch, pixels.
        gap: pixels between a patch and its neighbor, before the jitter; None: patch / 2.
        jitter: pixels that each patch is moved by at most, in either direction; None: 7 / 96 of the patch.

    Returns:
        (patches (B, 2, C, patch, patch), each channels_last: center and neighbor;
        int64 (B,): the neighbor's position, 0 to 7 in reading order around the center).

    Raises:
        ValueError: patches smaller than a pixel, or too large for the image.
    """
    side = side_of("context_pair", images)
    check_patch("context_pair", patch, side, "the side of the images")
    gap = patch // 2 if gap is None else gap
    jitter = round(patch * 7 / 96) if jitter is None else jitter
    if gap < 0 or jitter < 0:
        raise ValueError(f"context_pair: expected gap and jitter of at least 0, got gap={gap}, jitter={jitter}")
    if (needed := 3 * patch + 2 * (gap + jitter)) > side:
        raise ValueError(
            f"context_pair: 3 patches of {patch} pixels with gap={gap} and jitter={jitter} need {needed} pixels, "
            f"got images of {side}; take patch={side * 96 // 398} or larger images"
        )
    position = key.integers(Stream.NEIGHBOR, 8)
    cell = position + (position >= 4)  # of 3 x 3 cells, whose middle one is the center
    away = torch.stack((cell // 3 - 1, cell % 3 - 1), dim=1) * (patch + gap)  # [B, 2]: down, right
    center = key.integers(Stream.PLACE, side - needed + 1, 2) + (patch + gap + jitter)
    moved = key.integers(Stream.SHIFT, 2 * jitter + 1, 2, 2) - jitter  # [B, down and right, patch]
    top, left = (torch.stack((center, center + away), dim=2) + moved).unbind(1)
    return cut(images, top, left, patch), position
