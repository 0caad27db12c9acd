"""Jigsaw Clustering, JigClu (Chen, Liu, Jia 2021, arXiv:2104.00323)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast import kernels as K
from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, NonNegative, Positive
from sslfast.data import Batch
from sslfast.distributed import gather, local_rows
from sslfast.encoders import Encoder
from sslfast.errors import UsageError
from sslfast.methods.base import Method
from sslfast.methods.parts.heads import mlp
from sslfast.methods.parts.puzzle import classified
from sslfast.random.key import Stream
from sslfast.views import montage


@dataclass(config=STRICT)
class JigsawClusteringConfig:
    name: Literal["jigsaw_clustering"]
    dim: Count = 128
    """Width of a patch's embedding."""
    hidden: Count = 2048
    """Width of the clustering head's hidden layer; in the authors' code that of the encoder's features."""
    temperature: Positive = 0.3
    """Divisor of the similarities."""
    base_temperature: Positive = 0.07
    """Temperature that sets the clustering's scale, temperature / base_temperature, as in the authors' code."""
    clustering_weight: NonNegative = 1.0
    """Weight of the clustering: which patches are of one image."""
    location_weight: NonNegative = 1.0
    """Weight of the location: where in its image a patch was."""


class JigsawClustering(Method[JigsawClusteringConfig, None]):
    """Patches of a batch's images lie mixed in montages; of each is told its image and its place in it.

    A view is the patch of one place, cut out by its `region` and augmented by itself. The encoder sees m x m
    patches of any images as one image, as large as those that it is for; means over the parts of its map tell them
    apart again (figure 2). The patches of one image are each other's positives among all patches, as in SupCon.
    """

    Config = JigsawClusteringConfig
    num_views = None
    needs_map = True

    def __init__(self, recipe: Recipe[JigsawClusteringConfig], encoder: Encoder, num_images: int) -> None:
        super().__init__(recipe, encoder, num_images)
        self.head = mlp(encoder.feature_dim, self.config.hidden, self.config.dim)
        self.location = nn.Linear(encoder.feature_dim, len(recipe.data.views))

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], None]:
        config, places = self.config, len(batch.views)
        order = patch_order(batch)
        own = local_rows(order)
        patches = gather(torch.stack(batch.views, dim=1)).flatten(0, 1)  # image by image
        montages = montage(patches[own].unflatten(0, (-1, places)))
        features = patch_features(self.encoder(montages, dense=True), places)
        embeddings = F.normalize(self.head(features), dim=1)
        clustering = K.sup_con(gather(embeddings), order // places, temperature=config.temperature)
        clustering = clustering * (config.temperature / config.base_temperature)
        location, values = classified(self.location(features), own % places)
        loss = config.clustering_weight * clustering + config.location_weight * location
        return loss, {"location_accuracy": values["accuracy"]}, None

    @classmethod
    def sides(cls, recipe: Recipe[JigsawClusteringConfig]) -> set[int]:
        return {_cells(recipe) * recipe.data.sizes[0]}

    @classmethod
    def chance_loss(cls, recipe: Recipe[JigsawClusteringConfig], num_images: int) -> float:
        config, places = recipe.method, len(recipe.data.views)
        clustering = math.log(recipe.data.batch_size * places - 1) * config.temperature / config.base_temperature
        return config.clustering_weight * clustering + config.location_weight * math.log(places)

    @classmethod
    def check(cls, recipe: Recipe[JigsawClusteringConfig], num_images: int) -> None:
        _cells(recipe)


def patch_order(batch: Batch) -> Tensor:
    """Draws the order in which the montages hold the patches of all ranks' images: int64 (images * views,).

    Patch i is of image i // views and its view i % views. Of any images' patches each order is as likely.
    """
    key = replace(batch.key(), index=gather(batch.index))
    return key.uniform(Stream.PERMUTATION, len(batch.views)).flatten().argsort(stable=True)


def patch_features(maps: Tensor, count: int) -> Tensor:
    """Computes the features of the patches of montages: means over the parts of the encoder's map.

    A map whose side is no multiple of a montage's is enlarged to the next one: that of a ResNet at 224 pixels from
    7 x 7 to 8 x 8, as in the authors' code.

    Args:
        maps: (B, D, h, w).
        count: patches of a montage, a square number.

    Returns:
        (B * count, D), montage by montage, in reading order.
    """
    cells = math.isqrt(count)
    height, width = (-(-side // cells) * cells for side in maps.shape[2:])
    if (height, width) != maps.shape[2:]:
        maps = F.interpolate(maps, size=(height, width), mode="bilinear", align_corners=False)
    return F.avg_pool2d(maps, (height // cells, width // cells)).flatten(2).mT.flatten(0, 1)


def _cells(recipe: Recipe[JigsawClusteringConfig]) -> int:
    """Counts the patches along the side of a montage.

    Raises:
        UsageError: no montage can be made of the views.
    """
    sizes = recipe.data.sizes
    cells = math.isqrt(len(sizes))
    if cells < 2 or cells**2 != len(sizes) or len(set(sizes)) > 1:
        raise UsageError(
            "data.views: expected 4, 9, 16, ... views of one size, the patches of a montage, got "
            f"{len(sizes)} of {', '.join(map(str, sorted(set(sizes))))} pixels; take data.views=jigsaw_clustering"
        )
    return cells
