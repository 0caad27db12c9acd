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

EPSILON = 1e-4  # within the square root of a standard deviation (section 4.1)


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


def std_hinge(z: Tensor) -> Tensor:
    """The mean over the components of how far their standard deviation is below 1 (equations 1 and 2), a scalar.

    Args:
        z: (N, D), N > 1.
    """
    return F.relu(1 - (z.var(dim=0) + EPSILON).sqrt()).mean()


def redundancy(z: Tensor) -> Tensor:
    """The sum of the squared covariances of different components, divided by D (equations 3 and 4), a scalar.

    The squares of all entries of the centered Z^T Z, (D, D), have the same sum as those of Z Z^T, (N, N): the
    smaller one is computed.

    Args:
        z: (N, D), N > 1.
    """
    n, d = z.shape
    z = z - z.mean(dim=0)
    products = z @ z.T if n < d else z.T @ z
    variances = z.square().sum(dim=0)
    return (products.square().sum() - variances.square().sum()) / ((n - 1) ** 2 * d)
