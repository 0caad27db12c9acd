"""VICReg (Bardes, Ponce, LeCun 2022, arXiv:2105.04906)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor

from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, NonNegative
from sslfast.data import Batch
from sslfast.distributed import gather
from sslfast.encoders import Encoder
from sslfast.methods.base import Method
from sslfast.methods.parts.heads import mlp
from sslfast.nn.vicreg import EPSILON, redundancy, std_hinge


@dataclass(config=STRICT)
class VICRegConfig:
    name: Literal["vicreg"]
    dim: Count = 8192
    """Width of an embedding."""
    hidden: Count = 8192
    """Width of the expander's hidden layers."""
    layers: Count = 3
    """Number of the expander's layers."""
    invariance: NonNegative = 25.0
    """Weight of the squared distance of the two views' embeddings, the mean over their components (lambda)."""
    variance: NonNegative = 25.0
    """Weight of the hinge on each component's standard deviation, the sum of both views' (mu); the authors' code
    takes their mean: 12.5 here is its 25."""
    covariance: NonNegative = 1.0
    """Weight of the squared covariances of different components (nu)."""


class VICReg(Method[VICRegConfig, None]):
    """The embeddings of two views agree, and each view's components keep their variance and are decorrelated.

    The loss is algorithm 1's: the invariance term is the mean over the components, which equation 5 adds up.
    """

    Config = VICRegConfig
    num_views = 2

    def __init__(self, recipe: Recipe[VICRegConfig], encoder: Encoder, num_images: int) -> None:
        super().__init__(recipe, encoder, num_images)
        config = self.config
        hidden = [config.hidden] * (config.layers - 1)
        # A bias of the output would have no effect: it is common to both views and to all images.
        self.expander = mlp(encoder.feature_dim, *hidden, config.dim, norm=True, last_bias=False)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], None]:
        z1, z2 = (gather(self.expander(self.encoder(view))) for view in batch.views)
        wide = torch.promote_types(z1.dtype, torch.float32)
        with torch.autocast(z1.device.type, enabled=False):  # the covariances are differences of large sums
            z1, z2 = z1.to(wide), z2.to(wide)
            terms = {
                "invariance": F.mse_loss(z1, z2),
                "variance": std_hinge(z1) + std_hinge(z2),
                "covariance": redundancy(z1) + redundancy(z2),
            }
        loss = torch.stack([getattr(self.config, name) * term for name, term in terms.items()]).sum()
        return loss, {name: term.detach() for name, term in terms.items()}, None

    @classmethod
    def chance_loss(cls, recipe: Recipe[VICRegConfig], num_images: int) -> float:
        return float(recipe.method.variance * 2 * (1 - EPSILON**0.5))  # no component varies
