"""Context prediction: which neighbor of a patch another one is (Doersch, Gupta, Efros 2015, arXiv:1505.05192)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from sslfast.config import DataConfig, Recipe
from sslfast.config.fields import STRICT, Count, CountOrZero, Probability
from sslfast.encoders import Encoder
from sslfast.methods.parts.puzzle import Puzzle, PuzzleConfig
from sslfast.views import Key, context_pair, drop_colors, project_colors

WHOLE = 398  # pixels that 3 patches of 96, the paper's gaps of 48 and its jitter of 7 need
POSITIONS = 8


@dataclass(config=STRICT)
class ContextPredictionConfig(PuzzleConfig):
    name: Literal["context_prediction"]
    gap: CountOrZero | None = None
    """Pixels between the patches; null: half a patch."""
    jitter: CountOrZero | None = None
    """Largest number of pixels that a patch is moved by; null: 7 / 96 of a patch."""
    drop_colors: Probability = 1.0
    """Probability of a patch to keep one color channel only, against chromatic aberration."""
    project_colors: bool = False
    """Projection that shows no green against magenta: the paper's other remedy, for drop_colors=0."""
    hidden: tuple[Count, ...] = (4096, 4096)
    head_norm: bool = True


class ContextPrediction(Puzzle[ContextPredictionConfig]):
    """The center and a neighbor side by side, 8 positions (section 3).

    The layers are those of the published code, except that its last hidden layer has no batch normalization. That
    code also shows a third of the patches at low resolution, gives each a mean of 0 and one contrast, and pairs a
    patch with all its neighbors: left out here.
    """

    Config = ContextPredictionConfig

    def __init__(self, recipe: Recipe[ContextPredictionConfig], encoder: Encoder, num_images: int) -> None:
        super().__init__(recipe, encoder, num_images, num_patches=2, num_classes=POSITIONS)
        self.data = recipe.data

    def puzzle(self, view: Tensor, key: Key) -> tuple[Tensor, Tensor]:
        return _pair(self.config, self.data, view, key)

    @classmethod
    def inputs_of_view(
        cls, recipe: Recipe[ContextPredictionConfig], number: int, view: Tensor, key: Key
    ) -> Tensor:
        """Puts both patches at their places among 3 x 3."""
        pair, position = _pair(recipe.method, recipe.data, view, key)
        places = pair.new_full((len(pair), 9, *pair.shape[2:]), torch.nan)
        places[:, 4] = pair[:, 0]
        places[torch.arange(len(pair), device=pair.device), position + (position >= 4)] = pair[:, 1]
        return places

    @classmethod
    def colors_read(cls, recipe: Recipe[ContextPredictionConfig]) -> str | None:
        method = recipe.method
        if method.project_colors:
            return "method.project_colors=true"
        return f"method.drop_colors={method.drop_colors:g}" if method.drop_colors else None

    @classmethod
    def chance_loss(cls, recipe: Recipe[ContextPredictionConfig], num_images: int) -> float:
        return math.log(POSITIONS)


def _pair(config: ContextPredictionConfig, data: DataConfig, view: Tensor, key: Key) -> tuple[Tensor, Tensor]:
    """Cuts two patches of views, (B, 2, 3, p, p), and tells the position of the second, int64 (B,)."""
    if config.project_colors:
        view = project_colors(view, data.mean, data.std)
    patch = config.patch or max(1, view.shape[-1] * 96 // WHOLE)
    pair, position = context_pair(view, key, patch, config.gap, config.jitter)
    return drop_colors(pair, key, config.drop_colors), position
