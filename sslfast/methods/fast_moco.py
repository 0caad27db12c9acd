"""Fast-MoCo (Ci, Lin, Bai, Ouyang 2022, arXiv:2207.08220)."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Annotated, Literal, TypeVar

import torch
import torch.nn.functional as F
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, Positive
from sslfast.data import Batch
from sslfast.encoders import Encoder
from sslfast.methods.base import Kept, Method
from sslfast.methods.parts.heads import mlp
from sslfast.methods.parts.momentum_copy import MomentumCopy, MomentumCopyConfig
from sslfast.methods.parts.negatives import contrast_in_batch, contrastive_accuracy
from sslfast.views import Key, divide


@dataclass(config=STRICT)
class FastMoCoConfig(MomentumCopyConfig):
    name: Literal["fast_moco"]
    dim: Count = 2048
    """Width of an embedding."""
    hidden: Count = 2048
    """Width of the projector's two hidden layers."""
    first_hidden: Count | None = None
    """Width of the first of them alone, where it is another; null: hidden."""
    predictor_hidden: Count = 512
    """Width of the predictor's hidden layer."""
    combine: Annotated[int, Field(ge=1, le=4, strict=True)] = 2
    """Number of a view's four patches that are averaged into one embedding; every such choice makes one."""
    temperature: Positive = 1.0
    """Divisor of the similarities."""


FastMoCoSettings = TypeVar("FastMoCoSettings", bound=FastMoCoConfig)


class FastMoCoNetworks(Method[FastMoCoSettings, Kept]):
    """The networks of Fast-MoCo and of MNCL: encoder, projector and predictor, and a target that follows them."""

    def __init__(self, recipe: Recipe[FastMoCoSettings], encoder: Encoder, num_images: int) -> None:
        super().__init__(recipe, encoder, num_images)
        config = self.config
        hidden = config.first_hidden or config.hidden, config.hidden
        self.projector = mlp(encoder.feature_dim, *hidden, config.dim, norm=True, last_norm="affine")
        self.predictor = mlp(config.dim, config.predictor_hidden, config.dim, norm=True)
        self.target = MomentumCopy(nn.Sequential(encoder, self.projector), buffers=config.target_norm)

    def momentum_copy(self) -> MomentumCopy:
        return self.target

    def momentum(self, step: int, total_steps: int) -> float:
        return self.config.momentum_at(step, total_steps)

    def compiled(self) -> list[nn.Module]:
        return [self.encoder, self.target.module.get_submodule("0")]

    @classmethod
    def inputs_of_view(
        cls, recipe: Recipe[FastMoCoSettings], number: int, view: Tensor, key: Key
    ) -> Tensor | None:
        return divide(view)

    @classmethod
    def sides(cls, recipe: Recipe[FastMoCoSettings]) -> set[int]:
        return super().sides(recipe) | set(recipe.data.sizes)  # the target sees whole views


class FastMoCo(FastMoCoNetworks[FastMoCoConfig, None]):
    """Means of patches predict the whole other view: C(4, combine) positives for the price of one."""

    Config = FastMoCoConfig
    num_views = 2
    bounds_information = True

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], None]:
        view1, view2 = batch.views
        loss1, positive_ranks1 = self._one_way(view1, view2)
        loss2, positive_ranks2 = self._one_way(view2, view1)
        return (loss1 + loss2) / 2, contrastive_accuracy(torch.cat([positive_ranks1, positive_ranks2])), None

    def _one_way(self, view: Tensor, target_view: Tensor) -> tuple[Tensor, Tensor]:
        """Computes the loss of a view's combined patches against the other view, and the positives' ranks."""
        features = combined_features(self.encoder, view, self.config.combine)
        query = F.normalize(self.predictor(self.projector(features)), dim=1)
        key = F.normalize(self.target(target_view), dim=1)
        return contrast_in_batch(query, key, temperature=self.config.temperature)

    @classmethod
    def chance_loss(cls, recipe: Recipe[FastMoCoConfig], num_images: int) -> float:
        return math.log(recipe.data.batch_size)


def combined_features(encoder: nn.Module, views: Tensor, k: int) -> Tensor:
    """Averages the features of every k of a view's 2 x 2 patches: divide, encode, combine (sections 3.2 and 3.3).

    Args:
        encoder: images (B, C, S, S) -> features (B, D), whatever S.
        views: (B, C, S, S), S even.
        k: patches of a combination, 1 to 4.

    Returns:
        (C(4, k) * B, D): the first combination of every view, then the second of every view, and so on.
    """
    patches = divide(views)  # [B, 4, 3, S / 2, S / 2]
    features = encoder(patches.flatten(0, 1)).unflatten(0, patches.shape[:2])
    return torch.cat([torch.stack(choice).mean(0) for choice in combinations(features.unbind(1), k)])
