"""Decoupled contrastive learning, DCL and DCLW (Yeh, Hong, Hsu, Liu, Chen, LeCun 2022, arXiv:2110.06848)."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor

from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Positive
from sslfast.data import Batch
from sslfast.distributed import gather, local_rows
from sslfast.methods.simclr import SimCLR, SimCLRConfig
from sslfast.nn.partition import log_partition


@dataclass(config=STRICT)
class DCLConfig(SimCLRConfig):
    name: Literal["dcl"]  # type: ignore[assignment]
    sigma: Positive | None = None
    """Divisor of the positives' similarities in their weights, which makes it DCLW (0.5 in the paper); null: all
    weigh 1."""


class DCL(SimCLR[DCLConfig]):
    """SimCLR without the positive in the denominator, which weakens the gradient of pairs that are easy to tell.

    A sample's negatives are both views of all other images (equation 6).
    """

    Config = DCLConfig
    bounds_information = False

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], None]:
        config = self.config
        z1, z2 = self._embed(batch)
        positives = (z1 * z2).sum(dim=1)
        weights = 1.0 if config.sigma is None else positive_weights(positives.detach(), config.sigma)
        negatives = log_partition(torch.cat([z1, z2]), num_views=2, temperature=config.temperature)
        return negatives.mean() - (weights * positives).mean() / config.temperature, {}, None

    @classmethod
    def chance_loss(cls, recipe: Recipe[DCLConfig], num_images: int) -> float:
        return math.log(2 * (recipe.data.batch_size - 1))


def positive_weights(similarity: Tensor, sigma: float) -> Tensor:
    """Computes DCLW's weights, 2 - exp(s / sigma) / mean(exp(s / sigma)), with the mean over all ranks' images.

    Pairs that lie far apart weigh more. A weight is a constant to the gradient, our reading: through it, similar
    pairs would be driven apart.

    Args:
        similarity: (B,), s of this rank's pairs.
        sigma: > 0.

    Returns:
        (B,), in (-inf, 2), of mean 1 over all ranks.
    """
    everyone = gather(similarity)
    return 2 - len(everyone) * local_rows(F.softmax(everyone / sigma, dim=0))
