"""DenseCL (Wang, Zhang, Shen, Kong, Li 2021, arXiv:2011.09157)."""

from __future__ import annotations

from typing import ClassVar, Literal

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
from sslfast.methods.moco_v2 import MoCoV2, MoCoV2Config
from sslfast.methods.parts.queue import Queue


@dataclass(config=STRICT)
class DenseCLConfig(MoCoV2Config):
    name: Literal["densecl"]  # type: ignore[assignment]
    lam: Probability = 0.5
    """lambda, the share of the dense loss; that of the global loss is 1 - lambda."""
    warmup_epochs: CountOrZero = 0
    """First epochs with a lambda of 0, for a lambda near 1; the authors' 10,000 steps are 2 epochs of ImageNet."""


class DenseCL(MoCoV2):
    """MoCo v2, and the same loss of each pixel, whose positive is the pixel of the other view most like it.

    Likeness is that of the backbones' features. The negatives are dense embeddings of earlier images, averaged
    over their pixels, in a queue of their own.
    """

    Config: ClassVar[type[DenseCLConfig]] = DenseCLConfig
    queue_only = True
    needs_map = True

    def __init__(self, recipe: Recipe, encoder: Encoder, images: int) -> None:
        super().__init__(recipe, encoder, images)
        self.dense_queue = Queue(self.queue.size, self.config.dim)

    def _head(self) -> nn.Module:
        return nn.ModuleList([self._mlp(self.config.dim), self._mlp(self.config.dim)])  # global, dense

    def _embed(self, encoder: nn.Module, head: nn.Module, view: Tensor) -> tuple[Tensor, ...]:
        """z (B, dim), embeddings of pixels (B, P, dim), their mean (B, dim), features of pixels (B, P, D)."""
        global_head, dense_head = head.children()
        pixels = encoder(view, dense=True).flatten(2).mT
        dense = dense_head(pixels.flatten(0, 1)).unflatten(0, pixels.shape[:2])
        outputs = global_head(pixels.mean(1)), dense, dense.mean(1), pixels
        return tuple(F.normalize(output, dim=-1) for output in outputs)

    def _one_way(self, query_view: Tensor, key_view: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        t = self.config.temperature
        lam = self.config.lam if batch.epoch >= self.config.warmup_epochs else 0.0
        query, dense_query, _, query_pixels = self._embed(self.encoder, self.head, query_view)
        key, dense_key, mean_key, key_pixels = self._key(key_view)
        loss, rank = K.info_nce(query, key, self.queue.keys, temperature=t, return_rank=True)
        # Section 3.4. Small, P x P an image: not the search through one large set of `K.nearest_neighbor`.
        match = (query_pixels.detach() @ key_pixels.mT).argmax(2, keepdim=True)  # [B, P, 1]
        positive = dense_key.gather(1, match.expand_as(dense_query))
        dense_loss = K.info_nce(
            dense_query.flatten(0, 1), positive.flatten(0, 1), self.dense_queue.keys, temperature=t
        )
        return (1 - lam) * loss + lam * dense_loss, rank, gather(torch.cat([key, mean_key], dim=1))

    def after_step(self, step: int, total_steps: int, skip: Tensor) -> None:
        self._keys, mean_keys = self._keys.chunk(2, dim=1)
        self.dense_queue.enqueue(mean_keys, skip=skip)
        super().after_step(step, total_steps, skip)
