"""The head that both forms of LEWEL share (Huang, You, Zheng, Wang, Qian, Yamasaki 2022, arXiv:2203.14898).

"Learning Where to Learn in Cross-View Self-Supervised Learning": the projector of the pooled features, applied to
each pixel's, predicts maps that say where to pool, and a second loss is taken of what is pooled under them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast import kernels as K
from sslfast.config.fields import STRICT, Count, Probability
from sslfast.distributed import local_rows, world_size
from sslfast.errors import UsageError


@dataclass(config=STRICT)
class LEWELConfig:
    name: str
    dim: Count = 128
    """Width of the global embedding, and number of alignment maps (d)."""
    aligned_dim: Count = 128
    """Width of an aligned embedding (c)."""
    groups: Count = 4
    """Number of groups of channels (h), each pooled under maps of its own; there are d / h aligned embeddings."""
    group_order: Literal["published", "paper"] = "published"
    """Maps of a group. published: d / h that follow each other, as in LEWEL_B's code; paper: every h-th, as in
    equation 2. The one is the other with the projector's outputs permuted."""
    beta: Probability = 0.5
    """Share of the aligned loss; that of the global loss is 1 - beta."""
    maps: Literal["coupled", "separate", "random", "gap"] = "coupled"
    """Source of the maps: the projector itself, a head of their own, or chance; gap: global pooling instead."""


class AlignedHead(nn.Module):
    """A map of features (B, D, H, W) -> the global embedding (B, d) and aligned embeddings (B, d / h, c).

    The projector g takes pooled features and pixels in one batch, so that its batch normalization has statistics
    of both, as in the code published for LEWEL_B.

    Args:
        channels: D.
        config: d, c, h and where the maps come from.
        head: output width -> a new projector of features.

    Raises:
        UsageError: h does not divide both D and d.
    """

    def __init__(self, channels: int, config: LEWELConfig, head: Callable[[int], nn.Module]) -> None:
        super().__init__()
        if channels % config.groups or config.dim % config.groups:
            raise UsageError(
                f"method.groups={config.groups}: expected a divisor of the encoder's {channels} channels and of "
                f"method.dim={config.dim}"
            )
        self.maps, self.groups, self.dim = config.maps, config.groups, config.dim
        self.group_order = config.group_order
        self.projector = head(config.dim)  # g
        self.aligned_projector = head(config.aligned_dim)  # p
        self.map_projector = head(config.dim) if config.maps == "separate" else None

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        z, pooled, scores = self._scored(features)
        if scores is not None:
            pooled = K.aligned_pooling(
                features, scores, groups=self.groups, order=self.group_order
            )  # [B, d / h, D]
        return z, _apply(self.aligned_projector, pooled)

    def alignment_maps(self, features: Tensor) -> Tensor | None:
        """Computes the maps (B, d, H, W) under which `forward` pools these features; None without maps.

        A map is the weights of the positions (equation 1): none is negative, and their sum is 1.
        """
        _, _, scores = self._scored(features)
        if scores is None:
            return None
        return F.normalize(scores, dim=1).flatten(2).softmax(2).unflatten(2, features.shape[2:])

    def _scored(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Computes z (B, d), globally pooled features (B, 1, D), and the maps' scores (B, d, H, W)."""
        pixels = features.flatten(2).mT  # [B, H * W, D]
        pooled = pixels.mean(1, keepdim=True)  # [B, 1, D]
        z, scores = self._project(pooled, pixels)
        return z, pooled, None if scores is None else scores.mT.unflatten(2, features.shape[2:])

    def _project(self, pooled: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        """Computes z (B, d), and the maps' scores (B, H * W, d) before normalization, None without maps."""
        if self.maps == "coupled":
            rows = _apply(self.projector, torch.cat([pooled, pixels], dim=1))
            return rows[:, 0], rows[:, 1:]
        z: Tensor = self.projector(pooled[:, 0])
        if self.map_projector is not None:
            return z, _apply(self.map_projector, pixels)
        if self.maps == "random":  # normal scores: ours
            batch, places, _ = pixels.shape
            scores = torch.randn(world_size() * batch, places, self.dim, dtype=pixels.dtype, device=pixels.device)
            return z, local_rows(scores)
        return z, None


def _apply(network: nn.Module, rows: Tensor) -> Tensor:
    """Computes a network's outputs (B, N, output width) of rows (B, N, D), all in one batch."""
    output: Tensor = network(rows.flatten(0, 1)).unflatten(0, rows.shape[:2])
    return output
