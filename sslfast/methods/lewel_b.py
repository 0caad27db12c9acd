"""LEWEL_B: BYOL with LEWEL's aligned loss (Huang et al. 2022, arXiv:2203.14898)."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, Probability
from sslfast.data import Batch
from sslfast.encoders import Encoder
from sslfast.methods.base import Method
from sslfast.methods.parts.aligned_head import AlignedHead, LEWELConfig
from sslfast.methods.parts.heads import mlp
from sslfast.methods.parts.momentum_copy import MomentumCopy, TargetNorm
from sslfast.optim.schedules import momentum_schedule


@dataclass(config=STRICT)
class LEWELBConfig(LEWELConfig):
    name: Literal["lewel_b"]
    dim: Count = 256
    """d: width of the global embedding, and number of alignment maps."""
    aligned_dim: Count = 256
    """c: width of an aligned embedding."""
    hidden: Count = 4096
    """Width of the hidden layer of projectors and predictors."""
    momentum: Probability = 0.98
    """Of the target network's moving average."""
    momentum_schedule: Literal["constant", "cosine"] = "cosine"
    """cosine: the momentum rises to 1 by the end of training."""
    target_norm: TargetNorm = "ema"
    """Statistics of the target's batch normalisation: its own batches', or averages of the trained one's."""


class LEWELB(Method):
    """Of one view the trained network predicts the target network's global and aligned embeddings of the other.

    The heads' linear layers have no bias, as in the published code.
    """

    Config: ClassVar[type[LEWELBConfig]] = LEWELBConfig
    views = 2
    needs_map = True

    def __init__(self, recipe: Recipe, encoder: Encoder, images: int) -> None:
        super().__init__(recipe, encoder, images)
        config = self.config
        self.head = AlignedHead(encoder.feature_dim, config, partial(self._mlp, encoder.feature_dim))
        self.predictor = self._mlp(config.dim, config.dim)  # q
        self.aligned_predictor = self._mlp(config.aligned_dim, config.aligned_dim)  # s
        self.target = MomentumCopy(nn.Sequential(encoder, self.head), buffers=config.target_norm)

    def _mlp(self, width: int, dim: int) -> nn.Sequential:
        return mlp(width, self.config.hidden, dim, norm=True, last_bias=False)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        view1, view2 = batch.views
        global1, aligned1 = self._one_way(view1, view2)
        global2, aligned2 = self._one_way(view2, view1)
        global_loss, aligned_loss, beta = global1 + global2, aligned1 + aligned2, self.config.beta
        values = {"global_loss": global_loss.detach(), "aligned_loss": aligned_loss.detach()}
        return (1 - beta) * global_loss + beta * aligned_loss, values

    def _one_way(self, view: Tensor, target_view: Tensor) -> tuple[Tensor, Tensor]:
        z, aligned = self.head(self.encoder(view, dense=True))
        with torch.no_grad():
            encoder, head = self.target.module.children()
            target, aligned_target = head(encoder(target_view, dense=True))
        prediction, aligned_prediction = self.predictor(z), self.aligned_predictor(aligned.flatten(0, 1))
        return _distance(prediction, target), _distance(aligned_prediction, aligned_target.flatten(0, 1))

    def after_step(self, step: int, total_steps: int, skip: Tensor) -> None:
        momentum = momentum_schedule(step, total_steps, self.config.momentum, self.config.momentum_schedule)
        self.target.update(momentum, skip=skip)

    def compiled(self) -> list[nn.Module]:
        return [self.encoder, self.target.module.get_submodule("0")]


def _distance(prediction: Tensor, target: Tensor) -> Tensor:
    """Equation 5: the mean squared distance of vectors of length 1, over the rows of both."""
    return 2 - 2 * F.cosine_similarity(prediction, target, dim=1).mean()
