"""SwAV (Caron, Misra, Mairal, Goyal, Bojanowski, Joulin 2020, arXiv:2006.09882)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, CountOrZero, Positive
from sslfast.data import Batch
from sslfast.distributed import gather, own, world
from sslfast.encoders import Encoder
from sslfast.methods.parts.clustering import check_clusters
from sslfast.methods.parts.multi_crop import MultiCrop, MultiCropConfig
from sslfast.methods.parts.queue import Queue, queue_size
from sslfast.nn.swav import swapped_prediction


@dataclass(config=STRICT)
class SwAVConfig(MultiCropConfig):
    name: Literal["swav"]
    prototypes: Count = 3000
    """Trained unit vectors that embeddings are assigned to."""
    frozen_epochs: CountOrZero = 1
    """First epochs in which the prototypes stay as they were drawn."""
    epsilon: Positive = 0.05
    """Weight of the entropy of the assignments: the smaller, the harder they are."""
    iterations: Count = 3
    """Of Sinkhorn-Knopp."""
    queue_size: CountOrZero = 3840
    """Embeddings of earlier batches that take part in the assignment, for each of the global crops; 0: none."""
    queue_epoch: CountOrZero = 15
    """The epoch, counted from 0, from which on the queue fills; it is used once it is full."""


class SwAV(MultiCrop):
    """Each crop predicts which prototypes the global crops of its image are assigned to, online and balanced."""

    Config = SwAVConfig

    def __init__(self, recipe: Recipe, encoder: Encoder, images: int) -> None:
        super().__init__(recipe, encoder, images)
        config = self.config
        self.prototypes = nn.Parameter(F.normalize(torch.randn(config.prototypes, config.dim), dim=1))
        # A row holds the embeddings of an image's global crops, one after the other.
        self.queue = Queue(config.queue_size, config.global_crops * config.dim) if config.queue_size else None

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        config = self.config
        prototypes = self.prototypes.detach() if batch.epoch < config.frozen_epochs else self.prototypes
        embeddings = self.embed(batch.views)
        scores = [embedding @ prototypes.T for embedding in embeddings]
        assigned, others = scores[: config.global_crops], scores[config.global_crops :]
        self._queued = None
        if batch.epoch >= config.queue_epoch:
            self._queued = gather(torch.cat(embeddings[: config.global_crops], dim=1).detach())
        loss = swapped_prediction(
            assigned,
            others,
            self._queue_scores() if self._queued is not None else None,
            temperature=config.temperature,
            epsilon=config.epsilon,
            iterations=config.iterations,
            group=world(),
        )
        first, last = assigned[0].detach().argmax(dim=1), assigned[-1].detach().argmax(dim=1)
        # How often two crops of an image have the same best prototype.
        return loss, {"agreement": (first == last).float().mean()}

    @torch.no_grad()
    def _queue_scores(self) -> list[Tensor] | None:
        """Of the queue's embeddings against today's prototypes; minus infinity, as good as absent, until full."""
        if self.queue is None:
            return None
        full = self.queue.filled == self.queue.size
        crops = own(self.queue.keys).chunk(self.config.global_crops, dim=1)  # the balance is over all ranks' rows
        return [torch.where(full, keys @ self.prototypes.T, -torch.inf) for keys in crops]

    def after_step(self, step: int, total_steps: int, skip: Tensor) -> None:
        if self.queue is not None and self._queued is not None:
            self.queue.enqueue(self._queued, skip=skip)
        with torch.no_grad():  # so that the next step finds them normalised
            self.prototypes.copy_(torch.where(skip, self.prototypes, F.normalize(self.prototypes, dim=1)))

    @classmethod
    def check(cls, recipe: Recipe, images: int) -> None:
        super().check(recipe, images)
        check_clusters("method.prototypes", recipe.method.prototypes, images)
        queue_size(recipe.method.queue_size, recipe.data.batch_size, images)
