"""BYOL (Grill et al. 2020, arXiv:2006.07733)."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeVar

import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, Probability
from sslfast.data import Batch
from sslfast.encoders import Encoder
from sslfast.methods.base import Method
from sslfast.methods.parts.collapse import embedding_std
from sslfast.methods.parts.heads import mlp
from sslfast.methods.parts.momentum_copy import MomentumCopy, MomentumCopyConfig


@dataclass(config=STRICT)
class BYOLConfig(MomentumCopyConfig):
    name: Literal["byol"]
    momentum: Probability = 0.996
    """Momentum of the target's moving average; 1: the target stays random, 0: it is the online network."""
    momentum_schedule: Literal["constant", "cosine"] = "cosine"
    dim: Count = 256
    """Width of an embedding."""
    hidden: Count = 4096
    """Width of the hidden layers of projector and predictor."""
    stop_gradient: bool = True
    """Targets are a moving average's, without gradient; else the online network's own, with it: BYOL collapses."""


BYOLSettings = TypeVar("BYOLSettings", bound=BYOLConfig)


class BYOL(Method[BYOLSettings, None]):
    """The online network predicts, from one view, what its moving average makes of the other view.

    The heads' last layers have no bias, as in the published code. The transformations that the paper removes one
    by one (section 5, figure 3b) are settings of data.views.
    """

    Config: ClassVar[type[BYOLConfig]] = BYOLConfig
    num_views = 2
    adds_up = True

    def __init__(self, recipe: Recipe[BYOLSettings], encoder: Encoder, num_images: int) -> None:
        super().__init__(recipe, encoder, num_images)
        self.projector, self.predictor = self._heads(encoder.feature_dim)
        self.target = None
        if self.config.stop_gradient:
            online = nn.Sequential(encoder, self.projector)
            self.target = MomentumCopy(online, buffers=self.config.target_norm)

    def _heads(self, width: int) -> tuple[nn.Module, nn.Module]:
        """Makes the projector of features of a width, and the predictor."""
        hidden, dim = self.config.hidden, self.config.dim
        projector = mlp(width, hidden, dim, norm=True, last_bias=False)
        return projector, mlp(dim, hidden, dim, norm=True, last_bias=False)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], None]:
        (q1, z1), (q2, z2) = (self._embed(view) for view in batch.views)
        return squared_distance(q1, z2) + squared_distance(q2, z1), {"std": embedding_std(z1)}, None

    def _embed(self, view: Tensor) -> tuple[Tensor, Tensor]:
        """Computes the online network's prediction and the target network's projection, not normalized."""
        z = self.projector(self.encoder(view))
        return self.predictor(z), z if self.target is None else self.target(view)

    def momentum_copy(self) -> MomentumCopy | None:
        return self.target

    def momentum(self, step: int, total_steps: int) -> float:
        return self.config.momentum_at(step, total_steps)

    def compiled(self) -> list[nn.Module]:
        return [self.encoder, *([] if self.target is None else [self.target.module.get_submodule("0")])]

    @classmethod
    def even_std(cls, recipe: Recipe[BYOLSettings]) -> float | None:
        return recipe.method.dim**-0.5


def squared_distance(prediction: Tensor, target: Tensor) -> Tensor:
    """Computes the mean squared distance |p - z|^2 = 2 - 2 cos(p, z) of normalized vectors, a scalar (equation 2).

    Args:
        prediction: (N, D), normalized here.
        target: (N, D), normalized here.
    """
    return 2 - 2 * F.cosine_similarity(prediction, target).mean()
