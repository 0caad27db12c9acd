"""Alignment and uniformity on the hypersphere (Wang and Isola 2020, arXiv:2005.10242)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor

from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, NonNegative, Positive
from sslfast.data import Batch
from sslfast.encoders import Encoder
from sslfast.methods.base import Method
from sslfast.methods.parts.collapse import embedding_std
from sslfast.methods.parts.heads import mlp
from sslfast.methods.parts.hypersphere import alignment, uniformity


@dataclass(config=STRICT)
class AlignUniformConfig:
    name: Literal["align_uniform"]
    dim: Count = 128
    """Width of an embedding."""
    hidden: Count = 2048
    """Width of the head's hidden layer."""
    align_weight: NonNegative = 1.0
    """Weight of the alignment, the distance between the two views of an image."""
    alpha: Positive = 2.0
    """Power of that distance."""
    uniform_weight: NonNegative = 1.0
    """Weight of the uniformity, which parts the images; the mean of both views'."""
    t: Positive = 2.0
    """Factor of the squared distances in the uniformity: the larger, the more the nearest pairs count."""


class AlignUniform(Method[AlignUniformConfig, None]):
    """The embeddings of an image's two views lie close together, and those of all images spread over the sphere.

    End-to-end, both views trained, as the paper has it on STL-10. The head is MoCo v2's, as in the authors' code
    for ImageNet, whose queue is left out.
    """

    Config = AlignUniformConfig
    num_views = 2

    def __init__(self, recipe: Recipe[AlignUniformConfig], encoder: Encoder, num_images: int) -> None:
        super().__init__(recipe, encoder, num_images)
        self.head = mlp(encoder.feature_dim, self.config.hidden, self.config.dim)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], None]:
        config = self.config
        # Both views pass as one batch, as in the authors' code.
        x, y = F.normalize(self.head(self.encoder(torch.cat(batch.views))), dim=1).chunk(2)
        align = alignment(x, y, alpha=config.alpha)
        uniform = (uniformity(x, t=config.t) + uniformity(y, t=config.t)) / 2
        loss = config.align_weight * align + config.uniform_weight * uniform
        return loss, {"alignment": align.detach(), "uniformity": uniform.detach(), "std": embedding_std(x)}, None

    @classmethod
    def even_std(cls, recipe: Recipe[AlignUniformConfig]) -> float:
        # The loss of networks that tell no images apart is 0, which no share of it can be compared with.
        return float(recipe.method.dim**-0.5)
