"""A memory of every image, and the losses against it (Wu et al. 2018, arXiv:1805.01978)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslfast import kernels as K
from sslfast.config import Recipe
from sslfast.data import Batch
from sslfast.distributed import gather, mean
from sslfast.errors import UsageError
from sslfast.random.key import Stream


class MemoryBank(nn.Module):
    """A unit vector of every image, by the image's index.

    Args:
        num_images: how many images there are.
        dim: the width of a row.

    Attributes:
        rows: (num_images, dim) fp32; at the start random directions, drawn from torch's generator.
    """

    rows: Tensor

    def __init__(self, num_images: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("rows", F.normalize(torch.randn(num_images, dim), dim=1))

    @torch.no_grad()
    def update(self, index: Tensor, embeddings: Tensor, *, momentum: float, skip: Tensor) -> None:
        """Moves rows towards the embeddings that their images have now, and back to length 1.

            row = momentum * row + (1 - momentum) * embedding;  row = row / |row|

        Call it after the loss, which is against the rows of before. The rows of all ranks' images move.

        Args:
            index: int64 (B,), the positions of the images, all different.
            embeddings: (B, dim).
            momentum: in [0, 1].
            skip: 0-d bool tensor; where true, nothing changes.
        """
        index, embeddings = gather(index), gather(embeddings)
        before = self.rows[index]
        moved = F.normalize(momentum * before + (1 - momentum) * embeddings.float(), dim=1)
        self.rows.index_copy_(0, index, torch.where(skip, before, moved))

    def noise(self, batch: Batch, count: int) -> Tensor:
        """Draws indices of other images than the batch's, uniformly with replacement: int64 (count,).

        They are a function of the seed, the epoch and the batch's images, of all ranks. That one draw serves them
        all, and that none of them is in it, are ours: the authors draw `count` for each.
        """
        index = gather(batch.index)
        excluded = index.sort().values
        each = -(-count // len(excluded))
        key = replace(batch.key(), index=index)
        draw = key.integers(Stream.NEGATIVE, len(self.rows) - len(excluded), each).flatten()[:count]
        # The draw counts the images without the excluded ones; excluded[i] - i of those come before excluded[i].
        before = excluded - torch.arange(len(excluded), device=excluded.device)
        return draw + torch.searchsorted(before, draw, right=True)

    def extra_repr(self) -> str:
        return ", ".join(map(str, self.rows.shape))


Objective = Literal["nce", "softmax"]


class BankLoss(nn.Module):
    """The loss of a positive against noise, both rows of a bank.

    With s = <query, row> / t, of the positive and of K rows of noise:

    - nce: noise-contrastive estimation. A row is the positive with probability
      h(s) = exp(s) / (exp(s) + K Z / N) among N images; the loss is -log h(positive) - sum log(1 - h(noise)).
      Z / N is the mean of exp(s), a constant that the first step estimates (Wu et al. 2018, equations 4 to 8).
      With b = log(K Z / N): softplus(b - s) of the positive, softplus(s - b) of the noise.
    - softmax: the cross-entropy of the positive among all K + 1 rows, InfoNCE.

    Args:
        objective: which of them.
        temperature: t > 0.

    Attributes:
        partition: 0-d fp32, Z / N; 0 until the first step is done.
        buffer_bounds: the least and the largest value of a buffer, by its name.
    """

    partition: Tensor

    def __init__(self, objective: Objective, temperature: float) -> None:
        super().__init__()
        self.objective, self.temperature = objective, temperature
        self.register_buffer("partition", torch.zeros(()))
        self.buffer_bounds = {"partition": (0, math.inf)}

    def forward(self, query: Tensor, positive: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Computes the loss of queries.

        Args:
            query: (B, D), of length 1.
            positive: (B, D), each query's.
            noise: (K, D), for all queries.

        Returns:
            (the mean loss; the accuracy: how often no noise is nearer to the query than the positive; for
            `after_step`, the estimate of Z / N, None for softmax).
        """
        if self.objective == "softmax":
            loss, positive_ranks = K.info_nce(
                query, positive, noise, temperature=self.temperature, return_rank=True
            )
            return loss, (positive_ranks == 0).float().mean(), None
        s_positive = (query * positive).sum(dim=1).float() / self.temperature
        s_noise = (query @ noise.T).float() / self.temperature  # [B, K]: each has a term of its own
        exps = s_positive.detach().exp().sum() + s_noise.detach().exp().sum()
        estimate = mean(exps / (s_positive.numel() + s_noise.numel()))
        b = torch.where(self.partition > 0, self.partition, estimate).log() + math.log(len(noise))
        loss = F.softplus(b - s_positive) + F.softplus(s_noise - b).sum(dim=1)
        return loss.mean(), (s_positive > s_noise.amax(dim=1)).detach().float().mean(), estimate

    def after_step(self, estimate: Tensor | None, skip: Tensor) -> None:
        """Keeps the first step's estimate, which `forward` returned, unless `skip`, a 0-d bool tensor, is true."""
        if estimate is not None:
            fresh = (self.partition == 0) & ~skip
            self.partition.copy_(torch.where(fresh, estimate, self.partition))


def bank_chance_loss(objective: Objective, num_noise: int) -> float:
    """Computes the least `BankLoss` where positive and noise have one score; see `Method.chance_loss`."""
    if objective == "softmax":
        return math.log(1 + num_noise)
    return math.log(1 + num_noise) + num_noise * math.log(1 + 1 / num_noise)


def check_bank(recipe: Recipe, num_images: int) -> None:
    """Refuses a batch that leaves no image for the noise.

    Raises:
        UsageError: it does.
    """
    if recipe.data.batch_size >= num_images:
        raise UsageError(
            f"data.batch_size={recipe.data.batch_size}: expected fewer than the {num_images} images to train on, "
            "as others of them are the noise"
        )
