"""What pretext tasks share: patches of an image, and a class that follows from how they were cut or ordered."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast.encoders import check_side
from sslfast.errors import UsageError
from sslfast.heads import mlp
from sslfast.methods.base import Method
from sslfast.schema import STRICT, Count
from sslfast.views import Key

if TYPE_CHECKING:
    from sslfast.config import Config as Recipe
    from sslfast.data import Batch
    from sslfast.encoders import Encoder


def classified(logits: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The cross-entropy of logits (N, classes) with int64 (N,), and how often the right class comes first."""
    return F.cross_entropy(logits, target), {"accuracy": (logits.argmax(1) == target).float().mean()}


def check_patches(recipe: Recipe, cut: Callable[[Tensor, Key], Tensor], view: int = 0) -> int:
    """Tries how a method cuts patches on an image of zeros.

    Args:
        recipe: what is to run.
        cut: (views (B, 3, S, S), their key) -> patches (B, N, 3, p, p).
        view: the number of the view that is cut.

    Returns:
        N.

    Raises:
        UsageError: the view cannot be cut so, or the encoder makes less than a pixel of a patch.
    """
    side = recipe.data.sizes[view]
    try:
        patches = cut(torch.zeros(1, 3, side, side), Key(0, 0, torch.zeros(1, dtype=torch.int64)))
    except ValueError as error:
        raise UsageError(f"{recipe.method.name}, views of {side} pixels: {error}") from error
    check_patch_side(recipe, patches.shape[-1])
    return patches.shape[1]


def check_patch_side(recipe: Recipe, side: int) -> None:
    """`encoders.check_side` of the patches of a method."""
    try:
        check_side(recipe.encoder, side)
    except UsageError as error:
        raise UsageError(f"{recipe.method.name}, patches: {error}") from error


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
