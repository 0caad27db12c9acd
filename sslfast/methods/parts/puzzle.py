"""Puzzles of patches, which pretext tasks share: a class follows from how the patches were cut or ordered."""

from __future__ import annotations

from abc import abstractmethod
from typing import TypeVar

import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count
from sslfast.data import Batch
from sslfast.encoders import Encoder
from sslfast.methods.base import Method
from sslfast.methods.parts.heads import mlp
from sslfast.views import Key


def classified(logits: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Computes the cross-entropy of logits (N, classes) with int64 (N,), and how often the right class wins."""
    return F.cross_entropy(logits, target), {"accuracy": (logits.argmax(1) == target).float().mean()}


@dataclass(config=STRICT)
class PuzzleConfig:
    name: str
    patch: Count | None = None
    """Side of a patch, pixels; null: in the paper's proportion to the view."""
    trunk: Count = 4096
    """Width of the layer that each patch passes before all are joined."""
    hidden: tuple[Count, ...] = (4096,)
    """Widths of the hidden layers after the patches are joined."""
    head_norm: bool = False
    """Batch normalization in the trunk and the hidden layers."""


PuzzleSettings = TypeVar("PuzzleSettings", bound=PuzzleConfig)


class Puzzle(Method[PuzzleSettings, None]):
    """Patches pass one trunk; a head that sees all of them side by side tells how they were made.

    Args:
        num_patches: how many patches of an image there are.
        num_classes: how many answers there are.
    """

    num_views = 1
    adds_up = True

    def __init__(
        self, recipe: Recipe[PuzzleSettings], encoder: Encoder, num_images: int, num_patches: int, num_classes: int
    ) -> None:
        super().__init__(recipe, encoder, num_images)
        config = self.config
        layer = mlp(encoder.feature_dim, config.trunk, last_norm="affine" if config.head_norm else "none")
        self.trunk = nn.Sequential(layer, nn.ReLU(inplace=True))
        self.head = mlp(num_patches * config.trunk, *config.hidden, num_classes, norm=config.head_norm)

    @abstractmethod
    def puzzle(self, view: Tensor, key: Key) -> tuple[Tensor, Tensor]:
        """Makes patches (B, N, C, p, p) of views (B, C, S, S), and the answer, int64 (B,)."""

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], None]:
        patches, answer = self.puzzle(batch.views[0], batch.key())
        features = self.trunk(self.encoder(patches.flatten(0, 1)))
        return *classified(self.head(features.view(len(answer), -1)), answer), None
