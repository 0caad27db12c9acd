"""The regions that are hidden of a view, to be painted in (Pathak et al. 2016, arXiv:1604.07379, section 3.3)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from sslfast.random.key import Key
from sslfast.views.masks import block_mask

HIDDEN = 0.25  # of the area
CELLS = 16  # along a side, of which blocks are made


def inpainting_regions(
    key: Key, side: int, form: Literal["center", "blocks"], overlap: int
) -> tuple[Tensor, Tensor]:
    """Samples what is hidden of square views, and what of them is to be predicted.

    The paper's central region, half as high and wide as the view, is predicted whole, and is visible in a frame of
    `overlap` pixels within it. Its random blocks may lie upon each other and cover up to a quarter of the image;
    ours, those of `block_mask` on 16 x 16 cells, cover a quarter, and the frame lies around them.

    Args:
        key: of the samples.
        side: of the views, pixels; at least 4.
        form: center or blocks.
        overlap: width of the frame in pixels, which is visible and predicted all the same.

    Returns:
        (hidden, predicted), bool (B, S, S) each, the hidden pixels being among those predicted.

    Raises:
        ValueError: a frame that leaves nothing of the center to hide, or of a negative width; too small views.
    """
    if side < 4 or not 0 <= overlap < max(side // 4, 1):
        raise ValueError(
            f"inpainting_regions: expected views of at least 4 pixels and a frame of 0 to {max(side // 4, 1) - 1},"
            f" got {side} pixels and overlap={overlap}"
        )
    place = torch.arange(side, device=key.index.device)
    if form == "center":
        first, last = side // 4, side // 4 + side // 2
        inner, outer = (_square(place, first + margin, last - margin) for margin in (overlap, 0))
        return inner.expand(len(key.index), -1, -1), outer.expand(len(key.index), -1, -1)
    cells = min(CELLS, side)
    blocks = block_mask(key, cells, (HIDDEN, HIDDEN)).unflatten(1, (cells, cells))
    cell = place * cells // side
    hidden = blocks[:, cell][:, :, cell]
    reach = 2 * overlap + 1
    return hidden, F.max_pool2d(hidden[:, None].float(), reach, stride=1, padding=overlap)[:, 0] > 0


def _square(place: Tensor, first: int, last: int) -> Tensor:
    """Marks the pixels from `first` to before `last` in both directions, bool (S, S)."""
    within = (place >= first) & (place < last)
    return within[:, None] & within[None, :]
