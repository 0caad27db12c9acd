"""DeepCluster v2: DeepCluster with the means of SwAV (Caron et al. 2020, arXiv:2006.09882, appendix D).

Where the paper leaves it open, as in the authors' code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count
from sslfast.data import Batch
from sslfast.distributed import gather
from sslfast.encoders import Encoder
from sslfast.methods.base import Embed
from sslfast.methods.parts.clustering import check_clusters, kmeans
from sslfast.methods.parts.multi_crop import MultiCrop, MultiCropConfig
from sslfast.methods.parts.prototypes import Prototypes


@dataclass(config=STRICT)
class DeepClusterV2Config(MultiCropConfig):
    name: Literal["deepcluster_v2"]
    clusters: Annotated[tuple[Count, ...], Field(min_length=1)] = (3000, 3000, 3000)
    """Number of clusters of each clustering; the losses of all are averaged."""
    iterations: Count = 10
    """Number of iterations of k-means."""


class DeepClusterV2Kept(NamedTuple):
    """The results of a batch, of all ranks, that the bank takes over after the step.

    Attributes:
        indices: int64 (N,), the positions of the images.
        embeddings: (crops, N, dim), those of their global crops, without gradient.
    """

    indices: Tensor
    embeddings: Tensor


class DeepClusterV2(MultiCrop[DeepClusterV2Config, DeepClusterV2Kept]):
    """Every crop predicts the cluster of its image among the centroids of the embeddings of the epoch before.

    Each epoch spherical k-means clusters the embeddings that the global crops had when they were last seen;
    before the first epoch those of the images, not augmented: ours, where the code embeds one more epoch of
    crops. The centroids are the prototypes, and receive no gradient. Clustering n is of the embeddings of global
    crop n, modulo how many there are.
    """

    Config = DeepClusterV2Config
    adds_up = True
    bank: Tensor

    def __init__(self, recipe: Recipe[DeepClusterV2Config], encoder: Encoder, num_images: int) -> None:
        super().__init__(recipe, encoder, num_images)
        config = self.config
        self.seed = recipe.train.seed
        # The latest embedding of each global crop of each image; zeros where an image cannot be read.
        self.register_buffer("bank", torch.zeros(config.global_crops, num_images, config.dim))
        self.prototypes = Prototypes(config.clusters, num_images, config.dim)

    def start_epoch(self, epoch: int, embed: Embed, check_interrupt: Callable[[], None] = lambda: None) -> None:
        if epoch == 0:
            embeddings, index = embed(nn.Sequential(self.encoder, self.head))
            self.bank[:, index] = F.normalize(embeddings, dim=1)
        known = self.bank[0].any(dim=1).nonzero().flatten()
        for n, k in enumerate(self.config.clusters):
            points = self.bank[n % len(self.bank), known]
            clusters = kmeans(
                points,
                k,
                seed=self.seed,
                epoch=epoch,
                run=n,
                iterations=self.config.iterations,
                spherical=True,
                check_interrupt=check_interrupt,
            )
            self.prototypes.replace(n, clusters.centroids, known, clusters.assignment)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], DeepClusterV2Kept]:
        embeddings = self.embed(batch.views)
        global_crops = torch.stack(embeddings[: self.config.global_crops], dim=1).detach()
        kept = DeepClusterV2Kept(gather(batch.index), gather(global_crops).transpose(0, 1))
        index = batch.index.repeat(len(embeddings))
        losses = self.prototypes.losses(torch.cat(embeddings), index, temperature=self.config.temperature)
        return losses.mean(), {"probability": (-losses.detach()).exp().mean()}, kept

    def after_step(self, kept: DeepClusterV2Kept, step: int, total_steps: int, skip: Tensor) -> None:
        before = self.bank[:, kept.indices]
        self.bank[:, kept.indices] = torch.where(skip, before, kept.embeddings.float())

    @classmethod
    def chance_loss(cls, recipe: Recipe[DeepClusterV2Config], num_images: int) -> float:
        clusters = recipe.method.clusters
        return sum(map(math.log, clusters)) / len(clusters)

    @classmethod
    def check(cls, recipe: Recipe[DeepClusterV2Config], num_images: int) -> None:
        super().check(recipe, num_images)
        check_clusters("method.clusters", max(recipe.method.clusters), num_images, recipe.data)
