"""Supervised contrastive learning, SupCon (Khosla et al. 2020, arXiv:2004.11362)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from sslfast import kernels as K
from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Positive
from sslfast.data import Batch
from sslfast.distributed import gather
from sslfast.methods.simclr import SimCLR, SimCLRConfig


@dataclass(config=STRICT)
class SupConConfig(SimCLRConfig):
    name: Literal["supcon"]  # type: ignore[assignment]
    norm: bool = False
    """Batch normalisation after every layer of the head."""
    base_temperature: Positive = 0.07
    """Temperature that sets the loss's scale, temperature / base_temperature, as in the authors' code."""


class SupCon(SimCLR[SupConConfig]):
    """SimCLR whose positives are all views of all images of the same label (equation 2, L_out).

    The head takes the encoder's features as they are, as in the published code; the paper normalises them first.
    """

    Config = SupConConfig
    needs_labels = True
    bounds_information = False

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], None]:
        assert batch.label is not None  # the trainer has refused images without
        features = torch.cat([gather(z) for z in self._embed(batch)])
        labels = gather(batch.label).repeat(2)
        loss = K.sup_con(features, labels, temperature=self.config.temperature)
        return loss * (self.config.temperature / self.config.base_temperature), {}, None

    @classmethod
    def chance_loss(cls, recipe: Recipe[SupConConfig], num_images: int) -> float:
        scale = recipe.method.temperature / recipe.method.base_temperature
        return scale * super().chance_loss(recipe, num_images)
