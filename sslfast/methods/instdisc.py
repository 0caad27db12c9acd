"""InstDisc, instance discrimination (Wu, Xiong, Yu, Lin 2018, arXiv:1805.01978)."""

from __future__ import annotations

import math
from typing import ClassVar, Literal, NamedTuple, TypeVar

import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor

from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, NonNegative, Positive, Probability
from sslfast.data import Batch
from sslfast.encoders import Encoder
from sslfast.methods.base import Method
from sslfast.methods.parts.heads import mlp
from sslfast.methods.parts.memory_bank import BankLoss, MemoryBank, Objective, bank_chance_loss, check_bank
from sslfast.methods.parts.prototypes import softmax_loss


@dataclass(config=STRICT)
class InstDiscConfig:
    name: Literal["instdisc"]
    dim: Count = 128
    """Width of an embedding."""
    objective: Objective = "nce"
    """Loss; nce: noise-contrastive estimation; softmax: cross-entropy among all images (equation 2)."""
    noise: Count = 4096
    """Number of rows of the memory bank that nce draws."""
    temperature: Positive = 0.07
    """Divisor of the similarities."""
    momentum: Probability = 0.5
    """Momentum of the memory bank's rows."""
    proximal: NonNegative = 0.0
    """Weight of the squared distance from an image's own row (section 3.3); 0 as in the authors' code."""


InstDiscSettings = TypeVar("InstDiscSettings", bound=InstDiscConfig)


class InstDiscKept(NamedTuple):
    """The results of a batch that the memory bank and the loss take over after the step.

    Attributes:
        indices: int64 (B,), the positions of the batch's images.
        embedding: (B, dim), without gradient.
        estimate: that of the loss, see `BankLoss`.
    """

    indices: Tensor
    embedding: Tensor
    estimate: Tensor | None


class InstDisc(Method[InstDiscSettings, InstDiscKept]):
    """Every image is a class of its own, whose weight vector is its row of a memory bank."""

    Config: ClassVar[type[InstDiscConfig]] = InstDiscConfig
    num_views = 1

    def __init__(self, recipe: Recipe[InstDiscSettings], encoder: Encoder, num_images: int) -> None:
        super().__init__(recipe, encoder, num_images)
        self.head = mlp(encoder.feature_dim, self.config.dim)
        self.bank = MemoryBank(num_images, self.config.dim)
        self.against_noise = BankLoss("nce", self.config.temperature)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], InstDiscKept]:
        config, rows = self.config, self.bank.rows
        embedding = self.embed(batch.views[0])
        positive = rows[batch.index]
        if config.objective == "nce":
            noise = rows[self.bank.noise(batch, config.noise)]
            loss, accuracy, estimate = self.against_noise(embedding, positive, noise)
            values = {"accuracy": accuracy}
        else:
            estimate = None
            losses = softmax_loss(embedding, rows, batch.index, temperature=config.temperature)
            loss, values = losses.mean(), {"probability": (-losses.detach()).exp().mean()}
        if config.proximal:
            loss = loss + config.proximal * (embedding - positive).square().sum(dim=1).mean()
        return loss, values, InstDiscKept(batch.index, embedding.detach(), estimate)

    def embed(self, view: Tensor) -> Tensor:
        """Computes the embeddings (B, dim) of a view, of length 1."""
        return F.normalize(self.head(self.encoder(view)), dim=1)

    def after_step(self, kept: InstDiscKept, step: int, total_steps: int, skip: Tensor) -> None:
        self.bank.update(kept.indices, kept.embedding, momentum=self.config.momentum, skip=skip)
        self.against_noise.after_step(kept.estimate, skip)

    @classmethod
    def chance_loss(cls, recipe: Recipe[InstDiscSettings], num_images: int) -> float | None:
        if recipe.method.proximal:  # adds what depends on how far the rows have moved
            return None
        if recipe.method.objective == "softmax":
            return math.log(num_images)
        return bank_chance_loss("nce", recipe.method.noise)

    @classmethod
    def check(cls, recipe: Recipe[InstDiscSettings], num_images: int) -> None:
        check_bank(recipe, num_images)
