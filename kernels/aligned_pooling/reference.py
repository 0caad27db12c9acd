"""Aligned pooling in plain PyTorch: the specification of the op."""

import torch
from torch import Tensor
from torch.nn import functional as F


def aligned_pooling(features: Tensor, maps: Tensor, groups: int, interleaved: bool) -> Tensor:
    """Pools features (B, D, P) under maps (B, d, P): (B, d / groups, D), in the features' dtype."""
    b, channels, positions = features.shape
    wide = torch.promote_types(maps.dtype, torch.float32)
    weights = F.normalize(maps.to(wide), dim=1).softmax(dim=2).to(features.dtype)  # (B, d, P)
    if interleaved:
        weights = weights.unflatten(1, (-1, groups)).transpose(1, 2)
    else:
        weights = weights.unflatten(1, (groups, -1))  # (B, groups, d / groups, P)
    grouped = features.reshape(b, groups, channels // groups, positions)
    pooled = weights @ grouped.transpose(2, 3)  # (B, groups, d / groups, D / groups)
    return pooled.transpose(1, 2).flatten(2)
