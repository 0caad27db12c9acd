"""CPC v1, contrastive predictive coding (van den Oord, Li, Vinyals 2018, arXiv:1807.03748)."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

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
from sslfast.views import Key, drop_colors, flip_patches, patch_grid, shift_patches


@dataclass(config=STRICT)
class CPCV1Config:
    name: Literal["cpc_v1"]
    patch: Count | None = None
    """Side of a patch, pixels; null: a quarter of the view."""
    stride: Count | None = None
    """Pixels from a patch to the next; null: half a patch."""
    shift: CountOrZero | None = None
    """Zeros around a window that moves within its patch, pixels; null: 1 / 32 of the patch, at least 1."""
    flip_patches: Probability = 0.0
    """Probability of a patch to be mirrored."""
    drop_colors: Probability = 0.0
    """Probability of a patch to keep one colour channel only."""
    directions: Literal[1, 2, 4] = 1
    """1: rows are predicted from those above; 2: from those below as well; 4: columns too, from both sides."""
    first_step: Count = 1
    """Rows from a context to the nearest predicted; the first row shares half of its pixels with the context."""
    last_step: Count = 5
    """Rows from a context to the farthest predicted."""
    context_blocks: Count = 5
    """Residual blocks of the context network, each of which sees a row farther."""
    context_width: Count = 256
    """Channels within a block."""
    dim: CountOrZero = 0
    """Width of a linear projection of the features, which is predicted; 0: the features are."""
    temperature: Positive = 1.0
    """Divides the products of predictions and features."""


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
        config: the method's.
        turn: quarters of a turn after which this direction leads downwards.
        width: of the features.
        dim: of the predictions.
    """

    def __init__(self, config: CPCV1Config, turn: int, width: int, dim: int) -> None:
        super().__init__()
        self.turn, self.first_step, self.temperature = turn, config.first_step, config.temperature
        blocks = (ContextBlock(width, config.context_width) for _ in range(config.context_blocks))
        self.context = nn.Sequential(*blocks, nn.ReLU())
        steps = range(config.first_step, config.last_step + 1)
        self.maps = nn.ModuleList(nn.Linear(width, dim, bias=False) for _ in steps)

    def forward(self, z: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The mean loss, and the ranks of all predictions, of features (B, n, n, D) and their targets."""
        context = self.context(z.rot90(self.turn, (1, 2)).permute(0, 3, 1, 2)).permute(2, 0, 3, 1)  # [n, B, n, D]
        keys = targets.rot90(self.turn, (1, 2)).transpose(0, 1).flatten(0, 2)  # [n * B * n, D]: row after row
        count = len(keys)
        # This rank's come first, so that they stay where they are; those of the others are negatives.
        keys = distributed.gather(keys).roll(-distributed.rank() * count, dims=0)
        losses, ranks = [], []
        for k, predict in enumerate(self.maps, self.first_step):
            query = predict(context[:-k]).flatten(0, 2)  # of all rows but the last k
            # The target of a row's query is k rows on.
            loss, rank = K.in_batch_info_nce(
                query, keys, temperature=self.temperature, offset=count - len(query), return_rank=True
            )
            losses.append(loss)
            ranks.append(rank)
        return torch.stack(losses).mean(), torch.cat(ranks)


class CPCV1(Method):
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
    views = 1

    def __init__(self, recipe: Recipe, encoder: Encoder, images: int) -> None:
        super().__init__(recipe, encoder, images)
        config, width = self.config, encoder.feature_dim
        self.target = nn.Linear(width, config.dim) if config.dim else nn.Identity()
        turns = range(0, 4, 4 // config.directions)
        self.directions = nn.ModuleList(Direction(config, turn, width, config.dim or width) for turn in turns)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        patches = _patches(self.config, batch.views[0], Key(batch.seed, batch.epoch, batch.index))
        n = math.isqrt(patches.shape[1])
        z = self.encoder(patches.flatten(0, 1)).view(len(patches), n, n, -1)
        targets = self.target(z)
        losses, ranks = zip(*(direction(z, targets) for direction in self.directions), strict=True)
        return torch.stack(losses).mean(), {"accuracy": (torch.cat(ranks) == 0).float().mean()}

    def compiled(self) -> list[nn.Module]:
        return [self.encoder, *(direction.get_submodule("context") for direction in self.directions)]

    @classmethod
    def seen(cls, recipe: Recipe, number: int, view: Tensor, key: Key) -> Tensor:
        return _patches(recipe.method, view, key)

    @classmethod
    def check(cls, recipe: Recipe, images: int) -> None:
        config = recipe.method
        side = recipe.data.sizes[0]
        rows = math.isqrt(patch_grid(torch.zeros(1, 3, side, side), config.patch, config.stride).shape[1])
        if not config.first_step <= config.last_step < rows:
            raise UsageError(
                f"method.first_step={config.first_step}, method.last_step={config.last_step}: expected steps in "
                f"rising order, at most {rows - 1} in a grid of {rows} x {rows} patches"
            )


def _patches(config: CPCV1Config, view: Tensor, key: Key) -> Tensor:
    """(B, n * n, 3, p, p), each altered by itself."""
    patches = patch_grid(view, config.patch, config.stride)
    margin = max(1, patches.shape[-1] // 32) if config.shift is None else config.shift
    patches = flip_patches(shift_patches(patches, key, margin), key, config.flip_patches)
    return drop_colors(patches, key, config.drop_colors)
