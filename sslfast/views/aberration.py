"""Context prediction's remedies against chromatic aberration (Doersch et al. 2015, arXiv:1505.05192, section 3.1).

A lens bends colours apart, more so away from its centre, which would tell where a patch lies.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sslfast.views.color_spaces import Mix, from_rgb, mix, to_rgb
from sslfast.views.draws import Key, Stream

# I - a^T a / (a a^T) for a = (-1, 2, -1), the axis from magenta to green.
PROJECTION: Mix = ((5 / 6, 1 / 3, -1 / 6), (1 / 3, 1 / 3, 1 / 3), (-1 / 6, 1 / 3, 5 / 6))


def project_colors(views: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Takes from each pixel what it has of green against magenta, which lenses shift against each other.

    Args:
        views: (B, 3, H, W), normalised.
        mean: of red, green, blue over [0, 1]; data.mean.
        std: standard deviation of the same; data.std.

    Returns:
        Of the same shape, float32, normalised.
    """
    return from_rgb(mix(to_rgb(views, mean, std), PROJECTION), mean, std)


def drop_colors(patches: Tensor, key: Key, probability: float = 1.0) -> Tensor:
    """Keeps one colour channel of each patch, drawn at random; the others become noise.

    The noise is normal about 0, the mean of a normalised view, with a hundredth of the standard deviation of the
    kept channel.

    Args:
        patches: (B, N, 3, h, w), normalised, any floating dtype; single views: (B, 1, 3, S, S).
        key: of the B samples.
        probability: of a patch to lose its colours; the paper's 1. CPC v2 (Henaff et al. 2020) drops some.

    Returns:
        Of the same shape and dtype.
    """
    if not probability:
        return patches
    count, channels, height, width = patches.shape[1:]
    chance, choice = key.uniform(Stream.DROPPED, 2, count).unbind(1)  # [B, N] each
    kept = (choice * channels).long()[:, :, None] == torch.arange(channels, device=patches.device)
    kept = kept[..., None, None]  # [B, N, 3, 1, 1]
    spread = torch.where(kept, patches, 0).sum(2, keepdim=True).std((3, 4), correction=0, keepdim=True)
    noise = key.normal(Stream.NOISE, count, height, width, channels).to(patches.dtype).permute(0, 1, 4, 2, 3)
    untouched = kept | (chance >= probability)[..., None, None, None]
    return torch.where(untouched, patches, noise * (spread / 100))
