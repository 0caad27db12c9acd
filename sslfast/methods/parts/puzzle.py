"""What pretext tasks share: patches of an image, and a class that follows from how they were cut or ordered."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

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
    """The cross-entropy of logits (N, classes) with int64 (N,), and how often the right class comes first."""
    return F.cross_entropy(logits, target), {"accuracy": (logits.argmax(1) == target).float().mean()}


@dataclass(config=STRICT)
class PuzzleConfig:
    name: str
    patch: Count | None = None
    """Side of a patch, pixels; null: in the paper's proportion to the view."""
    trunk: Count = 4096
    """Width of the layer that each patch passes before they are joined."""
    hidden: tuple[Count, ...] = (4096,)
    """Widths of the hidden layers after the patches are joined."""
    head_norm: bool = False
    """Batch normalisation in these layers."""


class Puzzle(Method):
    """Patches pass one trunk; a head that sees all of them side by side tells how they were made.

    Args:
        patches: how many of an image.
        classes: how many answers there are.
    """

    Config: ClassVar[type[PuzzleConfig]]
    views = 1

    def __init__(self, recipe: Recipe, encoder: Encoder, images: int, patches: int, classes: int) -> None:
        super().__init__(recipe, encoder, images)
        config = self.config
        layer = mlp(encoder.feature_dim, config.trunk, last_norm="affine" if config.head_norm else "none")
        self.trunk = nn.Sequential(layer, nn.ReLU(inplace=True))
        self.head = mlp(patches * config.trunk, *config.hidden, classes, norm=config.head_norm)

    @abstractmethod
    def puzzle(self, view: Tensor, key: Key) -> tuple[Tensor, Tensor]:
        """Patches (B, N, 3, p, p) of views (B, 3, S, S), and the answer, int64 (B,)."""

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        patches, answer = self.puzzle(batch.views[0], Key(batch.seed, batch.epoch, batch.index))
        features = self.trunk(self.encoder(patches.flatten(0, 1)))
        return classified(self.head(features.view(len(answer), -1)), answer)
