"""DeepCluster (Caron, Bojanowski, Joulin, Douze 2018, arXiv:1807.05520)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count
from sslfast.data import Batch
from sslfast.encoders import Encoder
from sslfast.methods.base import Embed, Method
from sslfast.methods.parts.clustering import check_clusters, kmeans, whiten
from sslfast.random.key import Stream
from sslfast.views import Key

WEIGHT_STD = 0.01  # of a new classifier, in the authors' code


@dataclass(config=STRICT)
class DeepClusterConfig:
    name: Literal["deepcluster"]
    clusters: Count = 10000
    """Number of clusters, hence of pseudo-labels; ten times the classes do best (section 4.1)."""
    components: Count = 256
    """Number of principal components of the features that are clustered."""
    iterations: Count = 20
    """Number of iterations of k-means."""
    reassign_every: Count = 1
    """Number of epochs from one clustering to the next."""


class DeepCluster(Method[DeepClusterConfig, None]):
    """Each epoch clusters the features of all images by k-means, then learns the clusters as classes.

    The classifier starts anew with every clustering, as the new clusters do not correspond to the old ones; its
    momentum in the optimizer does not: ours. The Sobel filter in front of the paper's networks is left out.
    """

    Config = DeepClusterConfig
    num_views = 1
    adds_up = True
    labels: Tensor
    weights: Tensor

    def __init__(self, recipe: Recipe[DeepClusterConfig], encoder: Encoder, num_images: int) -> None:
        super().__init__(recipe, encoder, num_images)
        clusters = self.config.clusters
        self.seed = recipe.train.seed
        self.classifier = nn.Linear(encoder.feature_dim, clusters)
        self.register_buffer("labels", torch.zeros(num_images, dtype=torch.int64))
        self.register_buffer("weights", torch.ones(clusters))
        self.buffer_bounds = {"labels": (0, clusters - 1), "weights": (0, math.inf)}

    def start_epoch(self, epoch: int, embed: Embed, check_interrupt: Callable[[], None] = lambda: None) -> None:
        if epoch % self.config.reassign_every:
            return
        features, index = embed(self.encoder)
        components = whiten(features, self.config.components)
        clusters = kmeans(
            components,
            self.config.clusters,
            seed=self.seed,
            epoch=epoch,
            iterations=self.config.iterations,
            check_interrupt=check_interrupt,
        )
        self.labels[index.to(self.labels.device)] = clusters.assignment
        # To draw clusters uniformly is to weigh an image by the inverse of its cluster's size (section 3.2,
        # "trivial parametrization"). The mean weight of an image is 1.
        counts = clusters.sizes()
        self.weights.copy_(len(features) / (counts.clamp(min=1) * (counts > 0).sum()))
        self._start_classifier(epoch)

    @torch.no_grad()
    def _start_classifier(self, epoch: int) -> None:
        key = Key(self.seed, epoch, torch.arange(self.config.clusters, device=self.labels.device))
        weight = self.classifier.weight
        weight.copy_(WEIGHT_STD * key.normal(Stream.WEIGHT, weight.shape[1]))
        self.classifier.bias.zero_()

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], None]:
        label = self.labels[batch.index]
        logits = self.classifier(self.encoder(batch.views[0]))
        losses = F.cross_entropy(logits, label, reduction="none")
        accuracy = (logits.detach().argmax(dim=1) == label).float().mean()
        return (self.weights[label] * losses).mean(), {"accuracy": accuracy}, None

    @classmethod
    def chance_loss(cls, recipe: Recipe[DeepClusterConfig], num_images: int) -> float:
        return math.log(recipe.method.clusters)

    @classmethod
    def check(cls, recipe: Recipe[DeepClusterConfig], num_images: int) -> None:
        check_clusters("method.clusters", recipe.method.clusters, num_images, recipe.data)
