"""Supervised contrastive learning, SupCon (Khosla et al. 2020, arXiv:2004.11362)."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast import kernels as K
from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, NonNegative, Positive
from sslfast.data import Batch, Source
from sslfast.distributed import gather
from sslfast.encoders import Encoder
from sslfast.errors import UsageError
from sslfast.methods.parts.classes import with_num_classes
from sslfast.methods.parts.puzzle import classified
from sslfast.methods.simclr import SimCLR, SimCLRConfig


@dataclass(config=STRICT)
class SupConConfig(SimCLRConfig):
    name: Literal["supcon"]  # type: ignore[assignment]
    norm: bool = False
    """Batch normalization after every layer of the head."""
    base_temperature: Positive = 0.07
    """Temperature that sets the loss's scale, temperature / base_temperature, as in the authors' code."""
    cross_entropy: NonNegative = 0.0
    """Weight of the cross-entropy of a linear layer on the features, which joins the loss; 0: the paper's loss."""
    num_classes: Count | None = None
    """Number of classes of the cross-entropy; null: that of the images, which config.yaml then states."""


class SupCon(SimCLR[SupConConfig]):
    """SimCLR whose positives are all views of all images of the same label (equation 2, L_out).

    The head takes the encoder's features as they are, as in the published code; the paper normalizes them first,
    and trains the classifier afterwards, where `cross_entropy` trains it and the encoder together.
    """

    Config = SupConConfig
    needs_labels = True
    bounds_information = False

    def __init__(self, recipe: Recipe[SupConConfig], encoder: Encoder, num_images: int) -> None:
        super().__init__(recipe, encoder, num_images)
        if self.config.cross_entropy:
            assert self.config.num_classes is not None  # `of_images` has told it
            self.classifier = nn.Linear(encoder.feature_dim, self.config.num_classes)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], None]:
        assert batch.label is not None  # the trainer has refused images without
        config = self.config
        features = self.encoder(torch.cat(batch.views))
        z1, z2 = F.normalize(self.head(features), dim=1).chunk(2)
        labels = gather(batch.label).repeat(2)
        loss = K.sup_con(torch.cat([gather(z1), gather(z2)]), labels, temperature=config.temperature)
        loss = loss * (config.temperature / config.base_temperature)
        if not config.cross_entropy:
            return loss, {}, None
        cross_entropy, values = classified(self.classifier(features), batch.label.repeat(2))
        return loss + config.cross_entropy * cross_entropy, values, None

    @classmethod
    def of_images(cls, recipe: Recipe[SupConConfig], source: Source) -> Recipe[SupConConfig]:
        return with_num_classes(recipe, source) if recipe.method.cross_entropy else recipe

    @classmethod
    def chance_loss(cls, recipe: Recipe[SupConConfig], num_images: int) -> float:
        config = recipe.method
        loss = config.temperature / config.base_temperature * super().chance_loss(recipe, num_images)
        return loss + (config.cross_entropy * math.log(config.num_classes) if config.num_classes else 0.0)

    @classmethod
    def check(cls, recipe: Recipe[SupConConfig], num_images: int) -> None:
        if recipe.method.num_classes is not None and not recipe.method.cross_entropy:
            raise UsageError(
                f"method.num_classes={recipe.method.num_classes}: is that of the cross-entropy, whose weight is 0;"
                " leave it out, or set method.cross_entropy=1"
            )
