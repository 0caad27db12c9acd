"""MoCo v1 (He, Fan, Wu, Xie, Girshick 2020, arXiv:1911.05722) and v2 (Chen et al. 2020, arXiv:2003.04297)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast import distributed
from sslfast import kernels as K
from sslfast.heads import mlp
from sslfast.methods.base import Method
from sslfast.optim import momentum_schedule
from sslfast.schema import STRICT, Count, CountOrZero, Positive, Probability
from sslfast.state import MomentumCopy, Queue, queue_size

if TYPE_CHECKING:
    from sslfast.config import Config as Recipe
    from sslfast.data import Batch
    from sslfast.encoders import Encoder


@dataclass(config=STRICT)
class MoCoV1Config:
    name: Literal["moco_v1"]
    dim: Count = 128
    """Width of an embedding."""
    hidden: CountOrZero = 0
    """Width of the head's hidden layer; 0: the head is one linear layer."""
    head_norm: bool = False
    """Batch normalisation in the head's hidden layer, as MoCo v3 has it."""
    queue_size: Count | None = None
    """Keys of earlier batches that serve as negatives; null: an eighth of the images, at most 65536."""
    temperature: Positive = 0.07
    """Divides the similarities."""
    momentum: Probability = 0.999
    """Of the key network's moving average."""
    momentum_schedule: Literal["constant", "cosine"] = "constant"
    """cosine: the momentum rises to 1 by the end of training."""
    symmetric: bool = False
    """Each view is once the query and once the key; doubles the work of a step."""


@dataclass(config=STRICT)
class MoCoV2Config(MoCoV1Config):
    name: Literal["moco_v2"]  # type: ignore[assignment]
    hidden: CountOrZero = 2048
    """Width of the head's hidden layer; 0: the head is one linear layer."""
    temperature: Positive = 0.2
    """Divides the similarities."""


class MoCoV1(Method):
    """Queries from the trained network, keys from its moving average, negatives from a queue of past keys."""

    Config: ClassVar[type[MoCoV1Config]] = MoCoV1Config
    views = 2

    def __init__(self, recipe: Recipe, encoder: Encoder, images: int) -> None:
        super().__init__(recipe, encoder, images)
        config = self.config
        hidden = [config.hidden] if config.hidden else []
        self.head = mlp(encoder.feature_dim, *hidden, config.dim, norm=config.head_norm)
        self.key_network = MomentumCopy(nn.Sequential(encoder, self.head))
        self.queue = Queue(queue_size(config.queue_size, self._keys_of_step(recipe), images), config.dim)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        view1, view2 = batch.views
        loss, rank, self._keys = self._one_way(view1, view2)
        if self.config.symmetric:
            other, other_rank, keys = self._one_way(view2, view1)
            loss, rank, self._keys = (
                (loss + other) / 2,
                torch.cat([rank, other_rank]),
                torch.cat([self._keys, keys]),
            )
        # The contrastive accuracy: how often no negative is nearer to the query than its key.
        return loss, {"accuracy": (rank == 0).float().mean()}

    def _one_way(self, query_view: Tensor, key_view: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query = F.normalize(self.head(self.encoder(query_view)), dim=1)
        key = self._key(key_view)
        loss, rank = K.info_nce(query, key, self.queue.keys, temperature=self.config.temperature, return_rank=True)
        return loss, rank, key

    @torch.no_grad()
    def _key(self, view: Tensor) -> Tensor:
        # A key's batch statistics, over a rank or a part of split batch norm, are then of other images than its
        # query's: ShuffleBN.
        images, order = distributed.shuffle(view)
        return distributed.unshuffle(F.normalize(self.key_network(images), dim=1), order)

    def after_step(self, step: int, total_steps: int, skip: Tensor) -> None:
        # The keys join after their own loss, so that a positive is never among the negatives.
        self.queue.enqueue(self._keys, skip=skip)
        momentum = momentum_schedule(step, total_steps, self.config.momentum, self.config.momentum_schedule)
        self.key_network.update(momentum, skip=skip)

    def compiled(self) -> list[nn.Module]:
        return [self.encoder, self.key_network.module.get_submodule("0")]

    @staticmethod
    def _keys_of_step(recipe: Recipe) -> int:
        return recipe.data.batch_size * (2 if recipe.method.symmetric else 1)

    @classmethod
    def check(cls, recipe: Recipe, images: int) -> None:
        queue_size(recipe.method.queue_size, cls._keys_of_step(recipe), images)


class MoCoV2(MoCoV1):
    """MoCo v1 with a two-layer head; its stronger augmentation and cosine schedule stand in the recipes."""

    Config: ClassVar[type[MoCoV1Config]] = MoCoV2Config
