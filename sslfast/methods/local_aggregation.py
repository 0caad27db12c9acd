"""Local Aggregation (Zhuang, Zhai, Yamins 2019, arXiv:1903.12355)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, CountOrZero
from sslfast.data import Batch
from sslfast.encoders import Encoder
from sslfast.errors import UsageError
from sslfast.methods.base import Embed
from sslfast.methods.instdisc import InstDisc, InstDiscConfig, InstDiscKept
from sslfast.methods.parts.clustering import check_clusters, kmeans
from sslfast.methods.parts.collapse import embedding_std

EPSILON = 1e-7  # the authors' code adds it to the probability, of which there is none without a close neighbor


@dataclass(config=STRICT)
class LocalAggregationConfig(InstDiscConfig):
    name: Literal["local_aggregation"]  # type: ignore[assignment]
    background: Count = 4096
    """Number of background neighbors, the rows of the memory bank that are nearest to an embedding."""
    clusters: Count = 30000
    """Number of clusters of each clustering."""
    clusterings: Count = 10
    """Number of clusterings; the images that share a cluster in any of them are close neighbors."""
    iterations: Count = 20
    """Number of iterations of k-means."""
    warmup_epochs: CountOrZero = 10
    """Number of first epochs with the loss of InstDisc, for which objective, noise and proximal are."""


class LocalAggregation(InstDisc[LocalAggregationConfig]):
    """An image is drawn to those that share its clusters, among the nearest of all images.

    With P(A | v), the share that the rows A of the memory bank have in the softmax of all rows' similarities to an
    embedding v, the loss is -log P(C and B | v) / P(B | v). B are the rows nearest to v, C those of the images
    that share a cluster with its image. Each epoch clusters the bank anew, by k-means from several beginnings. An
    image none of whose close neighbors is in B has no gradient, as in the authors' code.
    """

    Config = LocalAggregationConfig
    assignments: Tensor

    def __init__(self, recipe: Recipe[LocalAggregationConfig], encoder: Encoder, num_images: int) -> None:
        super().__init__(recipe, encoder, num_images)
        config = self.config
        self.seed = recipe.train.seed
        self.register_buffer("assignments", torch.zeros(config.clusterings, num_images, dtype=torch.int64))
        self.buffer_bounds = {"assignments": (0, config.clusters - 1)}

    def start_epoch(self, epoch: int, embed: Embed, check_interrupt: Callable[[], None] = lambda: None) -> None:
        config = self.config
        if epoch < config.warmup_epochs:
            return
        for n in range(config.clusterings):
            clusters = kmeans(
                self.bank.rows,
                config.clusters,
                seed=self.seed,
                epoch=epoch,
                run=n,
                iterations=config.iterations,
                check_interrupt=check_interrupt,
            )
            self.assignments[n] = clusters.assignment

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], InstDiscKept]:
        if batch.epoch < self.config.warmup_epochs:
            loss, values, kept = super().loss(batch)
        else:
            embedding = self.embed(batch.views[0])
            probability = self._aggregation(embedding, batch.index)
            loss, values = -(probability + EPSILON).log().mean(), {"probability": probability.detach().mean()}
            kept = InstDiscKept(batch.index, embedding.detach(), None)
        return loss, {**values, "std": embedding_std(kept.embedding)}, kept

    def _aggregation(self, embedding: Tensor, index: Tensor) -> Tensor:
        """Computes P(C and B | v) / P(B | v) of embeddings (B, dim) of the images int64 (B,): fp32 (B,)."""
        scores = (embedding @ self.bank.rows.T).float() / self.config.temperature  # [B, images]
        background, neighbors = scores.topk(self.config.background, dim=1, sorted=False)
        shared = self.assignments[:, index, None] == self.assignments[:, neighbors]  # [clusterings, B, background]
        return (background.softmax(dim=1) * shared.any(dim=0)).sum(dim=1)

    @classmethod
    def chance_loss(cls, recipe: Recipe[LocalAggregationConfig], num_images: int) -> float | None:
        if recipe.train.epochs > recipe.method.warmup_epochs:
            return None  # images that are all alike share one cluster: the loss is 0, see `even_std`
        return super().chance_loss(recipe, num_images)

    @classmethod
    def even_std(cls, recipe: Recipe[LocalAggregationConfig]) -> float:
        return float(recipe.method.dim**-0.5)

    @classmethod
    def check(cls, recipe: Recipe[LocalAggregationConfig], num_images: int) -> None:
        super().check(recipe, num_images)
        config = recipe.method
        check_clusters("method.clusters", config.clusters, num_images, recipe.data)
        if config.background > num_images:
            raise UsageError(
                f"method.background={config.background}: expected at most as many as the {num_images} images to "
                "train on"
            )
