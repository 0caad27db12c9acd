"""NNCLR (Dwibedi, Aytar, Tompson, Sermanet, Zisserman 2021, arXiv:2104.14548)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor

from sslfast import kernels as K
from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, Positive
from sslfast.data import Batch
from sslfast.distributed import gather, rank
from sslfast.encoders import Encoder
from sslfast.methods.base import Method
from sslfast.methods.parts.heads import mlp
from sslfast.methods.parts.queue import Queue, queue_size


@dataclass(config=STRICT)
class NNCLRConfig:
    name: Literal["nnclr"]
    dim: Count = 256
    """Width of an embedding."""
    hidden: Count = 2048
    """Width of the projector's hidden layers."""
    layers: Count = 3
    """Of the projector."""
    predictor_hidden: Count = 4096
    """Width of the predictor's hidden layer."""
    queue_size: Count | None = None
    """Embeddings of earlier batches to find neighbours among; null: an eighth of the images, at most 65536."""
    temperature: Positive = 0.1
    """Divides the similarities."""


class NNCLR(Method):
    """SimCLR whose positive is the nearest neighbour of a view's embedding among those of earlier batches.

    The queue starts with random directions and takes part from the first step, as in the paper's algorithm 1.
    """

    Config: ClassVar[type[NNCLRConfig]] = NNCLRConfig
    views = 2

    def __init__(self, recipe: Recipe, encoder: Encoder, images: int) -> None:
        super().__init__(recipe, encoder, images)
        config = self.config
        hidden = [config.hidden] * (config.layers - 1)
        self.projector = mlp(encoder.feature_dim, *hidden, config.dim, norm=True, last_norm="affine")
        self.predictor = mlp(config.dim, config.predictor_hidden, config.dim, norm=True)
        self.queue = Queue(queue_size(config.queue_size, recipe.data.batch_size, images), config.dim)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        z1, z2 = (self.projector(self.encoder(view)) for view in batch.views)
        loss1, rank1 = self._one_way(z1, z2)
        loss2, rank2 = self._one_way(z2, z1)
        self._keys = gather(F.normalize(z1.detach(), dim=1))
        # The contrastive accuracy: how often no other image's prediction is nearer to the neighbour.
        return (loss1 + loss2) / 2, {"accuracy": (torch.cat([rank1, rank2]) == 0).float().mean()}

    def _one_way(self, z: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Equation 3: the nearest neighbour of z is to pick the prediction from the other view out of the batch's.

        No gradient passes through the neighbour: it is a row of the queue.
        """
        nearest, _ = K.nearest_neighbor(z, self.queue.keys)
        predictions = gather(F.normalize(self.predictor(other), dim=1))
        t, offset = self.config.temperature, rank() * len(z)
        return K.in_batch_info_nce(
            self.queue.keys[nearest], predictions, temperature=t, offset=offset, return_rank=True
        )

    def after_step(self, step: int, total_steps: int, skip: Tensor) -> None:
        # The first view's embeddings alone, and after both look-ups: a view is never its own neighbour.
        self.queue.enqueue(self._keys, skip=skip)

    @classmethod
    def check(cls, recipe: Recipe, images: int) -> None:
        queue_size(recipe.method.queue_size, recipe.data.batch_size, images)
