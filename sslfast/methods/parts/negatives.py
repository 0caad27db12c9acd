"""MoCo's three sources of negatives (He et al. 2020, arXiv:1911.05722, figure 2), and contrast within a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslfast import kernels as K
from sslfast.data import Batch
from sslfast.distributed import gather, rank, shuffle, unshuffle
from sslfast.encoders.norm import shares_statistics
from sslfast.methods.parts.memory_bank import MemoryBank
from sslfast.methods.parts.momentum_copy import MomentumCopy, MomentumCopyConfig
from sslfast.methods.parts.queue import Queue

# (encoder, head, view) -> the embeddings (B, dim) of a view, of length 1, and what else a method needs of it, each
# (B, ...).
EmbedView = Callable[[nn.Module, nn.Module, Tensor], tuple[Tensor, ...]]


def unit_embedding(encoder: nn.Module, head: nn.Module, view: Tensor) -> tuple[Tensor]:
    """Computes the embeddings (B, dim) of a view, of length 1, and nothing else."""
    return (F.normalize(head(encoder(view)), dim=1),)


def contrastive_accuracy(positive_ranks: Tensor) -> dict[str, Tensor]:
    """Measures how often no negative is nearer to a query than its positive, as `Method.loss` logs it.

    Args:
        positive_ranks: (N,), the number of negatives that are nearer to each query than its positive.
    """
    return {"accuracy": (positive_ranks == 0).float().mean()}


def contrast_in_batch(query: Tensor, keys: Tensor, *, temperature: float) -> tuple[Tensor, Tensor]:
    """Computes InfoNCE of queries whose negatives are the keys of the batch's other images, those of all ranks.

    Args:
        query: (C * B, D), of length 1: one query of each of this rank's images, then another of each, and so on.
        keys: (B, D), of length 1, of the same images.
        temperature: t > 0, divides the similarities.

    Returns:
        (the mean loss, the ranks of the positives (C * B,)).
    """
    return K.in_batch_info_nce(
        query,
        gather(keys),
        temperature=temperature,
        offset=rank() * len(keys),
        chunks=len(query) // len(keys),
        return_rank=True,
    )


class Contrast(NamedTuple):
    """The result of a contrast of queries with their keys and negatives.

    Attributes:
        loss: the mean over the queries, a scalar.
        positive_ranks: (B,), the number of negatives that are nearer to each query than its positive.
        rows: (N, ...), without gradient: the embeddings that become negatives after the step.
    """

    loss: Tensor
    positive_ranks: Tensor
    rows: Tensor


class ContrastKept(NamedTuple):
    """The results of a batch that a queue or a memory bank takes over after the step.

    Attributes:
        indices: int64 (B,), the positions of the batch's images.
        rows: those of their `Contrast`.
    """

    indices: Tensor
    rows: Tensor


class Negatives(ABC):
    """A source of keys and negatives.

    It is no module itself: the method registers its parts, under the names that they have in the state dict.
    """

    @abstractmethod
    def parts(self) -> dict[str, nn.Module]:
        """Lists the modules that the method registers, by name."""

    @abstractmethod
    def contrast(self, query: Tensor, key_view: Tensor, batch: Batch) -> Contrast:
        """Computes the contrast of queries.

        Args:
            query: (B, dim), of length 1.
            key_view: (B, C, S, S), the other view of the same images.
            batch: the batch of both.
        """

    def momentum_copy(self) -> MomentumCopy | None:
        """Returns the network that makes the keys, if it is a moving average, as `Method.momentum_copy` has it."""
        return None

    @abstractmethod
    def after_step(self, kept: ContrastKept, step: int, total_steps: int, skip: Tensor) -> None:
        """Takes over what a step leaves; the arguments are those of `Method.after_step`."""

    def compiled(self) -> list[nn.Module]:
        """Lists the networks that torch.compile speeds up, beside the trained encoder."""
        return []


class QueuedKeys(Negatives):
    """The queue, MoCo's own: keys of the moving average of the network, negatives from a queue of past keys.

    Args:
        encoder: the trained encoder.
        head: the trained head.
        embed: makes embeddings with both; the first are those that are queued.
        queue: the queue, of whole batches of keys.
        temperature: t > 0, divides the similarities.
        config: the settings of the key network.
    """

    def __init__(
        self,
        encoder: nn.Module,
        head: nn.Module,
        embed: EmbedView,
        queue: Queue,
        temperature: float,
        config: MomentumCopyConfig,
    ) -> None:
        self.key_network = MomentumCopy(nn.Sequential(encoder, head), buffers=config.target_norm)
        self.embed, self.queue, self.temperature = embed, queue, temperature

    def parts(self) -> dict[str, nn.Module]:
        return {"key_network": self.key_network, "queue": self.queue}

    @torch.no_grad()
    def keys(self, view: Tensor) -> tuple[Tensor, ...]:
        """Computes the key network's embeddings of a view, and what else `embed` returns."""
        encoder, head = self.key_network.module.children()
        return _shuffled(self.embed, encoder, head, view)

    def loss(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """Computes the mean loss of queries (B, dim) with their keys (B, dim), and these positives' ranks (B,)."""
        return K.info_nce(query, key, self.queue.keys, temperature=self.temperature, return_rank=True)

    def contrast(self, query: Tensor, key_view: Tensor, batch: Batch) -> Contrast:
        (key,) = self.keys(key_view)
        return Contrast(*self.loss(query, key), gather(key))

    def momentum_copy(self) -> MomentumCopy:
        return self.key_network

    def after_step(self, kept: ContrastKept, step: int, total_steps: int, skip: Tensor) -> None:
        # The keys join after their own loss, so that a positive is never among the negatives.
        self.queue.enqueue(kept.rows, skip=skip)

    def compiled(self) -> list[nn.Module]:
        return [self.key_network.module.get_submodule("0")]


class BatchKeys(Negatives):
    """End-to-end: the trained network makes the keys too, and learns from both; the batch's others are negatives.

    Args:
        encoder: the trained encoder.
        head: the trained head.
        temperature: t > 0, divides the similarities.
    """

    def __init__(self, encoder: nn.Module, head: nn.Module, temperature: float) -> None:
        self.encoder, self.head, self.temperature = encoder, head, temperature

    def parts(self) -> dict[str, nn.Module]:
        return {}

    def contrast(self, query: Tensor, key_view: Tensor, batch: Batch) -> Contrast:
        (keys,) = _shuffled(unit_embedding, self.encoder, self.head, key_view)
        return Contrast(*contrast_in_batch(query, keys, temperature=self.temperature), keys.detach())

    def after_step(self, kept: ContrastKept, step: int, total_steps: int, skip: Tensor) -> None:
        """Takes nothing over: each batch has its own negatives."""


class BankRows(Negatives):
    """A memory bank: an image's key is its row, which moves towards its queries, and other rows are negatives.

    The view of the keys is left aside (Wu et al. 2018, arXiv:1805.01978).

    Args:
        bank: the bank, of all images.
        num_negatives: how many rows are drawn in a step.
        temperature: t > 0, divides the similarities.
        momentum: that of the rows.
    """

    def __init__(self, bank: MemoryBank, num_negatives: int, temperature: float, momentum: float) -> None:
        self.bank, self.num_negatives = bank, num_negatives
        self.temperature, self.momentum = temperature, momentum

    def parts(self) -> dict[str, nn.Module]:
        return {"bank": self.bank}

    def contrast(self, query: Tensor, key_view: Tensor, batch: Batch) -> Contrast:
        rows = self.bank.rows
        key, negatives = rows[batch.index], rows[self.bank.noise(batch, self.num_negatives)]
        loss, positive_ranks = K.info_nce(query, key, negatives, temperature=self.temperature, return_rank=True)
        return Contrast(loss, positive_ranks, query.detach())

    def after_step(self, kept: ContrastKept, step: int, total_steps: int, skip: Tensor) -> None:
        self.bank.update(kept.indices, kept.rows, momentum=self.momentum, skip=skip)


def _shuffled(embed: EmbedView, encoder: nn.Module, head: nn.Module, view: Tensor) -> tuple[Tensor, ...]:
    """Computes embeddings of a view, its images in another order than those of the queries: ShuffleBN.

    A key's batch statistics, over a rank or a part of split batch norm, are then of other images than its query's
    (section 3.3). Networks without such statistics take the images as they are, and nothing is sent.
    """
    if not (shares_statistics(encoder) or shares_statistics(head)):
        return embed(encoder, head, view)
    images, order = shuffle(view)
    return tuple(unshuffle(rows, order) for rows in embed(encoder, head, images))
