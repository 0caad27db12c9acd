"""MoCo v3 (Chen, Xie, He 2021, arXiv:2104.02057)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast import kernels as K
from sslfast.config.fields import STRICT, Count, Positive, Probability
from sslfast.data import Batch
from sslfast.distributed import gather, rank
from sslfast.methods.byol import BYOL, BYOLConfig
from sslfast.methods.parts.heads import mlp


@dataclass(config=STRICT)
class MoCoV3Config(BYOLConfig):
    name: Literal["moco_v3"]  # type: ignore[assignment]
    layers: Count = 2
    """Of the projector; 3 for a ViT."""
    predictor_norm: bool = False
    """Batch normalisation of the predictor's output; for a ViT."""
    momentum: Probability = 0.99
    """Of the key network's moving average."""
    temperature: Positive = 1.0
    """Divides the similarities; 0.2 for a ViT."""


class MoCoV3(BYOL):
    """BYOL's networks with MoCo's loss: a query's negatives are the keys of the batch's other images.

    The heads' linear layers have no bias, and where the output is normalised it has neither scale nor shift, as in
    the published code.
    """

    Config: ClassVar[type[BYOLConfig]] = MoCoV3Config

    def _heads(self, features: int) -> tuple[nn.Module, nn.Module]:
        config = self.config
        widths = [config.hidden] * (config.layers - 1)
        projector = mlp(features, *widths, config.dim, norm=True, last_norm="plain")
        last_norm: Literal["plain", "none"] = "plain" if config.predictor_norm else "none"
        predictor = mlp(config.dim, config.hidden, config.dim, norm=True, last_norm=last_norm, last_bias=False)
        return projector, predictor

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        (q1, k1), (q2, k2) = (self._embed(view) for view in batch.views)
        loss1, rank1 = self._one_way(q1, k2)
        loss2, rank2 = self._one_way(q2, k1)
        # The contrastive accuracy: how often no other image's key is nearer to the query than its own.
        return loss1 + loss2, {"accuracy": (torch.cat([rank1, rank2]) == 0).float().mean()}

    def _one_way(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """Algorithm 1's `ctr`: 2 t times the cross-entropy, whose gradient then hardly depends on t."""
        query, keys = F.normalize(query, dim=1), gather(F.normalize(key, dim=1))
        t, offset = self.config.temperature, rank() * len(query)
        loss, ranks = K.in_batch_info_nce(query, keys, temperature=t, offset=offset, return_rank=True)
        return 2 * t * loss, ranks
