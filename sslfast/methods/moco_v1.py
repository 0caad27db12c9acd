"""MoCo v1, momentum contrast (He, Fan, Wu, Xie, Girshick 2020, arXiv:1911.05722)."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import replace
from typing import ClassVar, Literal, TypeVar

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, CountOrZero, Positive, Probability
from sslfast.data import Batch
from sslfast.encoders import Encoder
from sslfast.encoders.norm import head_norm_layer
from sslfast.errors import UsageError
from sslfast.methods.base import Method
from sslfast.methods.parts.heads import mlp
from sslfast.methods.parts.memory_bank import MemoryBank, check_bank
from sslfast.methods.parts.momentum_copy import MomentumCopy, MomentumCopyConfig
from sslfast.methods.parts.negatives import (
    BankRows,
    BatchKeys,
    Contrast,
    ContrastKept,
    EmbedView,
    Negatives,
    QueuedKeys,
    contrastive_accuracy,
    unit_embedding,
)
from sslfast.methods.parts.queue import Queue, queue_size


@dataclass(config=STRICT)
class MoCoConfig(MomentumCopyConfig):
    """The settings of MoCo and of the methods that build on it; the defaults are those of MoCo v2."""

    momentum: Probability = 0.999
    """Momentum of the key network's moving average."""
    dim: Count = 128
    """Width of an embedding."""
    hidden: CountOrZero = 2048
    """Width of the head's hidden layers; 0: the head is one linear layer."""
    layers: Count = 2
    """Number of the head's layers, where they have a hidden width."""
    head_norm: bool = False
    """Batch normalization in the head's hidden layers, as MoCo v3 has it."""
    queue_size: Count | None = None
    """Number of negatives, past keys; null: an eighth of the images, at most 65536."""
    temperature: Positive = 0.2
    """Divisor of the similarities."""
    symmetric: bool = False
    """Each view is once query, once key, and the loss is the mean; this doubles a step's work."""


MoCoSettings = TypeVar("MoCoSettings", bound=MoCoConfig)


class MoCo(Method[MoCoSettings, ContrastKept]):
    """Queries of one view against keys of the other, in one direction or both.

    Args:
        head: makes embeddings of the encoder's features.
        negatives: the source of keys and negatives.
    """

    num_views = 2
    negatives: Negatives

    def __init__(
        self,
        recipe: Recipe[MoCoSettings],
        encoder: Encoder,
        num_images: int,
        head: nn.Module,
        negatives: Negatives,
    ) -> None:
        super().__init__(recipe, encoder, num_images)
        self.head, self.negatives = head, negatives
        for name, module in negatives.parts().items():
            self.add_module(name, module)

    @abstractmethod
    def one_way(self, query_view: Tensor, key_view: Tensor, batch: Batch) -> Contrast:
        """Computes the contrast of one direction; its rows are of all ranks where a queue takes them.

        Args:
            query_view: (B, C, S, S), that of the queries.
            key_view: (B, C, S, S), that of the keys.
            batch: the batch with both views in this order.
        """

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], ContrastKept]:
        view1, view2 = batch.views
        loss, positive_ranks, rows = self.one_way(view1, view2, batch)
        if self.config.symmetric:
            swapped = replace(batch, views=(view2, view1), boxes=batch.boxes[::-1])
            other = self.one_way(view2, view1, swapped)
            loss = (loss + other.loss) / 2
            positive_ranks = torch.cat([positive_ranks, other.positive_ranks])
            rows = torch.cat([rows, other.rows])
        return loss, contrastive_accuracy(positive_ranks), ContrastKept(batch.index, rows)

    def momentum_copy(self) -> MomentumCopy | None:
        return self.negatives.momentum_copy()

    def momentum(self, step: int, total_steps: int) -> float:
        return self.config.momentum_at(step, total_steps)

    def after_step(self, kept: ContrastKept, step: int, total_steps: int, skip: Tensor) -> None:
        self.negatives.after_step(kept, step, total_steps, skip)

    def compiled(self) -> list[nn.Module]:
        return [self.encoder, *self.negatives.compiled()]

    @classmethod
    def chance_loss(cls, recipe: Recipe[MoCoSettings], num_images: int) -> float:
        return math.log(1 + num_negatives(recipe, num_images))

    @classmethod
    def check(cls, recipe: Recipe[MoCoSettings], num_images: int) -> None:
        num_negatives(recipe, num_images)


def num_negatives(recipe: Recipe[MoCoSettings], num_images: int) -> int:
    """Chooses the number of negatives that a recipe asks for: whole batches of keys.

    Raises:
        UsageError: batches do not fill it.
    """
    keys_per_step = recipe.data.batch_size * (2 if recipe.method.symmetric else 1)
    return queue_size(recipe.method.queue_size, keys_per_step, num_images)


def projection_head(recipe: Recipe[MoCoSettings], width: int, dim: int) -> nn.Sequential:
    """Makes MoCo's head, from features of a width to embeddings of `dim`."""
    config = recipe.method
    hidden = [config.hidden] * (config.layers - 1) if config.hidden else []
    return mlp(width, *hidden, dim, norm=config.head_norm and head_norm_layer(recipe.encoder))


def queued_keys(
    recipe: Recipe[MoCoSettings],
    encoder: Encoder,
    head: nn.Module,
    num_images: int,
    embed: EmbedView = unit_embedding,
) -> QueuedKeys:
    """Makes the queue and the key network that a recipe asks for; `embed` as for `QueuedKeys`."""
    config = recipe.method
    queue = Queue(num_negatives(recipe, num_images), config.dim)
    return QueuedKeys(encoder, head, embed, queue, config.temperature, config)


@dataclass(config=STRICT)
class NegativesConfig(MoCoConfig):
    """The settings of a MoCo that chooses its negatives."""

    queue_size: Count | None = None
    """Number of negatives, past keys or rows of the bank; null: an eighth of the images, at most 65536."""
    symmetric: bool = False
    """Each view is once query, once key, and the loss is the mean; doubles a step's work, and needs the queue."""
    negatives: Literal["queue", "batch", "bank"] = "queue"
    """Source of negatives; queue: past keys; batch: the batch's keys, end-to-end; bank: rows, as the key is."""
    bank_momentum: Probability = 0.5
    """Momentum of the memory bank's rows (Wu et al. 2018)."""


@dataclass(config=STRICT)
class MoCoV1Config(NegativesConfig):
    name: Literal["moco_v1"]
    hidden: CountOrZero = 0
    temperature: Positive = 0.07


MoCoV1Settings = TypeVar("MoCoV1Settings", bound=NegativesConfig)


class MoCoV1(MoCo[MoCoV1Settings]):
    """Queries from the trained network, keys from its moving average, negatives from a queue of past keys.

    `negatives` sets beside it the two mechanisms that the paper compares with (figure 2): end-to-end, and a bank.
    """

    Config: ClassVar[type[NegativesConfig]] = MoCoV1Config
    bounds_information = True
    adds_up = True

    def __init__(self, recipe: Recipe[MoCoV1Settings], encoder: Encoder, num_images: int) -> None:
        head = projection_head(recipe, encoder.feature_dim, recipe.method.dim)
        super().__init__(recipe, encoder, num_images, head, chosen_negatives(recipe, encoder, head, num_images))

    def one_way(self, query_view: Tensor, key_view: Tensor, batch: Batch) -> Contrast:
        (query,) = unit_embedding(self.encoder, self.head, query_view)
        return self.negatives.contrast(query, key_view, batch)

    @classmethod
    def chance_loss(cls, recipe: Recipe[MoCoV1Settings], num_images: int) -> float:
        if recipe.method.negatives == "batch":
            return math.log(recipe.data.batch_size)
        return super().chance_loss(recipe, num_images)

    @classmethod
    def check(cls, recipe: Recipe[MoCoV1Settings], num_images: int) -> None:
        super().check(recipe, num_images)
        if recipe.method.symmetric and recipe.method.negatives != "queue":
            raise UsageError(
                f"method.symmetric=true: expected method.negatives=queue, got {recipe.method.negatives}; "
                "set method.symmetric=false"
            )
        if recipe.train.accumulate > 1 and recipe.method.negatives != "queue":
            raise UsageError(
                f"train.accumulate={recipe.train.accumulate}: expected method.negatives=queue, got "
                f"{recipe.method.negatives}, whose negatives would be fewer or others; set train.accumulate=1"
            )
        if recipe.method.negatives == "bank":
            check_bank(recipe, num_images)


def chosen_negatives(
    recipe: Recipe[MoCoV1Settings], encoder: Encoder, head: nn.Module, num_images: int
) -> Negatives:
    """Makes the source of negatives that a recipe chooses."""
    config = recipe.method
    match config.negatives:
        case "queue":
            return queued_keys(recipe, encoder, head, num_images)
        case "batch":
            return BatchKeys(encoder, head, config.temperature)
        case "bank":
            bank = MemoryBank(num_images, config.dim)
            return BankRows(bank, num_negatives(recipe, num_images), config.temperature, config.bank_momentum)
