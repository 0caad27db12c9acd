"""NNCLR (Dwibedi, Aytar, Tompson, Sermanet, Zisserman 2021, arXiv:2104.14548)."""

from __future__ import annotations

import math
from typing import Literal

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
from sslfast.methods.parts.negatives import contrast_in_batch, contrastive_accuracy
from sslfast.methods.parts.queue import Queue, queue_size


@dataclass(config=STRICT)
class NNCLRConfig:
    name: Literal["nnclr"]
    dim: Count = 256
    """Width of an embedding."""
    hidden: Count = 2048
    """Width of the projector's hidden layers."""
    layers: Count = 3
    """Number of the projector's layers."""
    predictor_hidden: Count = 4096
    """Width of the predictor's hidden layer."""
    queue_size: Count | None = None
    """Number of earlier embeddings to find neighbors among; null: an eighth of the images, at most 65536."""
    temperature: Positive = 0.1
    """Divisor of the similarities."""


class NNCLR(Method[NNCLRConfig, Tensor]):
    """SimCLR whose positive is the nearest neighbor of a view's embedding among those of earlier batches.

    The queue starts with random directions and takes part from the first step, as in the paper's algorithm 1.
    """

    Config = NNCLRConfig
    num_views = 2
    bounds_information = True

    def __init__(self, recipe: Recipe[NNCLRConfig], encoder: Encoder, num_images: int) -> None:
        super().__init__(recipe, encoder, num_images)
        config = self.config
        hidden = [config.hidden] * (config.layers - 1)
        self.projector = mlp(encoder.feature_dim, *hidden, config.dim, norm=True, last_norm="affine")
        self.predictor = mlp(config.dim, config.predictor_hidden, config.dim, norm=True)
        self.queue = Queue(queue_size(config.queue_size, recipe.data.batch_size, num_images), config.dim)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        z1, z2 = (self.projector(self.encoder(view)) for view in batch.views)
        loss1, positive_ranks1 = self._one_way(z1, z2)
        loss2, positive_ranks2 = self._one_way(z2, z1)
        keys = gather(F.normalize(z1.detach(), dim=1))
        return (loss1 + loss2) / 2, contrastive_accuracy(torch.cat([positive_ranks1, positive_ranks2])), keys

    def _one_way(self, z: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Computes equation 3: z's nearest neighbor is to pick the other view's prediction out of the batch's.

        No gradient passes through the neighbor: it is a row of the queue.
        """
        nearest, _ = K.nearest_neighbor(z, self.queue.keys, normalized=True)
        predictions = F.normalize(self.predictor(other), dim=1)
        return contrast_in_batch(self.queue.keys[nearest], predictions, temperature=self.config.temperature)

    def after_step(self, kept: Tensor, step: int, total_steps: int, skip: Tensor) -> None:
        # The first view's embeddings alone, and after both look-ups: a view is never its own neighbor.
        self.queue.enqueue(kept, skip=skip)

    @classmethod
    def chance_loss(cls, recipe: Recipe[NNCLRConfig], num_images: int) -> float:
        return math.log(recipe.data.batch_size)

    @classmethod
    def check(cls, recipe: Recipe[NNCLRConfig], num_images: int) -> None:
        queue_size(recipe.method.queue_size, recipe.data.batch_size, num_images)
