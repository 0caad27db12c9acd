"""Supervised training, the baseline: the classes of images, told by a linear layer on the encoder's features."""

from __future__ import annotations

import math
from typing import Literal

from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count
from sslfast.data import Batch, Source
from sslfast.encoders import Encoder
from sslfast.methods.base import Method
from sslfast.methods.parts.classes import with_num_classes
from sslfast.methods.parts.puzzle import classified


@dataclass(config=STRICT)
class SupervisedConfig:
    name: Literal["supervised"]
    num_classes: Count | None = None
    """Number of classes; null: that of the images, which the run's config.yaml then states."""


class Supervised(Method[SupervisedConfig, None]):
    """The cross-entropy of a linear layer, whose weights are no part of the backbone that a run leaves."""

    Config = SupervisedConfig
    num_views = 1
    needs_labels = True
    adds_up = True

    def __init__(self, recipe: Recipe[SupervisedConfig], encoder: Encoder, num_images: int) -> None:
        super().__init__(recipe, encoder, num_images)
        assert self.config.num_classes is not None  # `of_images` has told it
        self.head = nn.Linear(encoder.feature_dim, self.config.num_classes)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], None]:
        assert batch.label is not None  # the trainer has refused images without
        return *classified(self.head(self.encoder(batch.views[0])), batch.label), None

    @classmethod
    def of_images(cls, recipe: Recipe[SupervisedConfig], source: Source) -> Recipe[SupervisedConfig]:
        return with_num_classes(recipe, source)

    @classmethod
    def chance_loss(cls, recipe: Recipe[SupervisedConfig], num_images: int) -> float:
        assert recipe.method.num_classes is not None  # as above
        return math.log(recipe.method.num_classes)
