"""SimSiam (Chen and He 2021, arXiv:2011.10566), with the switches of its ablations (section 4)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast import kernels as K
from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count
from sslfast.data import Batch
from sslfast.encoders import Encoder
from sslfast.errors import UsageError
from sslfast.methods.base import Method
from sslfast.methods.parts.collapse import embedding_std
from sslfast.methods.parts.heads import mlp


@dataclass(config=STRICT)
class SimSiamConfig:
    name: Literal["simsiam"]
    dim: Count = 2048
    """Width of an embedding."""
    hidden: Count = 2048
    """Width of the projector's hidden layers."""
    layers: Count = 3
    """Number of the projector's layers; the paper has 2 on CIFAR-10."""
    predictor_hidden: Count = 512
    """Width of the predictor's hidden layer."""
    stop_gradient: bool = True
    """Targets are constants; without, embeddings collapse (figure 2)."""
    predictor: Literal["trained", "fixed", "none"] = "trained"
    """State of the predictor; fixed: as initialized; without one, embeddings collapse (table 1)."""
    predictor_decay: bool = False
    """The predictor's learning rate falls like the others' (table 1)."""
    norm: Literal["none", "hidden", "default", "all"] = "default"
    """Batch normalization in the heads (table 3): default has it in all layers but the predictor's last."""
    similarity: Literal["cosine", "cross_entropy"] = "cosine"
    """Similarity of prediction and target; cross_entropy: that of softmaxes over the components (section 4.5)."""
    symmetric: bool = True
    """Each view of a pair predicts the other; else the first the second (section 4.6).

    Asymmetric with four views of an image in data.views, which are two pairs, is the section's "asym. 2x".
    """


class SimSiam(Method[SimSiamConfig, None]):
    """One network on both views of a pair; a predictor on one side, a stop-gradient on the other."""

    Config = SimSiamConfig
    num_views = None
    adds_up = True

    def __init__(self, recipe: Recipe[SimSiamConfig], encoder: Encoder, num_images: int) -> None:
        super().__init__(recipe, encoder, num_images)
        config = self.config
        self.constant_lr = () if config.predictor_decay else ("predictor",)
        hidden_norm = config.norm != "none"
        self.projector = mlp(
            encoder.feature_dim,
            *[config.hidden] * (config.layers - 1),
            config.dim,
            norm=hidden_norm,
            last_norm="plain" if config.norm in ("default", "all") else "none",
        )
        self.predictor: nn.Module = nn.Identity()
        if config.predictor != "none":
            last_norm: Literal["affine", "none"] = "affine" if config.norm == "all" else "none"
            widths = config.dim, config.predictor_hidden, config.dim
            self.predictor = mlp(*widths, norm=hidden_norm, last_norm=last_norm)
            self.predictor.requires_grad_(config.predictor == "trained")

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], None]:
        z = [self.projector(self.encoder(view)) for view in batch.views]
        pairs = list(zip(z[::2], z[1::2], strict=True))
        if self.config.symmetric:  # equation 2
            pairs += [(z2, z1) for z1, z2 in pairs]
        return torch.stack([self._distance(*pair) for pair in pairs]).mean(), {"std": embedding_std(z[0])}, None

    def _distance(self, z: Tensor, target: Tensor) -> Tensor:
        """Computes the distance D(h(z), stopgrad(target)), its mean over the batch."""
        prediction = self.predictor(z)
        if self.config.stop_gradient:
            target = target.detach()
        if self.config.similarity == "cosine":  # equation 1
            return -F.cosine_similarity(prediction, target).mean()
        return K.soft_cross_entropy(prediction, target.softmax(dim=1), temperature=1.0)

    @classmethod
    def even_std(cls, recipe: Recipe[SimSiamConfig]) -> float | None:
        return recipe.method.dim**-0.5

    @classmethod
    def check(cls, recipe: Recipe[SimSiamConfig], num_images: int) -> None:
        num_views = len(recipe.data.views)
        if num_views == 0 or num_views % 2:
            raise UsageError(f"data.views: expected pairs of views for simsiam, got {num_views}")
