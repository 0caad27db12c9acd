"""PCL, prototypical contrastive learning (Li, Zhou, Xiong, Hoi 2021, arXiv:2005.04966)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, CountOrZero, NonNegative
from sslfast.data import Batch
from sslfast.encoders import Encoder
from sslfast.methods.base import Embed
from sslfast.methods.moco_v2 import MoCoV2, MoCoV2Config
from sslfast.methods.parts.clustering import Clusters, check_clusters, kmeans, squared_distances, sums
from sslfast.methods.parts.prototypes import Prototypes

PERCENTILES = (0.1, 0.9)  # between which the authors' code keeps the concentrations


@dataclass(config=STRICT)
class PCLConfig(MoCoV2Config):
    name: Literal["pcl"]  # type: ignore[assignment]
    queue_size: Count | None = 16384
    """Negatives: past keys; null: an eighth of the images, at most 65536."""
    clusters: Annotated[tuple[Count, ...], Field(min_length=1)] = (25000, 50000, 100000)
    """Clusters of each clustering; the losses against their prototypes are averaged."""
    warmup_epochs: CountOrZero = 20
    """First epochs, without prototypes."""
    smoothing: NonNegative = 10.0
    """alpha: keeps the concentration of small clusters from being large."""
    iterations: Count = 20
    """Of k-means."""


class PCL(MoCoV2):
    """MoCo v2, whose queries also predict the clusters of their images, at several granularities (equation 11).

    Each epoch k-means clusters the momentum network's embeddings of the images, not augmented. A logit is
    <query, prototype> / phi with the concentration phi of the prototype's own cluster. All other prototypes are
    negatives, where the authors draw 16384 of them, and k-means runs once, where theirs takes the best of 5: ours.
    """

    Config = PCLConfig
    queue_only = True

    def __init__(self, recipe: Recipe, encoder: Encoder, images: int) -> None:
        super().__init__(recipe, encoder, images)
        self.seed = recipe.train.seed
        # Each over its concentration, so that their logits have a temperature of 1.
        self.prototypes = Prototypes(self.config.clusters, images, self.config.dim)

    def start_epoch(self, epoch: int, embed: Embed) -> None:
        config = self.config
        if epoch < config.warmup_epochs:
            return
        embeddings, kept = embed(self.key_network.module)
        points = F.normalize(embeddings, dim=1)
        for n, k in enumerate(config.clusters):
            found = kmeans(points, k, seed=self.seed, epoch=epoch, run=n, iterations=config.iterations)
            phi = concentration(points, found, config.smoothing, config.temperature)
            vectors = F.normalize(found.centroids, dim=1) / phi[:, None]
            self.prototypes.replace(n, vectors, kept, found.assignment)

    def _contrast(self, query: Tensor, key_view: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        loss, rank, keys = super()._contrast(query, key_view, batch)
        if batch.epoch >= self.config.warmup_epochs:
            loss = loss + self.prototypes.losses(query, batch.index, temperature=1.0).mean()
        return loss, rank, keys

    @classmethod
    def check(cls, recipe: Recipe, images: int) -> None:
        super().check(recipe, images)
        check_clusters("method.clusters", max(recipe.method.clusters), images, recipe.data)


def concentration(points: Tensor, clusters: Clusters, smoothing: float, temperature: float) -> Tensor:
    """phi of each cluster (equation 12), small where its points lie close together.

        phi = mean distance of its Z points from its centroid / log(Z + smoothing)

    As in the authors' code a cluster of at most one point takes the largest; then all are clamped between the 10th
    and the 90th percentile, and scaled to a mean of `temperature`.

    Args:
        points: (N, D), that were clustered.
        clusters: k of them.
        smoothing: alpha of the paper.
        temperature: the mean.

    Returns:
        fp32 (k,).
    """
    counts = clusters.sizes()
    distances = squared_distances(points, clusters.centroids, clusters.assignment).sqrt()
    phi = sums(distances, clusters.assignment, counts) / (counts.clamp(min=1) * (counts + smoothing).log())
    phi = torch.where(counts > 1, phi, phi[counts > 1].max() if (counts > 1).any() else 1.0)
    low, high = phi.quantile(phi.new_tensor(PERCENTILES))
    phi = phi.clamp(low, high).clamp(min=torch.finfo(phi.dtype).tiny)
    return temperature * phi / phi.mean()
