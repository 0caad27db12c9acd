"""Masks of patches, in blocks, as BEiT and iBOT hide them (Bao et al. 2022, arXiv:2106.08254, algorithm 1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sslfast.random.key import Key, Stream

BLOCKS = 8  # at most, of a mask
SMALLEST = 4  # patches of a block
LOG_RATIO = math.log(1 / 0.3)  # a block's height over its width is from 0.3 to 1 / 0.3


def block_mask(key: Key, side: int, share: tuple[float, float], probability: float = 1.0) -> Tensor:
    """Samples masks of side x side patches that hide rectangles of neighbors.

    BEiT adds blocks, each of at most what is missing, until enough is hidden. Ours takes the same operations for
    every image: of eight blocks of up to the mask's size one after the other is taken, the last in part, and what
    they leave open is filled with single patches.

    Args:
        key: of the samples.
        side: patches along a side.
        share: of the patches that are hidden, least and most, between which it is uniform.
        probability: that a sample has a mask at all.

    Returns:
        bool (B, side * side), true where a patch is hidden; patches are counted row by row.
    """
    numbers = key.uniform(Stream.MASK, 2 + 4 * BLOCKS + side * side)
    whether, how_many, blocks, ties = numbers.split([1, 1, 4 * BLOCKS, side * side], dim=1)
    num_hidden = ((share[0] + (share[1] - share[0]) * how_many) * side * side).long()  # [B, 1]
    num_hidden = torch.where(whether < probability, num_hidden, 0)

    area, ratio, top, left = blocks.unflatten(1, (4, BLOCKS)).unbind(1)  # [B, BLOCKS]
    area = SMALLEST + (num_hidden - SMALLEST).clamp(min=0) * area
    root = ((2 * ratio - 1) * LOG_RATIO / 2).exp()  # of the ratio
    rows = _covered((area.sqrt() * root).round().clamp(1, side), top, side)
    columns = _covered((area.sqrt() / root).round().clamp(1, side), left, side)
    covered = rows[:, :, :, None] & columns[:, :, None, :]  # [B, BLOCKS, side, side]

    number = torch.arange(BLOCKS, device=ties.device)[:, None, None]
    first = torch.where(covered, number, BLOCKS).amin(dim=1).flatten(1)  # the first block that covers a patch
    order = (first + ties).argsort(dim=1).argsort(dim=1)
    return order < num_hidden


def _covered(length: Tensor, start: Tensor, side: int) -> Tensor:
    """Marks the places 0 to side - 1 that an interval covers, bool (B, BLOCKS, side), by where it may start."""
    first = (start * (side - length + 1)).floor()[:, :, None]
    places = torch.arange(side, device=length.device)
    return (first <= places) & (places < first + length[:, :, None])
