"""BYOL (Grill et al. 2020, arXiv:2006.07733)."""

from __future__ import annotations

from typing import ClassVar, Literal

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
from sslfast.methods.parts.momentum_copy import MomentumCopy, TargetNorm
from sslfast.optim.schedules import momentum_schedule


@dataclass(config=STRICT)
class BYOLConfig:
    name: Literal["byol"]
    dim: Count = 256
    """Width of an embedding."""
    hidden: Count = 4096
    """Width of the hidden layers of projector and predictor."""
    momentum: Probability = 0.996
    """Of the target network's moving average; 1: the target stays random, 0: it is the online network."""
    momentum_schedule: Literal["constant", "cosine"] = "cosine"
    """cosine: the momentum rises to 1 by the end of training."""
    target_norm: TargetNorm = "own"
    """Statistics of the target's batch normalisation: its own batches', or averages of the trained one's."""


class BYOL(Method):
    """The online network predicts, from one view, what its moving average makes of the other view.

    The heads' last layers have no bias, as in the published code. The transformations that the paper removes one
    by one (section 5, figure 3b) are settings of data.views.
    """

    Config: ClassVar[type[BYOLConfig]] = BYOLConfig
    views = 2

    def __init__(self, recipe: Recipe, encoder: Encoder, images: int) -> None:
        super().__init__(recipe, encoder, images)
        self.projector, self.predictor = self._heads(encoder.feature_dim)
        self.target = MomentumCopy(nn.Sequential(encoder, self.projector), buffers=self.config.target_norm)

    def _heads(self, features: int) -> tuple[nn.Module, nn.Module]:
        hidden, dim = self.config.hidden, self.config.dim
        projector = mlp(features, hidden, dim, norm=True, last_bias=False)
        return projector, mlp(dim, hidden, dim, norm=True, last_bias=False)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        (q1, z1), (q2, z2) = (self._embed(view) for view in batch.views)
        return _distance(q1, z2) + _distance(q2, z1), {"std": embedding_std(z1)}

    def _embed(self, view: Tensor) -> tuple[Tensor, Tensor]:
        """The online network's prediction and the target network's projection, not normalised."""
        return self.predictor(self.projector(self.encoder(view))), self.target(view)

    def after_step(self, step: int, total_steps: int, skip: Tensor) -> None:
        momentum = momentum_schedule(step, total_steps, self.config.momentum, self.config.momentum_schedule)
        self.target.update(momentum, skip=skip)

    def compiled(self) -> list[nn.Module]:
        return [self.encoder, self.target.module.get_submodule("0")]


def _distance(prediction: Tensor, target: Tensor) -> Tensor:
    """|p - z|^2 = 2 - 2 cos(p, z) of the normalised vectors (equation 2), the mean over the batch."""
    return 2 - 2 * F.cosine_similarity(prediction, target).mean()
