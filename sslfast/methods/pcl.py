"""PCL, prototypical contrastive learning (Li, Zhou, Xiong, Hoi 2021, arXiv:2005.04966)."""

from __future__ import annotations

import math
from collections.abc import Callable
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
from sslfast.methods.moco_v1 import MoCo, MoCoConfig, projection_head, queued_keys
from sslfast.methods.parts.clustering import Clusters, check_clusters, kmeans, squared_distances, sums
from sslfast.methods.parts.negatives import Contrast, QueuedKeys, unit_embedding
from sslfast.methods.parts.prototypes import Prototypes

PERCENTILES = (0.1, 0.9)  # between which the authors' code keeps the concentrations


@dataclass(config=STRICT)
class PCLConfig(MoCoConfig):
    name: Literal["pcl"]
    queue_size: Count | None = 16384
    """Number of negatives, past keys; null: an eighth of the images, at most 65536."""
    clusters: Annotated[tuple[Count, ...], Field(min_length=1)] = (25000, 50000, 100000)
    """Number of clusters of each clustering; the losses against their prototypes are averaged."""
    warmup_epochs: CountOrZero = 20
    """Number of first epochs without prototypes."""
    smoothing: NonNegative = 10.0
    """Smoothing of the concentrations, the paper's alpha: it keeps that of small clusters from being large."""
    iterations: Count = 20
    """Number of iterations of k-means."""


class PCL(MoCo[PCLConfig]):
    """MoCo v2, whose queries also predict the clusters of their images, at several granularities (equation 11).

    Each epoch k-means clusters the momentum network's embeddings of the images, not augmented. A logit is
    <query, prototype> / phi with the concentration phi of the prototype's own cluster. All other prototypes are
    negatives, where the authors draw 16384 of them, and k-means runs once, where theirs takes the best of 5: ours.
    """

    Config = PCLConfig
    adds_up = True
    negatives: QueuedKeys

    def __init__(self, recipe: Recipe[PCLConfig], encoder: Encoder, num_images: int) -> None:
        config = recipe.method
        head = projection_head(recipe, encoder.feature_dim, config.dim)
        super().__init__(recipe, encoder, num_images, head, queued_keys(recipe, encoder, head, num_images))
        self.seed = recipe.train.seed
        # Each over its concentration, so that their logits have a temperature of 1.
        self.prototypes = Prototypes(config.clusters, num_images, config.dim)

    def start_epoch(self, epoch: int, embed: Embed, check_interrupt: Callable[[], None] = lambda: None) -> None:
        config = self.config
        if epoch < config.warmup_epochs:
            return
        embeddings, index = embed(self.negatives.key_network.module)
        points = F.normalize(embeddings, dim=1)
        for n, k in enumerate(config.clusters):
            clusters = kmeans(
                points,
                k,
                seed=self.seed,
                epoch=epoch,
                run=n,
                iterations=config.iterations,
                check_interrupt=check_interrupt,
            )
            phi = concentration(points, clusters, config.smoothing, config.temperature)
            vectors = F.normalize(clusters.centroids, dim=1) / phi[:, None]
            self.prototypes.replace(n, vectors, index, clusters.assignment)

    def one_way(self, query_view: Tensor, key_view: Tensor, batch: Batch) -> Contrast:
        (query,) = unit_embedding(self.encoder, self.head, query_view)
        contrast = self.negatives.contrast(query, key_view, batch)
        if batch.epoch < self.config.warmup_epochs:
            return contrast
        prototype_loss = self.prototypes.losses(query, batch.index, temperature=1.0).mean()
        return contrast._replace(loss=contrast.loss + prototype_loss)

    @classmethod
    def chance_loss(cls, recipe: Recipe[PCLConfig], num_images: int) -> float:
        loss, config = super().chance_loss(recipe, num_images), recipe.method
        if recipe.train.epochs <= config.warmup_epochs:
            return loss
        return loss + sum(map(math.log, config.clusters)) / len(config.clusters)

    @classmethod
    def check(cls, recipe: Recipe[PCLConfig], num_images: int) -> None:
        super().check(recipe, num_images)
        check_clusters("method.clusters", max(recipe.method.clusters), num_images, recipe.data)


def concentration(points: Tensor, clusters: Clusters, smoothing: float, temperature: float) -> Tensor:
    """Computes the concentration phi of each cluster (equation 12), small where its points lie close together.

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
