"""RotNet: which way up an image is (Gidaris, Singh, Komodakis 2018, arXiv:1803.07728)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast.config import Recipe
from sslfast.config.fields import STRICT
from sslfast.data import Batch
from sslfast.encoders import Encoder
from sslfast.methods.base import Method
from sslfast.methods.parts.puzzle import classified
from sslfast.views import Key, rotations


@dataclass(config=STRICT)
class RotationConfig:
    name: Literal["rotation"]
    angles: Literal[2, 4] = 4
    """Number of angles; 4: 0, 90, 180, 270 degrees; 2: 0 and 180, which teach less (table 2)."""


class Rotation(Method[RotationConfig, None]):
    """All turned copies of an image stand in the same batch, each to be told its angle (section 2.3)."""

    Config = RotationConfig
    num_views = 1
    adds_up = True

    def __init__(self, recipe: Recipe[RotationConfig], encoder: Encoder, num_images: int) -> None:
        super().__init__(recipe, encoder, num_images)
        self.head = nn.Linear(encoder.feature_dim, self.config.angles)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], None]:
        turned = _turned(self.config, batch.views[0])
        angle = torch.arange(turned.shape[1], device=turned.device).repeat(len(turned))
        return *classified(self.head(self.encoder(turned.flatten(0, 1))), angle), None

    @classmethod
    def inputs_of_view(cls, recipe: Recipe[RotationConfig], number: int, view: Tensor, key: Key) -> Tensor:
        return _turned(recipe.method, view)

    @classmethod
    def chance_loss(cls, recipe: Recipe[RotationConfig], num_images: int) -> float:
        return math.log(recipe.method.angles)


def _turned(config: RotationConfig, view: Tensor) -> Tensor:
    """Turns views by each of the angles, (B, angles, C, S, S)."""
    return rotations(view)[:, :: 4 // config.angles]
