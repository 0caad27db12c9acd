"""ReSim, region similarity (Xiao, Reed, Wang, Keutzer, Darrell 2021, arXiv:2103.12902)."""

from __future__ import annotations

import math
from typing import Literal, cast

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast import kernels as K
from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, NonNegative
from sslfast.data import Batch
from sslfast.distributed import gather, world_size
from sslfast.encoders import Encoder
from sslfast.encoders.resnet import STRIDES, ResNet
from sslfast.errors import UsageError
from sslfast.methods.moco_v1 import MoCo, MoCoConfig, projection_head, queued_keys
from sslfast.methods.parts.negatives import Contrast, QueuedKeys
from sslfast.methods.parts.region_pooling import pool_regions
from sslfast.views import aligned_windows


@dataclass(config=STRICT)
class ReSimConfig(MoCoConfig):
    name: Literal["resim"]
    window: Count = 3
    """Side of a window, in cells of the map before the last stage; the paper's 48 pixels are 3 of 16."""
    step: Count = 1
    """Number of cells from a window to the next."""
    region_weight: NonNegative = 1.0
    """Weight of the windows' loss, which is added to that of whole images."""


class ReSim(MoCo[ReSimConfig]):
    """MoCo v2, and the same loss of windows, whose positive is the same place of the image in the other view.

    It is the form ReSim-C4: windows are pooled from the map before the last stage. As in the published code, which
    is the form with a pyramid, the negatives are all windows of the batch's keys, those of the same image among
    them, and windows that the other view does not show whole are left out. Windows have a head of their own, as
    that of whole images, and each view is mirrored by itself: our reading, and our choice.
    """

    Config = ReSimConfig
    needs_c4 = True
    negatives: QueuedKeys

    def __init__(self, recipe: Recipe[ReSimConfig], encoder: Encoder, num_images: int) -> None:
        dim = recipe.method.dim
        widths = encoder.feature_dim, cast(ResNet, encoder).c4_dim
        head = nn.ModuleList([projection_head(recipe, width, dim) for width in widths])
        keys = queued_keys(recipe, encoder, head, num_images, embed_cells)
        super().__init__(recipe, encoder, num_images, head, keys)

    def one_way(self, query_view: Tensor, key_view: Tensor, batch: Batch) -> Contrast:
        query, query_map = embed_cells(self.encoder, self.head, query_view)
        key, key_map = self.negatives.keys(key_view)
        loss, positive_ranks = self.negatives.loss(query, key)
        region_loss = self._region_loss(query_map, key_map, batch)
        return Contrast(loss + self.config.region_weight * region_loss, positive_ranks, gather(key))

    def _region_loss(self, query_map: Tensor, key_map: Tensor, batch: Batch) -> Tensor:
        """Computes the mean InfoNCE of the windows of all ranks that both views show; 0 where there are none."""
        config = self.config
        box1, box2 = batch.boxes
        windows, aligned, inside = aligned_windows(box1, box2, key_map.shape[-1], config.window, config.step)
        aligned = torch.where(inside[..., None], aligned, windows)  # any region: these are left out below
        query = F.normalize(pool_regions(query_map, windows), dim=2)
        positive = F.normalize(pool_regions(key_map, aligned), dim=2)
        negatives = F.normalize(F.avg_pool2d(key_map, config.window, config.step), dim=1)  # [B, dim, n, n]
        losses = K.info_nce(
            query.flatten(0, 1),
            positive.flatten(0, 1),
            gather(negatives).flatten(2).mT.flatten(0, 1),
            temperature=config.temperature,
            reduction="none",
        )
        count = gather(inside.sum(dtype=losses.dtype)[None]).sum().clamp(min=1)
        return (losses * inside.flatten()).sum() * (world_size() / count)  # ranks have different numbers of them

    @classmethod
    def chance_loss(cls, recipe: Recipe[ReSimConfig], num_images: int) -> float:
        config, side = recipe.method, map_side(recipe)
        num_windows = recipe.data.batch_size * ((side - config.window) // config.step + 1) ** 2
        return super().chance_loss(recipe, num_images) + config.region_weight * math.log(1 + num_windows)

    @classmethod
    def check(cls, recipe: Recipe[ReSimConfig], num_images: int) -> None:
        super().check(recipe, num_images)
        if len(set(recipe.data.sizes)) > 1:
            raise UsageError(f"resim: expected views of one size, got {recipe.data.sizes}; set one in data.size")
        if recipe.method.window > (side := map_side(recipe)):
            raise UsageError(
                f"method.window={recipe.method.window}: expected at most the {side} cells of a side of the map; "
                "take a smaller window or a larger data.size"
            )


def map_side(recipe: Recipe[ReSimConfig]) -> int:
    """Counts the cells along a side of the map before the last stage."""
    return -(-recipe.data.sizes[0] // (STRIDES[recipe.encoder.stem] // 2))


def embed_cells(encoder: nn.Module, head: nn.Module, view: Tensor) -> tuple[Tensor, Tensor]:
    """Computes z (B, dim) of a view, of length 1, and the embeddings of its map's cells (B, dim, h, w)."""
    image_head, cell_head = head.children()
    last, c4 = encoder(view, c4=True)
    cells = c4.flatten(2).mT  # [B, P, D]
    embedded = cell_head(cells.flatten(0, 1)).unflatten(0, cells.shape[:2]).mT.unflatten(2, c4.shape[2:])
    return F.normalize(image_head(last.mean((2, 3))), dim=1), embedded
