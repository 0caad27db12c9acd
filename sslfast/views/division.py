"""Fast-MoCo's division of a view into patches (Ci et al. 2022, arXiv:2207.08220, section 3.2)."""

from __future__ import annotations

from torch import Tensor

from sslfast.views.tiles import grid, side_of


def divide(images: Tensor, parts: int = 2, overlap: int = 0) -> Tensor:
    """Divides views into parts x parts patches, in reading order.

    The paper divides 2 x 2 without overlap, and so does MNCL. With an overlap, ours, neighbors share so many
    pixels, and patches grow until they cover the view again: S + (parts - 1) * overlap = parts * p.

    Args:
        images: (B, C, S, S), any floating dtype.
        parts: patches along a side.
        overlap: pixels that neighbors share.

    Returns:
        (B, parts**2, C, p, p), each patch channels_last.

    Raises:
        ValueError: S does not divide so, or patches would be smaller than a pixel or as large as the view.
    """
    side = side_of("divide", images)
    if not 1 <= parts <= side:
        raise ValueError(f"divide: expected 1 to {side} parts of images of {side} pixels, got parts={parts}")
    if not 0 <= overlap < side:
        raise ValueError(f"divide: expected an overlap from 0 to less than {side} pixels, got overlap={overlap}")
    patch, rest = divmod(side + (parts - 1) * overlap, parts)
    if rest:
        raise ValueError(
            f"divide: {side} pixels cannot be divided into {parts} equal parts with overlap={overlap}; "
            f"take images of {side - rest} pixels"
        )
    return grid(images, patch, patch - overlap)
