"""Barlow Twins (Zbontar, Jing, Misra, LeCun, Deny 2021, arXiv:2103.03230)."""

from __future__ import annotations

from typing import Literal

from pydantic.dataclasses import dataclass
from torch import Tensor

from sslfast import kernels as K
from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, NonNegative
from sslfast.data import Batch
from sslfast.distributed import world
from sslfast.encoders import Encoder
from sslfast.methods.base import Method
from sslfast.methods.parts.heads import mlp


@dataclass(config=STRICT)
class BarlowTwinsConfig:
    name: Literal["barlow_twins"]
    dim: Count = 8192
    """Width of an embedding."""
    hidden: Count = 8192
    """Width of the projector's hidden layers."""
    layers: Count = 3
    """Number of the projector's layers."""
    lambd: NonNegative = 0.0051
    """Weight of the redundancy term, the squares of the correlations between different components."""


class BarlowTwins(Method[BarlowTwinsConfig, None]):
    """The cross-correlation matrix of the two views' embeddings is drawn to the identity (equation 1)."""

    Config = BarlowTwinsConfig
    num_views = 2

    def __init__(self, recipe: Recipe[BarlowTwinsConfig], encoder: Encoder, num_images: int) -> None:
        super().__init__(recipe, encoder, num_images)
        config = self.config
        hidden = [config.hidden] * (config.layers - 1)
        # The loss standardizes each component of the output: a bias would have no effect.
        self.projector = mlp(encoder.feature_dim, *hidden, config.dim, norm=True, last_bias=False)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], None]:
        z1, z2 = (self.projector(self.encoder(view)) for view in batch.views)
        return K.cross_correlation_loss(z1, z2, lambd=self.config.lambd, group=world()), {}, None

    @classmethod
    def chance_loss(cls, recipe: Recipe[BarlowTwinsConfig], num_images: int) -> float:
        return float(recipe.method.dim)  # each component's correlation with itself is 0 instead of 1
