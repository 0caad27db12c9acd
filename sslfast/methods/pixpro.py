"""PixPro, "Propagate Yourself" (Xie, Lin, Zhang, Cao, Lin, Hu 2021, arXiv:2011.10043)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, Positive, Probability
from sslfast.data import Batch
from sslfast.encoders import Encoder
from sslfast.methods.base import Method
from sslfast.methods.parts.collapse import embedding_std
from sslfast.methods.parts.heads import mlp
from sslfast.methods.parts.momentum_copy import MomentumCopy, MomentumCopyConfig
from sslfast.views import near_cells


@dataclass(config=STRICT)
class PixProConfig(MomentumCopyConfig):
    name: Literal["pixpro"]
    momentum: Probability = 0.99
    """Momentum of the target network's moving average."""
    momentum_schedule: Literal["constant", "cosine"] = "cosine"
    dim: Count = 256
    """Width of a pixel's embedding."""
    hidden: Count = 4096
    """Width of the projector's hidden layer."""
    threshold: Positive = 0.7
    """Largest distance of two pixels that are a positive pair, in diagonals of a cell of the map (T)."""
    sharpness: Positive = 2.0
    """Exponent of the similarities by which a pixel is smoothed (gamma)."""
    transform_layers: Literal[1, 2] = 1
    """Number of layers of the transformation of the pixels that are summed (l of the paper's ablation), batch
    normalization and ReLU between two."""


class PixPro(Method[PixProConfig, None]):
    """Each pixel, smoothed by those like it, predicts the target's pixels of the other view at the same place.

    It is the paper's pixel-to-propagation consistency alone, without the loss of whole images beside it.
    """

    Config = PixProConfig
    num_views = 2
    needs_map = True

    def __init__(self, recipe: Recipe[PixProConfig], encoder: Encoder, num_images: int) -> None:
        super().__init__(recipe, encoder, num_images)
        config = self.config
        self.projector = mlp(encoder.feature_dim, config.hidden, config.dim, norm=True)
        self.transform = mlp(*[config.dim] * (config.transform_layers + 1), norm=True)  # g of equation 3
        self.target = MomentumCopy(nn.Sequential(encoder, self.projector), buffers=config.target_norm)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], None]:
        (view1, view2), (box1, box2) = batch.views, batch.boxes
        x1, x2 = (embed_pixels(self.encoder, self.projector, view) for view in batch.views)
        target1, target2 = self._targets(view1), self._targets(view2)
        near = near_cells(box1, box2, round(x1.shape[1] ** 0.5), self.config.threshold)
        agreement = self._agreement(x1, target2, near) + self._agreement(x2, target1, near.mT)
        return -agreement, {"std": embedding_std(x1.flatten(0, 1))}, None

    @torch.no_grad()
    def _targets(self, view: Tensor) -> Tensor:
        encoder, projector = self.target.module.children()
        return embed_pixels(encoder, projector, view)

    def _agreement(self, x: Tensor, target: Tensor, near: Tensor) -> Tensor:
        """Averages the cosines of an image's positive pairs, 0 where it has none, then over the batch."""
        y = F.normalize(self._propagate(x), dim=2)
        cosines = y @ F.normalize(target, dim=2).mT  # [B, P, P]
        return ((cosines * near).sum(dim=(1, 2)) / near.sum(dim=(1, 2)).clamp(min=1)).mean()

    def _propagate(self, x: Tensor) -> Tensor:
        """Computes the pixels (B, P, dim), each the sum of all by max(cos, 0)^gamma (equations 3 and 4)."""
        z = F.normalize(x, dim=2)
        transformed = self.transform(x.flatten(0, 1)).view_as(x)
        smoothed: Tensor = (z @ z.mT).clamp(min=0) ** self.config.sharpness @ transformed
        return smoothed

    def momentum_copy(self) -> MomentumCopy:
        return self.target

    def momentum(self, step: int, total_steps: int) -> float:
        return self.config.momentum_at(step, total_steps)

    def compiled(self) -> list[nn.Module]:
        return [self.encoder, self.target.module.get_submodule("0")]

    @classmethod
    def even_std(cls, recipe: Recipe[PixProConfig]) -> float:
        return float(recipe.method.dim**-0.5)


def embed_pixels(encoder: nn.Module, projector: nn.Module, view: Tensor) -> Tensor:
    """Computes the embeddings (B, P, dim) of the P places of a view's map of features, row by row."""
    pixels = encoder(view, dense=True).flatten(2).mT  # [B, P, D]
    embedded: Tensor = projector(pixels.flatten(0, 1)).unflatten(0, pixels.shape[:2])
    return embedded
