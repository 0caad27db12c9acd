"""CPC v1, contrastive predictive coding (van den Oord, Li, Vinyals 2018, arXiv:1807.03748)."""

from __future__ import annotations

import math
from typing import ClassVar, Literal, TypeVar

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast import distributed
from sslfast import kernels as K
from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, CountOrZero, Positive, Probability
from sslfast.data import Batch
from sslfast.encoders import Encoder
from sslfast.errors import UsageError
from sslfast.methods.base import Method
from sslfast.methods.parts.negatives import contrastive_accuracy
from sslfast.views import Key, drop_colors, flip_patches, patch_grid, shift_patches


@dataclass(config=STRICT)
class CPCV1Config:
    name: Literal["cpc_v1"]
    patch: Count | None = None
    """Side of a patch, pixels; null: a quarter of the view."""
    stride: Count | None = None
    """Pixels from a patch to the next; null: half a patch."""
    shift: CountOrZero | None = None
    """Width of the zeros around a window that moves within its patch, pixels; null: 1 / 32 of it, at least 1."""
    flip_patches: Probability = 0.0
    """Probability of a patch to be mirrored."""
    drop_colors: Probability = 0.0
    """Probability of a patch to keep one color channel only."""
    directions: Literal[1, 2, 4] = 1
    """Directions of prediction; 1: of rows from those above; 2: from those below too; 4: of columns as well."""
    first_step: Count = 1
    """Distance in rows to the nearest row predicted; row 1 shares half of its pixels with the context."""
    last_step: Count = 5
    """Distance in rows to the farthest row predicted."""
    context_blocks: Count = 5
    """Number of residual blocks of the context network, each of which sees a row farther."""
    context_width: Count = 256
    """Number of channels within a block."""
    dim: CountOrZero = 0
    """Width of the linear projection of features that is predicted; 0: the features themselves are."""
    temperature: Positive = 1.0
    """Divisor of the products of predictions and features."""


CPCSettings = TypeVar("CPCSettings", bound=CPCV1Config)


class ContextBlock(nn.Module):
    """A residual block of a PixelCNN, masked by where it is padded: (B, C, n, n) -> (B, C, n, n).

    Row i of the result depends on rows i - 1 and i alone, on all their columns within reach.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, width, kernel_size=1)
        self.across = nn.Conv2d(width, width, kernel_size=(1, 3), padding=(0, 1))
        self.down = nn.Conv2d(width, width, kernel_size=(2, 1))
        self.expand = nn.Conv2d(width, channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.across(self.reduce(x).relu())
        y = self.down(F.pad(y, (0, 0, 1, 0))).relu()  # a row of zeros above, none below
        return x + self.expand(y)


class Direction(nn.Module):
    """Contexts of what lies before, and what they predict of the places behind: a linear map for each step.

    Args:
        config: the settings of the method.
        turn: quarters of a turn after which this direction leads downwards.
        width: the width D of the features.
        dim: the width of the predictions and of their targets.
    """

    def __init__(self, config: CPCV1Config, turn: int, width: int, dim: int) -> None:
        super().__init__()
        self.turn, self.first_step, self.temperature = turn, config.first_step, config.temperature
        blocks = (ContextBlock(width, config.context_width) for _ in range(config.context_blocks))
        self.context = nn.Sequential(*blocks, nn.ReLU())
        steps = range(config.first_step, config.last_step + 1)
        self.maps = nn.ModuleList(nn.Linear(width, dim, bias=False) for _ in steps)

    def forward(self, z: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Computes the mean loss of features (B, n, n, D) and targets (B, n, n, dim), and all positives' ranks."""
        context = self.context(z.rot90(self.turn, (1, 2)).permute(0, 3, 1, 2)).permute(2, 0, 3, 1)  # [n, B, n, D]
        keys = targets.rot90(self.turn, (1, 2)).transpose(0, 1).flatten(0, 2)  # [n * B * n, D]: row after row
        num_keys = len(keys)
        # This rank's come first, so that they stay where they are; those of the others are negatives.
        keys = distributed.gather(keys).roll(-distributed.rank() * num_keys, dims=0)
        losses, positive_ranks = [], []
        for k, predict in enumerate(self.maps, self.first_step):
            query = predict(context[:-k]).flatten(0, 2)  # of all rows but the last k
            # The target of a row's query is k rows on.
            loss, ranks_of_step = K.in_batch_info_nce(
                query, keys, temperature=self.temperature, offset=num_keys - len(query), return_rank=True
            )
            losses.append(loss)
            positive_ranks.append(ranks_of_step)
        return torch.stack(losses).mean(), torch.cat(positive_ranks)


class CPCV1(Method[CPCSettings, None]):
    """Predicts the features of patches from those of the rows before them.

    z (B, n, n, D): features of the overlapping patches, each encoded by itself. c_i: what the context network
    makes of the rows up to i. For each step k and each place (i, j) that has a row i + k, the loss is the InfoNCE
    (equation 4) of

        logits = (W_k c_ij) . z / temperature

    whose target is z_(i+k)j, and whose negatives are the features at all other places of all images of the batch.
    It is the mean over places, steps and directions, where the papers sum. The context network is the one that the
    appendix of v2 (Henaff et al. 2020, arXiv:1905.09272) lists: of v1's its paper says that it is a PixelCNN.
    """

    Config: ClassVar[type[CPCV1Config]] = CPCV1Config
    num_views = 1
    bounds_information = True

    def __init__(self, recipe: Recipe[CPCSettings], encoder: Encoder, num_images: int) -> None:
        super().__init__(recipe, encoder, num_images)
        config, width = self.config, encoder.feature_dim
        self.target = nn.Linear(width, config.dim) if config.dim else nn.Identity()
        turns = range(0, 4, 4 // config.directions)
        self.directions = nn.ModuleList(Direction(config, turn, width, config.dim or width) for turn in turns)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], None]:
        patches = _patches(self.config, batch.views[0], batch.key())
        n = math.isqrt(patches.shape[1])
        z = self.encoder(patches.flatten(0, 1)).view(len(patches), n, n, -1)
        targets = self.target(z)
        losses, positive_ranks = zip(*(direction(z, targets) for direction in self.directions), strict=True)
        return torch.stack(losses).mean(), contrastive_accuracy(torch.cat(positive_ranks)), None

    def compiled(self) -> list[nn.Module]:
        return [self.encoder, *(direction.get_submodule("context") for direction in self.directions)]

    @classmethod
    def inputs_of_view(cls, recipe: Recipe[CPCSettings], number: int, view: Tensor, key: Key) -> Tensor:
        return _patches(recipe.method, view, key)

    @classmethod
    def colors_read(cls, recipe: Recipe[CPCSettings]) -> str | None:
        return f"method.drop_colors={recipe.method.drop_colors:g}" if recipe.method.drop_colors else None

    @classmethod
    def chance_loss(cls, recipe: Recipe[CPCSettings], num_images: int) -> float:
        return math.log(recipe.data.batch_size * _rows(recipe) ** 2)

    @classmethod
    def check(cls, recipe: Recipe[CPCSettings], num_images: int) -> None:
        config, rows = recipe.method, _rows(recipe)
        if not config.first_step <= config.last_step < rows:
            raise UsageError(
                f"method.first_step={config.first_step}, method.last_step={config.last_step}: expected steps in "
                f"rising order, at most {rows - 1} in a grid of {rows} x {rows} patches"
            )


def _rows(recipe: Recipe[CPCSettings]) -> int:
    """Counts the rows of the grid of a view's patches."""
    side = recipe.data.sizes[0]
    grid = patch_grid(torch.zeros(1, 3, side, side), recipe.method.patch, recipe.method.stride)
    return math.isqrt(grid.shape[1])


def _patches(config: CPCV1Config, view: Tensor, key: Key) -> Tensor:
    """Cuts the patches of views, (B, n * n, 3, p, p), each altered by itself."""
    patches = patch_grid(view, config.patch, config.stride)
    margin = max(1, patches.shape[-1] // 32) if config.shift is None else config.shift
    patches = flip_patches(shift_patches(patches, key, margin), key, config.flip_patches)
    return drop_colors(patches, key, config.drop_colors)
