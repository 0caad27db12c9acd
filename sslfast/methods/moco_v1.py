"""MoCo v1, momentum contrast (He, Fan, Wu, Xie, Girshick 2020, arXiv:1911.05722)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast import distributed
from sslfast import kernels as K
from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, CountOrZero, Positive, Probability
from sslfast.data import Batch
from sslfast.encoders import Encoder
from sslfast.encoders.norm import head_norm_layer
from sslfast.errors import UsageError
from sslfast.methods.base import Method
from sslfast.methods.parts.heads import mlp
from sslfast.methods.parts.memory_bank import MemoryBank, check_bank
from sslfast.methods.parts.momentum_copy import MomentumCopy, TargetNorm
from sslfast.methods.parts.queue import Queue, queue_size
from sslfast.optim.schedules import momentum_schedule


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
    """Negatives: past keys, or rows of the bank; null: an eighth of the images, at most 65536."""
    temperature: Positive = 0.07
    """Divides the similarities."""
    momentum: Probability = 0.999
    """Of the key network's moving average."""
    momentum_schedule: Literal["constant", "cosine"] = "constant"
    """cosine: the momentum rises to 1 by the end of training."""
    target_norm: TargetNorm = "own"
    """Statistics of the key network's batch normalisation: its own batches', or averages of the trained one's."""
    symmetric: bool = False
    """Each view is once query, once key; the loss is the mean. Doubles a step's work. Of the queue alone."""
    negatives: Literal["queue", "batch", "bank"] = "queue"
    """queue: past keys; batch: end-to-end, the batch's other keys; bank: rows of a memory bank, as the key is."""
    bank_momentum: Probability = 0.5
    """Of the memory bank's rows (Wu et al. 2018)."""


class MoCoV1(Method):
    """Queries from the trained network, keys from its moving average, negatives from a queue of past keys.

    `negatives` sets beside it the two mechanisms that the paper compares (figure 2). End-to-end, the trained
    network makes the keys too, and learns from both. With a memory bank, an image's key is its row, which moves
    towards its queries (Wu et al. 2018); the second view is left aside. Keys that a network makes are of images in
    another order than the queries (ShuffleBN, section 3.3).
    """

    Config: ClassVar[type[MoCoV1Config]] = MoCoV1Config
    views = 2
    queue_only: ClassVar[bool] = False  # a subclass whose loss is made for the queue

    def __init__(self, recipe: Recipe, encoder: Encoder, images: int) -> None:
        super().__init__(recipe, encoder, images)
        config = self.config
        self._norm = config.head_norm and head_norm_layer(recipe.encoder)
        self.head = self._head()
        if config.negatives == "queue":
            self.key_network = MomentumCopy(nn.Sequential(encoder, self.head), buffers=config.target_norm)
            self.queue = Queue(queue_size(config.queue_size, self._keys_of_step(recipe), images), config.dim)
        elif config.negatives == "bank":
            self.bank = MemoryBank(images, config.dim)
            self.noise = queue_size(config.queue_size, self._keys_of_step(recipe), images)

    def _head(self) -> nn.Module:
        """What makes embeddings of the encoder's features."""
        return self._mlp(self.config.dim)

    def _mlp(self, dim: int) -> nn.Sequential:
        hidden = [self.config.hidden] if self.config.hidden else []
        return mlp(self.encoder.feature_dim, *hidden, dim, norm=self._norm)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        view1, view2 = batch.views
        self._index = batch.index
        loss, rank, self._keys = self._one_way(view1, view2, batch)
        if self.config.symmetric:
            other, other_rank, keys = self._one_way(view2, view1, batch)
            loss, rank, self._keys = (
                (loss + other) / 2,
                torch.cat([rank, other_rank]),
                torch.cat([self._keys, keys]),
            )
        # The contrastive accuracy: how often no negative is nearer to the query than its key.
        return loss, {"accuracy": (rank == 0).float().mean()}

    def _one_way(self, query_view: Tensor, key_view: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The loss, the ranks of the positives, and what joins the queue, of all processes, or the bank."""
        (query,) = self._embed(self.encoder, self.head, query_view)
        return self._contrast(query, key_view, batch)

    def _contrast(self, query: Tensor, key_view: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        t, form = self.config.temperature, self.config.negatives
        if form == "batch":  # end-to-end: the keys receive gradient too
            (keys,) = self._shuffled(self.encoder, self.head, key_view)
            offset, keys = distributed.rank() * len(keys), distributed.gather(keys)
            return *K.in_batch_info_nce(query, keys, temperature=t, offset=offset, return_rank=True), keys.detach()
        if form == "bank":
            rows = self.bank.rows
            key, negatives = rows[batch.index], rows[self.bank.noise(batch, self.noise)]
            return *K.info_nce(query, key, negatives, temperature=t, return_rank=True), query.detach()
        (key,) = self._key(key_view)
        return *K.info_nce(query, key, self.queue.keys, temperature=t, return_rank=True), distributed.gather(key)

    def _embed(self, encoder: nn.Module, head: nn.Module, view: Tensor) -> tuple[Tensor, ...]:
        """The embeddings of a view, of length 1, and what else a subclass needs of it; each (B, ...)."""
        return (F.normalize(head(encoder(view)), dim=1),)

    @torch.no_grad()
    def _key(self, view: Tensor) -> tuple[Tensor, ...]:
        encoder, head = self.key_network.module.children()
        return self._shuffled(encoder, head, view)

    def _shuffled(self, encoder: nn.Module, head: nn.Module, view: Tensor) -> tuple[Tensor, ...]:
        # A key's batch statistics, over a rank or a part of split batch norm, are then of other images than its
        # query's: ShuffleBN.
        images, order = distributed.shuffle(view)
        shuffled = self._embed(encoder, head, images)
        return tuple(distributed.unshuffle(rows, order) for rows in shuffled)

    def after_step(self, step: int, total_steps: int, skip: Tensor) -> None:
        config = self.config
        if config.negatives == "queue":
            # The keys join after their own loss, so that a positive is never among the negatives.
            self.queue.enqueue(self._keys, skip=skip)
            momentum = momentum_schedule(step, total_steps, config.momentum, config.momentum_schedule)
            self.key_network.update(momentum, skip=skip)
        elif config.negatives == "bank":
            self.bank.update(self._index, self._keys, momentum=config.bank_momentum, skip=skip)

    def compiled(self) -> list[nn.Module]:
        momentum = [self.key_network.module.get_submodule("0")] if self.config.negatives == "queue" else []
        return [self.encoder, *momentum]

    @staticmethod
    def _keys_of_step(recipe: Recipe) -> int:
        return recipe.data.batch_size * (2 if recipe.method.symmetric else 1)

    @classmethod
    def check(cls, recipe: Recipe, images: int) -> None:
        queue_size(recipe.method.queue_size, cls._keys_of_step(recipe), images)
        if cls.queue_only and recipe.method.negatives != "queue":
            raise UsageError(
                f"method.negatives={recipe.method.negatives}: expected queue for {recipe.method.name}"
            )
        if recipe.method.symmetric and recipe.method.negatives != "queue":
            raise UsageError(
                f"method.symmetric=true: expected method.negatives=queue, got {recipe.method.negatives}; "
                "set method.symmetric=false"
            )
        if recipe.method.negatives == "bank":
            check_bank(recipe, images)
