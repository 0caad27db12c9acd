"""Context prediction's remedy against chromatic aberration (Doersch et al. 2015, arXiv:1505.05192, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor

from sslfast.views.draws import Key, Stream


def drop_colors(patches: Tensor, key: Key, probability: float = 1.0) -> Tensor:
    """Keeps one colour channel of each patch, drawn at random; the others become noise.

    A lens bends colours apart, more so away from its centre, which would tell where a patch lies. The noise is
    normal about 0, the mean of a normalised view, with a hundredth of the standard deviation of the kept channel.

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
