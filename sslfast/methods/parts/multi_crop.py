"""Crops of several sizes, and unit embeddings of them, which SwAV, DeepCluster v2 and DINO share."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TypeVar

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, Positive
from sslfast.encoders import Encoder
from sslfast.errors import UsageError
from sslfast.methods.base import Kept, Method
from sslfast.methods.parts.heads import mlp


@dataclass(config=STRICT)
class MultiCropConfig:
    name: str
    dim: Count = 128
    """Width of an embedding."""
    hidden: Count = 2048
    """Width of the head's hidden layer, which batch normalization follows."""
    temperature: Positive = 0.1
    """Divisor of the scores of embeddings against prototypes."""
    global_crops: Count = 2
    """Number of first views that give the assignments; all views learn from them."""


MultiCropSettings = TypeVar("MultiCropSettings", bound=MultiCropConfig)


class MultiCrop(Method[MultiCropSettings, Kept]):
    """An encoder and a head for any number of views, of any sizes (Caron et al. 2020, section 3.3)."""

    num_views = None

    def __init__(self, recipe: Recipe[MultiCropSettings], encoder: Encoder, num_images: int) -> None:
        super().__init__(recipe, encoder, num_images)
        self.head = mlp(encoder.feature_dim, self.config.hidden, self.config.dim, norm=True)

    def embed(self, views: tuple[Tensor, ...]) -> list[Tensor]:
        """Computes unit embeddings (B, dim) of each view, (B, C, S, S); they all pass the head together."""
        return list(F.normalize(self.head(encode_crops(self.encoder, views)), dim=1).chunk(len(views)))

    @classmethod
    def check(cls, recipe: Recipe[MultiCropSettings], num_images: int) -> None:
        check_crops(recipe)


def encode_crops(encoder: nn.Module, views: Sequence[Tensor]) -> Tensor:
    """Computes the features (V * B, D) of V views, each (B, C, S, S): those of the first view, and so on.

    As in the code of SwAV and DINO neighboring views of one size pass the encoder together, so that batch
    normalization sees them together.
    """
    sizes = [list(group) for _, group in groupby(views, key=lambda view: view.shape[-1])]
    return torch.cat([encoder(torch.cat(group)) for group in sizes])


def check_crops(recipe: Recipe[MultiCropSettings]) -> None:
    """Refuses a recipe without two views, or without its global crops among them.

    Raises:
        UsageError: it has not.
    """
    num_views, num_global = len(recipe.data.views), recipe.method.global_crops
    if num_views < 2 or num_global > num_views:
        raise UsageError(
            f"data.views: expected at least 2 views, and the method.global_crops={num_global} first among "
            f"them, got {num_views}"
        )
