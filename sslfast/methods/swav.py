"""SwAV (Caron, Misra, Mairal, Goyal, Bojanowski, Joulin 2020, arXiv:2006.09882)."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, CountOrZero, Positive
from sslfast.data import Batch
from sslfast.distributed import gather, local_rows, world
from sslfast.encoders import Encoder
from sslfast.methods.parts.clustering import check_clusters
from sslfast.methods.parts.multi_crop import MultiCrop, MultiCropConfig
from sslfast.methods.parts.queue import Queue, queue_size
from sslfast.nn.swav import swapped_prediction


@dataclass(config=STRICT)
class SwAVConfig(MultiCropConfig):
    name: Literal["swav"]
    prototypes: Count = 3000
    """Number of trained unit vectors that embeddings are assigned to."""
    frozen_epochs: CountOrZero = 1
    """Number of first epochs in which the prototypes stay as they were drawn."""
    epsilon: Positive = 0.05
    """Weight of the entropy of the assignments: the smaller, the harder they are."""
    iterations: Count = 3
    """Number of iterations of Sinkhorn-Knopp."""
    codes: Literal["continuous", "discrete"] = "continuous"
    """Form of the assignments. continuous: shares of all prototypes; discrete: each embedding's largest share
    alone, which the paper finds worse (section 3.1)."""
    queue_size: CountOrZero = 3840
    """Number of earlier embeddings that take part in the assignment, for each of the global crops; 0: none."""
    queue_epoch: CountOrZero = 15
    """Epoch, counted from 0, from which on the queue fills; it is used once it is full."""


class SwAV(MultiCrop[SwAVConfig, Tensor | None]):
    """Each crop predicts which prototypes the global crops of its image are assigned to, online and balanced."""

    Config = SwAVConfig

    def __init__(self, recipe: Recipe[SwAVConfig], encoder: Encoder, num_images: int) -> None:
        super().__init__(recipe, encoder, num_images)
        config = self.config
        self.prototypes = nn.Parameter(F.normalize(torch.randn(config.prototypes, config.dim), dim=1))
        # A row holds the embeddings of an image's global crops, one after the other.
        self.queue = Queue(config.queue_size, config.global_crops * config.dim) if config.queue_size else None

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], Tensor | None]:
        config = self.config
        prototypes = self.prototypes.detach() if batch.epoch < config.frozen_epochs else self.prototypes
        embeddings = self.embed(batch.views)
        scores = [embedding @ prototypes.T for embedding in embeddings]
        assigned, others = scores[: config.global_crops], scores[config.global_crops :]
        queued = None
        if batch.epoch >= config.queue_epoch:
            queued = gather(torch.cat(embeddings[: config.global_crops], dim=1).detach())
        loss = swapped_prediction(
            assigned,
            others,
            self._queue_scores() if queued is not None else None,
            temperature=config.temperature,
            epsilon=config.epsilon,
            iterations=config.iterations,
            discrete=config.codes == "discrete",
            group=world(),
        )
        first, last = assigned[0].detach().argmax(dim=1), assigned[-1].detach().argmax(dim=1)
        # How often two crops of an image have the same best prototype.
        return loss, {"agreement": (first == last).float().mean()}, queued

    @torch.no_grad()
    def _queue_scores(self) -> list[Tensor] | None:
        """Scores queued embeddings against today's prototypes; minus infinity, as if absent, until full."""
        if self.queue is None:
            return None
        full = self.queue.filled == self.queue.size
        # The balance is over all ranks' rows.
        crops = local_rows(self.queue.keys).chunk(self.config.global_crops, dim=1)
        return [torch.where(full, keys @ self.prototypes.T, -torch.inf) for keys in crops]

    def after_step(self, kept: Tensor | None, step: int, total_steps: int, skip: Tensor) -> None:
        if self.queue is not None and kept is not None:
            self.queue.enqueue(kept, skip=skip)
        with torch.no_grad():  # so that the next step finds them normalized
            self.prototypes.copy_(torch.where(skip, self.prototypes, F.normalize(self.prototypes, dim=1)))

    @classmethod
    def chance_loss(cls, recipe: Recipe[SwAVConfig], num_images: int) -> float:
        return math.log(recipe.method.prototypes)

    @classmethod
    def check(cls, recipe: Recipe[SwAVConfig], num_images: int) -> None:
        super().check(recipe, num_images)
        check_clusters("method.prototypes", recipe.method.prototypes, num_images)
        queue_size(recipe.method.queue_size, recipe.data.batch_size, num_images)
