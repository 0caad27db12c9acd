"""Context prediction's remedies against chromatic aberration (Doersch et al. 2015, arXiv:1505.05192, section 3.1).

A lens bends colors apart, more so away from its center, which would tell where a patch lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from sslfast.random.key import Key, Stream
from sslfast.views.color_spaces import Mix, from_rgb, mix, to_rgb

PLACES = 2**16  # where the noise of a patch may start
# I - a^T a / (a a^T) for a = (-1, 2, -1), the axis from magenta to green.
PROJECTION: Mix = ((5 / 6, 1 / 3, -1 / 6), (1 / 3, 1 / 3, 1 / 3), (-1 / 6, 1 / 3, 5 / 6))


def project_colors(views: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Takes the difference of green against magenta from each pixel, as lenses shift the two apart.

    Args:
        views: (B, 3, H, W), normalized.
        mean: of red, green, blue over [0, 1]; data.mean.
        std: standard deviation of the same; data.std.

    Returns:
        Of the same shape, float32, normalized.
    """
    return from_rgb(mix(to_rgb(views, mean, std), PROJECTION), mean, std)


def drop_colors(patches: Tensor, key: Key, probability: float = 1.0) -> Tensor:
    """Keeps one random color channel of each patch; the others become noise.

    The noise is normal about 0, the mean of a normalized view, with a hundredth of the standard deviation of the
    kept channel. Each patch cuts it, at a random place, out of one row of numbers that is sampled anew every
    epoch: a number for each pixel would cost more than all else that is done to the patches. Ours.

    Args:
        patches: (B, N, 3, h, w), normalized, any floating dtype; single views: (B, 1, 3, S, S).
        key: of the B samples.
        probability: of a patch to lose its colors; the paper's 1. CPC v2 (Henaff et al. 2020) drops some.

    Returns:
        Of the same shape and dtype.
    """
    if not probability:
        return patches
    count, channels = patches.shape[1:3]
    chance, choice = key.uniform(Stream.DROPPED, 2, count).unbind(1)  # [B, N] each
    is_kept = (choice * channels).long()[:, :, None] == torch.arange(channels, device=patches.device)
    is_kept = is_kept[..., None, None]  # [B, N, 3, 1, 1]
    spread = torch.where(is_kept, patches, 0).sum(2, keepdim=True).std((3, 4), correction=0, keepdim=True)
    noise = _noise(key, patches.permute(0, 1, 3, 4, 2)).permute(0, 1, 4, 2, 3)
    untouched = is_kept | (chance >= probability)[..., None, None, None]
    return torch.where(untouched, patches, noise * (spread / 100))


def _noise(key: Key, patches: Tensor) -> Tensor:
    """Draws normal numbers, of the shape and dtype of patches (B, N, h, w, 3), each from one of PLACES on."""
    size = patches[0, 0].numel()
    row = replace(key, index=key.index.new_zeros(1)).normal(Stream.NOISE, PLACES - 1 + size)
    windows = row[0].to(patches.dtype).unfold(0, size, 1)  # [PLACES, size]
    return windows[key.integers(Stream.NOISE_PLACE, PLACES, patches.shape[1])].view(patches.shape)
