"""MoCo v3 (Chen, Xie, He 2021, arXiv:2104.02057)."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, Positive, Probability
from sslfast.data import Batch
from sslfast.methods.byol import BYOL, BYOLConfig
from sslfast.methods.parts.heads import mlp
from sslfast.methods.parts.negatives import contrast_in_batch, contrastive_accuracy


@dataclass(config=STRICT)
class MoCoV3Config(BYOLConfig):
    name: Literal["moco_v3"]  # type: ignore[assignment]
    momentum: Probability = 0.99
    """Momentum of the key network's moving average."""
    layers: Count = 2
    """Number of the projector's layers; 3 for a ViT."""
    predictor_norm: bool = False
    """Batch normalization of the predictor's output; for a ViT."""
    temperature: Positive = 1.0
    """Divisor of the similarities; 0.2 for a ViT."""


class MoCoV3(BYOL[MoCoV3Config]):
    """BYOL's networks with MoCo's loss: a query's negatives are the keys of the batch's other images.

    The heads' linear layers have no bias, and where the output is normalized it has neither scale nor shift, as in
    the published code.
    """

    Config = MoCoV3Config
    adds_up = False

    def _heads(self, width: int) -> tuple[nn.Module, nn.Module]:
        config = self.config
        hidden = [config.hidden] * (config.layers - 1)
        projector = mlp(width, *hidden, config.dim, norm=True, last_norm="plain")
        last_norm: Literal["plain", "none"] = "plain" if config.predictor_norm else "none"
        predictor = mlp(config.dim, config.hidden, config.dim, norm=True, last_norm=last_norm, last_bias=False)
        return projector, predictor

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], None]:
        (q1, k1), (q2, k2) = (self._embed(view) for view in batch.views)
        loss1, positive_ranks1 = self._one_way(q1, k2)
        loss2, positive_ranks2 = self._one_way(q2, k1)
        return loss1 + loss2, contrastive_accuracy(torch.cat([positive_ranks1, positive_ranks2])), None

    def _one_way(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """Computes algorithm 1's `ctr`: 2 t times the cross-entropy, whose gradient then hardly depends on t."""
        t = self.config.temperature
        query, key = F.normalize(query, dim=1), F.normalize(key, dim=1)
        loss, positive_ranks = contrast_in_batch(query, key, temperature=t)
        return 2 * t * loss, positive_ranks

    @classmethod
    def chance_loss(cls, recipe: Recipe[MoCoV3Config], num_images: int) -> float:
        return 4 * recipe.method.temperature * math.log(recipe.data.batch_size)

    @classmethod
    def even_std(cls, recipe: Recipe[MoCoV3Config]) -> None:
        return None
