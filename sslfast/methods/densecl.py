"""DenseCL (Wang, Zhang, Shen, Kong, Li 2021, arXiv:2011.09157)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast import kernels as K
from sslfast.config import Recipe
from sslfast.config.fields import STRICT, CountOrZero, Probability
from sslfast.data import Batch
from sslfast.distributed import gather
from sslfast.encoders import Encoder
from sslfast.methods.moco_v1 import MoCo, MoCoConfig, projection_head, queued_keys
from sslfast.methods.parts.negatives import Contrast, ContrastKept, QueuedKeys
from sslfast.methods.parts.queue import Queue


@dataclass(config=STRICT)
class DenseCLConfig(MoCoConfig):
    name: Literal["densecl"]
    lam: Probability = 0.5
    """Share of the dense loss, the paper's lambda; that of the global loss is 1 - lambda."""
    warmup_epochs: CountOrZero = 0
    """Number of first epochs with a lambda of 0, for one near 1; the authors' 10,000 steps are 2 of ImageNet."""


class DenseCL(MoCo[DenseCLConfig]):
    """MoCo v2, and the same loss of each pixel, whose positive is the pixel of the other view most like it.

    Likeness is that of the backbones' features. The negatives are dense embeddings of earlier images, averaged
    over their pixels, in a queue of their own.
    """

    Config = DenseCLConfig
    needs_map = True
    adds_up = True
    negatives: QueuedKeys

    def __init__(self, recipe: Recipe[DenseCLConfig], encoder: Encoder, num_images: int) -> None:
        width, dim = encoder.feature_dim, recipe.method.dim
        head = nn.ModuleList([projection_head(recipe, width, dim) for _ in ("global", "dense")])
        keys = queued_keys(recipe, encoder, head, num_images, embed_pixels)
        super().__init__(recipe, encoder, num_images, head, keys)
        self.dense_queue = Queue(keys.queue.size, dim)

    def one_way(self, query_view: Tensor, key_view: Tensor, batch: Batch) -> Contrast:
        lam = self.config.lam if batch.epoch >= self.config.warmup_epochs else 0.0
        query, dense_query, _, query_pixels = embed_pixels(self.encoder, self.head, query_view)
        key, dense_key, mean_key, key_pixels = self.negatives.keys(key_view)
        loss, positive_ranks = self.negatives.loss(query, key)
        # Section 3.4. Small, P x P an image: not the search through one large set of `K.nearest_neighbor`.
        match = (query_pixels.detach() @ key_pixels.mT).argmax(2, keepdim=True)  # [B, P, 1]
        positive = dense_key.gather(1, match.expand_as(dense_query))
        dense_loss = K.info_nce(
            dense_query.flatten(0, 1),
            positive.flatten(0, 1),
            self.dense_queue.keys,
            temperature=self.config.temperature,
        )
        rows = gather(torch.cat([key, mean_key], dim=1))  # each queue takes its half of them
        return Contrast((1 - lam) * loss + lam * dense_loss, positive_ranks, rows)

    def after_step(self, kept: ContrastKept, step: int, total_steps: int, skip: Tensor) -> None:
        keys, mean_keys = kept.rows.chunk(2, dim=1)
        self.dense_queue.enqueue(mean_keys, skip=skip)
        super().after_step(kept._replace(rows=keys), step, total_steps, skip)


def embed_pixels(encoder: nn.Module, head: nn.Module, view: Tensor) -> tuple[Tensor, ...]:
    """Computes z (B, dim), embeddings of pixels (B, P, dim), their mean (B, dim), features of pixels (B, P, D)."""
    global_head, dense_head = head.children()
    pixels = encoder(view, dense=True).flatten(2).mT
    dense = dense_head(pixels.flatten(0, 1)).unflatten(0, pixels.shape[:2])
    outputs = global_head(pixels.mean(1)), dense, dense.mean(1), pixels
    return tuple(F.normalize(output, dim=-1) for output in outputs)
