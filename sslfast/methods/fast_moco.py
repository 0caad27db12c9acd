"""Fast-MoCo (Ci, Lin, Bai, Ouyang 2022, arXiv:2207.08220)."""

from __future__ import annotations

from itertools import combinations
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast import kernels as K
from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, Positive, Probability
from sslfast.data import Batch
from sslfast.distributed import gather, rank
from sslfast.encoders import Encoder
from sslfast.methods.base import Method
from sslfast.methods.parts.heads import mlp
from sslfast.methods.parts.momentum_copy import MomentumCopy, TargetNorm
from sslfast.optim.schedules import momentum_schedule
from sslfast.views import Key, divide


@dataclass(config=STRICT)
class FastMoCoConfig:
    name: Literal["fast_moco"]
    dim: Count = 2048
    """Width of an embedding."""
    hidden: Count = 2048
    """Width of the projector's two hidden layers."""
    predictor_hidden: Count = 512
    """Width of the predictor's hidden layer."""
    combine: Annotated[int, Field(ge=1, le=4, strict=True)] = 2
    """How many of a view's four patches are averaged into one embedding; every such choice makes one."""
    temperature: Positive = 1.0
    """Divides the similarities."""
    momentum: Probability = 0.99
    """Of the target network's moving average."""
    momentum_schedule: Literal["constant", "cosine"] = "constant"
    """cosine: the momentum rises to 1 by the end of training."""
    target_norm: TargetNorm = "own"
    """Statistics of the target's batch normalisation: its own batches', or averages of the trained one's."""


class FastMoCo(Method):
    """Means of patches predict the whole other view: C(4, combine) positives for the price of one."""

    Config: ClassVar[type[FastMoCoConfig]] = FastMoCoConfig
    views = 2

    def __init__(self, recipe: Recipe, encoder: Encoder, images: int) -> None:
        super().__init__(recipe, encoder, images)
        config = self.config
        self.projector = mlp(
            encoder.feature_dim, config.hidden, config.hidden, config.dim, norm=True, last_norm="affine"
        )
        self.predictor = mlp(config.dim, config.predictor_hidden, config.dim, norm=True)
        self.target = MomentumCopy(nn.Sequential(encoder, self.projector), buffers=config.target_norm)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        view1, view2 = batch.views
        loss1, rank1 = self._one_way(view1, view2)
        loss2, rank2 = self._one_way(view2, view1)
        return (loss1 + loss2) / 2, {"accuracy": (torch.cat([rank1, rank2]) == 0).float().mean()}

    def _one_way(self, view: Tensor, target_view: Tensor) -> tuple[Tensor, Tensor]:
        features = combined_features(self.encoder, view, self.config.combine)
        query = F.normalize(self.predictor(self.projector(features)), dim=1)
        key = F.normalize(self.target(target_view), dim=1)
        return K.in_batch_info_nce(
            query,
            gather(key),
            temperature=self.config.temperature,
            offset=rank() * len(key),
            chunks=len(query) // len(key),
            return_rank=True,
        )

    def after_step(self, step: int, total_steps: int, skip: Tensor) -> None:
        momentum = momentum_schedule(step, total_steps, self.config.momentum, self.config.momentum_schedule)
        self.target.update(momentum, skip=skip)

    def compiled(self) -> list[nn.Module]:
        return [self.encoder, self.target.module.get_submodule("0")]

    @classmethod
    def seen(cls, recipe: Recipe, number: int, view: Tensor, key: Key) -> Tensor | None:
        return divide(view)

    @classmethod
    def sides(cls, recipe: Recipe) -> set[int]:
        return super().sides(recipe) | set(recipe.data.sizes)  # the target sees whole views


def combined_features(encoder: nn.Module, views: Tensor, k: int) -> Tensor:
    """Divide, encode, combine (sections 3.2 and 3.3): means of the features of every k of a view's 2 x 2 patches.

    Args:
        encoder: images (B, 3, S, S) -> features (B, D), whatever S.
        views: (B, 3, S, S), S even.
        k: patches of a combination, 1 to 4.

    Returns:
        (C(4, k) * B, D): the first combination of every view, then the second of every view, and so on.
    """
    patches = divide(views)  # [B, 4, 3, S / 2, S / 2]
    features = encoder(patches.flatten(0, 1)).unflatten(0, patches.shape[:2])
    return torch.cat([torch.stack(chosen).mean(0) for chosen in combinations(features.unbind(1), k)])
