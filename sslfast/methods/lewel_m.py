"""LEWEL_M: MoCo v2 with LEWEL's aligned loss (Huang et al. 2022, arXiv:2203.14898). Its code was not published."""

from __future__ import annotations

import math
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast import kernels as K
from sslfast.config import Recipe
from sslfast.config.fields import STRICT
from sslfast.data import Batch
from sslfast.distributed import gather, local_rows, rank
from sslfast.encoders import Encoder
from sslfast.methods.moco_v1 import MoCo, MoCoConfig, projection_head, queued_keys
from sslfast.methods.parts.aligned_head import AlignedHead, LEWELConfig
from sslfast.methods.parts.negatives import Contrast, QueuedKeys


@dataclass(config=STRICT)
class LEWELMConfig(LEWELConfig, MoCoConfig):
    name: Literal["lewel_m"]
    head_norm: bool = True
    """Batch normalization in the heads' hidden layers."""


class LEWELM(MoCo[LEWELMConfig]):
    """The global loss has the negatives of MoCo's queue, the aligned loss those of the batch's other images.

    These are all their aligned embeddings; the others of the same image count neither way: our reading.
    """

    Config = LEWELMConfig
    needs_map = True
    negatives: QueuedKeys

    def __init__(self, recipe: Recipe[LEWELMConfig], encoder: Encoder, num_images: int) -> None:
        width = encoder.feature_dim
        head = AlignedHead(width, recipe.method, partial(projection_head, recipe, width))
        keys = queued_keys(recipe, encoder, head, num_images, embed_aligned)
        super().__init__(recipe, encoder, num_images, head, keys)

    def one_way(self, query_view: Tensor, key_view: Tensor, batch: Batch) -> Contrast:
        beta = self.config.beta
        query, aligned_query = embed_aligned(self.encoder, self.head, query_view)
        key, aligned_key = self.negatives.keys(key_view)
        loss, positive_ranks = self.negatives.loss(query, key)
        batch_size, num_aligned = aligned_query.shape[:2]
        keys = gather(aligned_key)
        image = torch.arange(len(keys), device=query.device).repeat_interleave(num_aligned)
        aligned_loss = K.in_batch_info_nce(
            aligned_query.flatten(0, 1),
            keys.flatten(0, 1),
            temperature=self.config.temperature,
            offset=rank() * batch_size * num_aligned,
            ids=(local_rows(image), image),
        )
        return Contrast((1 - beta) * loss + beta * aligned_loss, positive_ranks, gather(key))

    @classmethod
    def chance_loss(cls, recipe: Recipe[LEWELMConfig], num_images: int) -> float:
        config = recipe.method
        num_aligned = 1 if config.maps == "gap" else config.dim // config.groups
        aligned_loss = math.log(1 + (recipe.data.batch_size - 1) * num_aligned)
        return (1 - config.beta) * super().chance_loss(recipe, num_images) + config.beta * aligned_loss


def embed_aligned(encoder: nn.Module, head: nn.Module, view: Tensor) -> tuple[Tensor, ...]:
    """Computes the global embedding (B, d) and the aligned embeddings (B, d / h, c) of a view, all of length 1."""
    z, aligned = head(encoder(view, dense=True))
    return F.normalize(z, dim=1), F.normalize(aligned, dim=2)
