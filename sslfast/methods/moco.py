"""MoCo v1 (He, Fan, Wu, Xie, Girshick 2020, arXiv:1911.05722) and v2 (Chen et al. 2020, arXiv:2003.04297)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast import kernels as K
from sslfast.errors import UsageError
from sslfast.heads import mlp
from sslfast.methods.base import Method
from sslfast.optim import momentum_schedule
from sslfast.schema import STRICT, Count, CountOrZero, Positive, Probability
from sslfast.state import MomentumCopy, Queue

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
    """Keys of earlier batches that serve as negatives; null: up to an eighth of the images, at most 65536."""
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


def default_queue_size(images: int, keys_of_step: int) -> int:
    """The largest power of two up to an eighth of the images, at most 65536, and at least the keys of a step.

    A queue that held most of the data set would set against a query the keys of its own image from the epoch
    before. On ImageNet and on CIFAR-10 the rule gives what MoCo's authors use, 65536 and 4096; it is ours.
    """
    return max(min(65536, 1 << max(0, (images // 8).bit_length() - 1)), keys_of_step)


def keys_of_step(config: MoCoV1Config, batch_size: int) -> int:
    """How many keys join the queue in a step."""
    return batch_size * (2 if config.symmetric else 1)


class MoCoV1(Method):
    """Queries from the trained network, keys from its moving average, negatives from a queue of past keys."""

    Config: ClassVar[type[MoCoV1Config]] = MoCoV1Config
    views = 2

    def __init__(self, config: MoCoV1Config, encoder: Encoder, images: int, batch_size: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        hidden = [config.hidden] if config.hidden else []
        self.head = mlp(encoder.feature_dim, *hidden, config.dim, norm=config.head_norm)
        self.key_network = MomentumCopy(nn.Sequential(encoder, self.head))
        keys = keys_of_step(config, batch_size)
        self.queue = Queue(config.queue_size or default_queue_size(images, keys), config.dim)

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
        # Shuffled: under split batch norm a key's statistics then come from other images than its query's.
        order = torch.randperm(len(view), device=view.device)
        key = F.normalize(self.key_network(view[order]), dim=1)
        return torch.empty_like(key).index_copy_(0, order, key)

    def after_step(self, step: int, total_steps: int, skip: Tensor) -> None:
        # The keys join after their own loss, so that a positive is never among the negatives.
        self.queue.enqueue(self._keys, skip=skip)
        momentum = momentum_schedule(step, total_steps, self.config.momentum, self.config.momentum_schedule)
        self.key_network.update(momentum, skip=skip)

    def compiled(self) -> list[nn.Module]:
        return [self.encoder, self.key_network.module.get_submodule("0")]

    @classmethod
    def check(cls, recipe: Recipe) -> None:
        size, keys = recipe.method.queue_size, keys_of_step(recipe.method, recipe.data.batch_size)
        if size and keys > size:
            raise UsageError(f"method.queue_size={size}: expected at least the {keys} keys of a step")


class MoCoV2(MoCoV1):
    """MoCo v1 with a two-layer head; its stronger augmentation and cosine schedule stand in the recipes."""

    Config: ClassVar[type[MoCoV1Config]] = MoCoV2Config
