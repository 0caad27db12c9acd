"""SimCLR (Chen, Kornblith, Norouzi, Hinton 2020, arXiv:2002.05709) and v2 (Chen et al. 2020, arXiv:2006.10029)."""

from __future__ import annotations

import math
from typing import ClassVar, Literal, TypeVar

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor

from sslfast import kernels as K
from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, Positive
from sslfast.data import Batch
from sslfast.distributed import gather
from sslfast.encoders import Encoder
from sslfast.methods.base import Method
from sslfast.methods.parts.heads import mlp
from sslfast.methods.parts.negatives import contrastive_accuracy


@dataclass(config=STRICT)
class SimCLRConfig:
    name: Literal["simclr"]
    dim: Count = 128
    """Width of an embedding."""
    hidden: Count = 2048
    """Width of the head's hidden layers; in the paper the encoder's."""
    layers: Count = 2
    """Number of the head's layers; SimCLR v2 has 3."""
    norm: bool = True
    """Batch normalization after every layer of the head, the last one's without shift, as in the authors' code."""
    temperature: Positive = 0.1
    """Divisor of the similarities; the paper has 0.5 on CIFAR-10."""


SimCLRSettings = TypeVar("SimCLRSettings", bound=SimCLRConfig)


class SimCLR(Method[SimCLRSettings, None]):
    """The two views of an image are each other's positives, all other views of the batch are negatives."""

    Config: ClassVar[type[SimCLRConfig]] = SimCLRConfig
    num_views = 2
    bounds_information = True

    def __init__(self, recipe: Recipe[SimCLRSettings], encoder: Encoder, num_images: int) -> None:
        super().__init__(recipe, encoder, num_images)
        config = self.config
        hidden = [config.hidden] * (config.layers - 1)
        last_norm: Literal["scale", "none"] = "scale" if config.norm else "none"
        self.head = mlp(encoder.feature_dim, *hidden, config.dim, norm=config.norm, last_norm=last_norm)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], None]:
        z1, z2 = map(gather, self._embed(batch))
        loss, positive_ranks = K.nt_xent(z1, z2, temperature=self.config.temperature, return_rank=True)
        return loss, contrastive_accuracy(positive_ranks), None

    def _embed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Computes the normalized embeddings of both views, (B, dim) each.

        The views pass as one batch, so that batch normalization takes its statistics over both.
        """
        z1, z2 = F.normalize(self.head(self.encoder(torch.cat(batch.views))), dim=1).chunk(2)
        return z1, z2

    @classmethod
    def chance_loss(cls, recipe: Recipe[SimCLRSettings], num_images: int) -> float:
        return math.log(2 * recipe.data.batch_size - 1)
