"""DINO (Caron, Touvron, Misra, Jegou, Mairal, Bojanowski, Joulin 2021, arXiv:2104.14294)."""

from __future__ import annotations

from typing import Literal, TypeVar

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, CountOrZero, Positive, Probability
from sslfast.data import Batch
from sslfast.distributed import mean
from sslfast.encoders import Encoder
from sslfast.methods.base import Kept, Method
from sslfast.methods.parts.collapse import embedding_std
from sslfast.methods.parts.heads import UnitLinear, mlp
from sslfast.methods.parts.momentum_copy import MomentumCopy, MomentumCopyConfig
from sslfast.methods.parts.multi_crop import MultiCropConfig, check_crops, encode_crops
from sslfast.nn.swav import predict_others


@dataclass(config=STRICT)
class DINOConfig(MultiCropConfig, MomentumCopyConfig):
    name: Literal["dino"]
    momentum: Probability = 0.996
    """Momentum of the teacher's moving average."""
    momentum_schedule: Literal["constant", "cosine"] = "cosine"
    dim: Count = 256
    """Width of the head's bottleneck, whose vectors are normalized."""
    hidden: Count = 2048
    """Width of the head's hidden layers."""
    layers: Count = 3
    """Number of the head's layers up to the bottleneck."""
    head_norm: bool = False
    """Batch normalization in the head's hidden layers."""
    prototypes: Count = 65536
    """Number of trained unit vectors that the bottleneck is compared with (K)."""
    frozen_epochs: CountOrZero = 1
    """Number of first epochs in which the prototypes stay as they were drawn."""
    temperature: Positive = 0.1
    """Divisor of the student's scores."""
    teacher_temperature: Positive = 0.04
    """Divisor of the teacher's centered scores, once it is warm: the smaller, the sharper the targets."""
    first_teacher_temperature: Positive = 0.04
    """Divisor of the teacher's centered scores in the first epoch."""
    teacher_warmup_epochs: CountOrZero = 0
    """Number of first epochs in which that divisor changes linearly from the first to the last."""
    center_momentum: Probability = 0.9
    """Momentum of the center, the moving average of the teacher's scores."""
    global_crops: Count = 2
    """Number of first views that the teacher sees; the student sees all."""


DINOSettings = TypeVar("DINOSettings", bound=DINOConfig)


class DINONetworks(Method[DINOSettings, Kept]):
    """The networks of DINO and of iBOT: encoder, head and prototypes, and a teacher that follows them."""

    num_views = None
    center: Tensor

    def __init__(self, recipe: Recipe[DINOSettings], encoder: Encoder, num_images: int) -> None:
        super().__init__(recipe, encoder, num_images)
        config = self.config
        hidden = [config.hidden] * (config.layers - 1)
        self.head = mlp(encoder.feature_dim, *hidden, config.dim, norm=config.head_norm, activation=nn.GELU)
        for layer in self.head:  # as in the published code
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        self.prototypes = UnitLinear(config.dim, config.prototypes)
        student = nn.Sequential(encoder, self.head, self.prototypes)
        self.teacher = MomentumCopy(student, buffers=config.target_norm)
        self.register_buffer("center", torch.zeros(config.prototypes))

    def teacher_temperature(self, epoch: int) -> float:
        """Returns the temperature of the targets in an epoch, counted from 0, as in the published code."""
        first, last = self.config.first_teacher_temperature, self.config.teacher_temperature
        warm = self.config.teacher_warmup_epochs
        return last if epoch >= warm else first + (last - first) * epoch / max(warm - 1, 1)

    def momentum_copy(self) -> MomentumCopy:
        return self.teacher

    def momentum(self, step: int, total_steps: int) -> float:
        return self.config.momentum_at(step, total_steps)

    def move_center(self, center: Tensor, difference: Tensor, skip: Tensor) -> None:
        """Moves a center (K,) towards the mean of all ranks' scores, by their difference (K,) from it."""
        center.add_(torch.where(skip, 0.0, (1 - self.config.center_momentum) * difference))

    def compiled(self) -> list[nn.Module]:
        return [self.encoder, self.teacher.module.get_submodule("0")]

    @classmethod
    def even_std(cls, recipe: Recipe[DINOSettings]) -> float:
        return float(recipe.method.dim**-0.5)

    @classmethod
    def check(cls, recipe: Recipe[DINOSettings], num_images: int) -> None:
        check_crops(recipe)


class DINO(DINONetworks[DINOConfig, Tensor]):
    """A student predicts from each crop what its moving average makes of the global crops, centered and sharpened.

    What differs from the paper and its code: the encoder of a run is the student's, theirs the teacher's. The
    weight decay is constant, theirs rises along a cosine. The gradient is clipped as a whole, theirs for each
    parameter. Prototypes have length 1, but those of their ViT-S have lengths that are trained.
    """

    Config = DINOConfig

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        config, views = self.config, batch.views
        z = F.normalize(self.head(encode_crops(self.encoder, views)), dim=1)
        scores = self.prototypes(z, frozen=batch.epoch < config.frozen_epochs).chunk(len(views))
        centered = self._teacher_scores(views[: config.global_crops]) - self.center
        targets = F.softmax(centered / self.teacher_temperature(batch.epoch), dim=1).chunk(config.global_crops)
        loss = predict_others(scores, targets, temperature=config.temperature)
        return loss, {"std": embedding_std(z[: len(batch.index)])}, mean(centered.mean(dim=0))

    @torch.no_grad()
    def _teacher_scores(self, views: tuple[Tensor, ...]) -> Tensor:
        encoder, head, prototypes = self.teacher.module.children()
        scores: Tensor = prototypes(F.normalize(head(encode_crops(encoder, views)), dim=1))
        return scores

    def after_step(self, kept: Tensor, step: int, total_steps: int, skip: Tensor) -> None:
        self.move_center(self.center, kept, skip)
