"""LEWEL_M: MoCo v2 with LEWEL's aligned loss (Huang et al. 2022, arXiv:2203.14898). Its code was not published."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast import distributed
from sslfast import kernels as K
from sslfast.config.fields import STRICT
from sslfast.data import Batch
from sslfast.distributed import gather, own
from sslfast.methods.moco_v2 import MoCoV2, MoCoV2Config
from sslfast.methods.parts.aligned_head import AlignedHead, LEWELConfig


@dataclass(config=STRICT)
class LEWELMConfig(LEWELConfig, MoCoV2Config):
    name: Literal["lewel_m"]  # type: ignore[assignment]
    head_norm: bool = True
    """Batch normalisation in the heads' hidden layers."""


class LEWELM(MoCoV2):
    """The global loss has the negatives of MoCo's queue, the aligned loss those of the batch's other images.

    These are all their aligned embeddings; the others of the same image count neither way: our reading.
    """

    Config: ClassVar[type[LEWELMConfig]] = LEWELMConfig
    queue_only = True
    needs_map = True

    def _head(self) -> nn.Module:
        return AlignedHead(self.encoder.feature_dim, self.config, self._mlp)

    def _embed(self, encoder: nn.Module, head: nn.Module, view: Tensor) -> tuple[Tensor, ...]:
        z, aligned = head(encoder(view, dense=True))
        return F.normalize(z, dim=1), F.normalize(aligned, dim=2)

    def _one_way(self, query_view: Tensor, key_view: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        t, beta = self.config.temperature, self.config.beta
        query, aligned_query = self._embed(self.encoder, self.head, query_view)
        key, aligned_key = self._key(key_view)
        loss, rank = K.info_nce(query, key, self.queue.keys, temperature=t, return_rank=True)
        images, count = aligned_query.shape[:2]
        keys = gather(aligned_key)
        image = torch.arange(len(keys), device=query.device).repeat_interleave(count)
        aligned_loss = K.in_batch_info_nce(
            aligned_query.flatten(0, 1),
            keys.flatten(0, 1),
            temperature=t,
            offset=distributed.rank() * images * count,
            ids=(own(image), image),
        )
        return (1 - beta) * loss + beta * aligned_loss, rank, gather(key)
