"""CMC, contrastive multiview coding (Tian, Krishnan, Isola 2020, arXiv:1906.05849)."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, Positive, Probability
from sslfast.data import Batch
from sslfast.encoders import ColorEncoder, Encoder
from sslfast.encoders.colors import channels_of
from sslfast.methods.base import Method
from sslfast.methods.parts.heads import mlp
from sslfast.methods.parts.memory_bank import BankLoss, MemoryBank, Objective, bank_chance_loss, check_bank
from sslfast.views import Key, from_rgb, to_rgb
from sslfast.views.color_parts import color_parts


@dataclass(config=STRICT)
class CMCConfig:
    name: Literal["cmc"]
    dim: Count = 128
    """Width of an embedding."""
    objective: Objective = "nce"
    """Loss; nce: noise-contrastive estimation; softmax: cross-entropy of the positive among the noise."""
    noise: Count = 16384
    """Number of rows of a memory bank that are drawn as negatives."""
    temperature: Positive = 0.07
    """Divisor of the similarities."""
    momentum: Probability = 0.5
    """Momentum of the memory banks' rows."""
    graph: Literal["full", "core"] = "full"
    """Pairs of views that are compared; full: all; core: the first with each other one. Two views are one pair."""


class CMCKept(NamedTuple):
    """The results of a batch that the memory banks and the losses take over after the step.

    Attributes:
        indices: int64 (B,), the positions of the batch's images.
        embeddings: (B, dim) of each view, without gradient.
        estimates: that of each loss, see `BankLoss`.
    """

    indices: Tensor
    embeddings: list[Tensor]
    estimates: tuple[Tensor | None, ...]


class CMC(Method[CMCConfig, CMCKept]):
    """The parts of an image's colors are its views: each view is compared with the memory bank of another.

    The encoder is a `ColorEncoder`, one of RGB views to all but this loss.
    """

    Config = CMCConfig
    num_views = 1

    encoder: ColorEncoder

    def __init__(self, recipe: Recipe[CMCConfig], encoder: Encoder, num_images: int) -> None:
        super().__init__(recipe, encoder, num_images)
        config, widths = self.config, self.encoder.feature_dims
        self.heads = nn.ModuleList(mlp(width, config.dim) for width in widths)
        banks = nn.ModuleList(MemoryBank(num_images, config.dim) for _ in widths)
        # (anchor, bank), both ways of every pair, each with a partition constant of its own.
        pairs = [(i, j) for i, j in combinations(range(len(widths)), 2) if i == 0 or config.graph == "full"]
        self.edges = [edge for i, j in pairs for edge in ((i, j), (j, i))]
        losses = nn.ModuleList(BankLoss(config.objective, config.temperature) for _ in self.edges)
        self.banks, self.against_noise = cast("list[MemoryBank]", banks), cast("list[BankLoss]", losses)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], CMCKept]:
        features = self.encoder(batch.views[0]).split(self.encoder.feature_dims, dim=1)
        views = [F.normalize(head(x), dim=1) for head, x in zip(self.heads, features, strict=True)]
        rows = [bank.rows for bank in self.banks]
        noise = self.banks[0].noise(batch, self.config.noise)
        losses, accuracies, estimates = zip(
            *(
                against_noise(views[i], rows[j][batch.index], rows[j][noise])
                for (i, j), against_noise in zip(self.edges, self.against_noise, strict=True)
            ),
            strict=True,
        )
        kept = CMCKept(batch.index, [view.detach() for view in views], estimates)
        return torch.stack(losses).sum(), {"accuracy": torch.stack(accuracies).mean()}, kept

    def after_step(self, kept: CMCKept, step: int, total_steps: int, skip: Tensor) -> None:
        for bank, embedding in zip(self.banks, kept.embeddings, strict=True):
            bank.update(kept.indices, embedding, momentum=self.config.momentum, skip=skip)
        for against_noise, estimate in zip(self.against_noise, kept.estimates, strict=True):
            against_noise.after_step(estimate, skip)

    @classmethod
    def inputs_of_view(cls, recipe: Recipe[CMCConfig], number: int, view: Tensor, key: Key) -> Tensor:
        data, encoder = recipe.data, recipe.encoder
        if encoder.colors == "rgb":
            raise ValueError("encoder.colors=rgb: expected lab or ydbdr, the parts of whose colors are compared")
        parts = color_parts(to_rgb(view, data.mean, data.std), encoder.colors, channels_of(encoder.color_parts))
        return from_rgb(parts.flatten(0, 1), data.mean, data.std).unflatten(0, parts.shape[:2])

    @classmethod
    def colors_read(cls, recipe: Recipe[CMCConfig]) -> str | None:
        return "method.name=cmc"

    @classmethod
    def chance_loss(cls, recipe: Recipe[CMCConfig], num_images: int) -> float:
        views = recipe.encoder.color_parts
        pairs = math.comb(views, 2) if recipe.method.graph == "full" else views - 1
        return 2 * pairs * bank_chance_loss(recipe.method.objective, recipe.method.noise)

    @classmethod
    def check(cls, recipe: Recipe[CMCConfig], num_images: int) -> None:
        check_bank(recipe, num_images)
