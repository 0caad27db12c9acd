"""LEWEL_B: BYOL with LEWEL's aligned loss (Huang et al. 2022, arXiv:2203.14898)."""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, Probability
from sslfast.data import Batch
from sslfast.encoders import Encoder
from sslfast.methods.base import Method
from sslfast.methods.byol import squared_distance
from sslfast.methods.parts.aligned_head import AlignedHead, LEWELConfig
from sslfast.methods.parts.collapse import embedding_std
from sslfast.methods.parts.heads import mlp
from sslfast.methods.parts.momentum_copy import MomentumCopy, MomentumCopyConfig, TargetNorm


@dataclass(config=STRICT)
class LEWELBConfig(LEWELConfig, MomentumCopyConfig):
    name: Literal["lewel_b"]
    momentum: Probability = 0.98
    """Momentum of the target network's moving average."""
    momentum_schedule: Literal["constant", "cosine"] = "cosine"
    target_norm: TargetNorm = "ema"
    dim: Count = 256
    """Width of the global embedding, and number of alignment maps (d)."""
    aligned_dim: Count = 256
    """Width of an aligned embedding (c)."""
    hidden: Count = 4096
    """Width of the hidden layer of projectors and predictors."""
    symmetric: bool = True
    """Each view predicts the other and the loss is the sum, as in BYOL; else the first the second, as the paper's
    equations are written."""


class LEWELB(Method[LEWELBConfig, None]):
    """The trained network predicts, from one view, the target's global and aligned embeddings of the other.

    The heads' linear layers have no bias, as in the published code.
    """

    Config = LEWELBConfig
    num_views = 2
    needs_map = True
    adds_up = True

    def __init__(self, recipe: Recipe[LEWELBConfig], encoder: Encoder, num_images: int) -> None:
        super().__init__(recipe, encoder, num_images)
        config = self.config
        self.head = AlignedHead(encoder.feature_dim, config, partial(self._mlp, encoder.feature_dim))
        self.predictor = self._mlp(config.dim, config.dim)  # q
        self.aligned_predictor = self._mlp(config.aligned_dim, config.aligned_dim)  # s
        self.target = MomentumCopy(nn.Sequential(encoder, self.head), buffers=config.target_norm)

    def _mlp(self, width: int, dim: int) -> nn.Sequential:
        return mlp(width, self.config.hidden, dim, norm=True, last_bias=False)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], None]:
        view1, view2 = batch.views
        global_loss, aligned_loss, z = self._one_way(view1, view2)
        if self.config.symmetric:
            other_global, other_aligned, _ = self._one_way(view2, view1)
            global_loss, aligned_loss = global_loss + other_global, aligned_loss + other_aligned
        beta = self.config.beta
        values = {
            "global_loss": global_loss.detach(),
            "aligned_loss": aligned_loss.detach(),
            "std": embedding_std(z),
        }
        return (1 - beta) * global_loss + beta * aligned_loss, values, None

    def _one_way(self, view: Tensor, target_view: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Computes the global and the aligned loss (equation 5) of predicting the target, and the view's z."""
        z, aligned = self.head(self.encoder(view, dense=True))
        with torch.no_grad():
            encoder, head = self.target.module.children()
            target, aligned_target = head(encoder(target_view, dense=True))
        prediction, aligned_prediction = self.predictor(z), self.aligned_predictor(aligned.flatten(0, 1))
        aligned_loss = squared_distance(aligned_prediction, aligned_target.flatten(0, 1))
        return squared_distance(prediction, target), aligned_loss, z

    def momentum_copy(self) -> MomentumCopy:
        return self.target

    def momentum(self, step: int, total_steps: int) -> float:
        return self.config.momentum_at(step, total_steps)

    def compiled(self) -> list[nn.Module]:
        return [self.encoder, self.target.module.get_submodule("0")]

    @classmethod
    def even_std(cls, recipe: Recipe[LEWELBConfig]) -> float | None:
        return recipe.method.dim**-0.5
