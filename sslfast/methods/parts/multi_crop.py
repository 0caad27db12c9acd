"""What SwAV and DeepCluster v2 share: crops of several sizes, and unit embeddings of them."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor

from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, Positive
from sslfast.encoders import Encoder
from sslfast.errors import UsageError
from sslfast.methods.base import Method
from sslfast.methods.parts.heads import mlp


@dataclass(config=STRICT)
class MultiCropConfig:
    name: Any
    dim: Count = 128
    """Width of an embedding."""
    hidden: Count = 2048
    """Width of the head's hidden layer, which batch normalisation follows."""
    temperature: Positive = 0.1
    """Divides the scores of embeddings against prototypes."""
    global_crops: Count = 2
    """The first views, so many, give the assignments; all views learn from them."""


class MultiCrop(Method):
    """An encoder and a head for any number of views, of any sizes (Caron et al. 2020, section 3.3)."""

    views = None

    def __init__(self, recipe: Recipe, encoder: Encoder, images: int) -> None:
        super().__init__(recipe, encoder, images)
        self.head = mlp(encoder.feature_dim, self.config.hidden, self.config.dim, norm=True)

    def embed(self, views: tuple[Tensor, ...]) -> list[Tensor]:
        """Unit embeddings (B, dim) of each of the views, each (B, 3, S, S).

        As in the authors' code neighbouring views of one size pass the encoder together, so that batch
        normalisation sees them together, and all views pass the head together.
        """
        sizes = [list(group) for _, group in groupby(views, key=lambda view: view.shape[-1])]
        features = torch.cat([self.encoder(torch.cat(group)) for group in sizes])
        return list(F.normalize(self.head(features), dim=1).chunk(len(views)))

    @classmethod
    def check(cls, recipe: Recipe, images: int) -> None:
        views, assigned = len(recipe.data.views), recipe.method.global_crops
        if views < 2 or assigned > views:
            raise UsageError(
                f"data.views: expected at least 2 views, and the method.global_crops={assigned} first among them, "
                f"got {views}"
            )
