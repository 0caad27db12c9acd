"""InstDisc, instance discrimination (Wu, Xiong, Yu, Lin 2018, arXiv:1805.01978)."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor

from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, NonNegative, Positive, Probability
from sslfast.data import Batch
from sslfast.encoders import Encoder
from sslfast.methods.base import Method
from sslfast.methods.parts.heads import mlp
from sslfast.methods.parts.memory_bank import BankLoss, MemoryBank, Objective, check_bank
from sslfast.methods.parts.prototypes import softmax_loss


@dataclass(config=STRICT)
class InstDiscConfig:
    name: Literal["instdisc"]
    dim: Count = 128
    """Width of an embedding."""
    objective: Objective = "nce"
    """nce: noise-contrastive estimation; softmax: the softmax over all images (equation 2)."""
    noise: Count = 4096
    """Rows of the memory bank that nce draws."""
    temperature: Positive = 0.07
    """Divides the similarities."""
    momentum: Probability = 0.5
    """Of the memory bank's rows."""
    proximal: NonNegative = 0.0
    """Weight of the squared distance from an image's own row (section 3.3); 0 as in the authors' code."""


class InstDisc(Method):
    """Every image is a class of its own, whose weight vector is its row of a memory bank."""

    Config = InstDiscConfig
    views = 1

    def __init__(self, recipe: Recipe, encoder: Encoder, images: int) -> None:
        super().__init__(recipe, encoder, images)
        self.head = mlp(encoder.feature_dim, self.config.dim)
        self.bank = MemoryBank(images, self.config.dim)
        self.against_noise = BankLoss("nce", self.config.temperature)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        config, rows = self.config, self.bank.rows
        embedding = F.normalize(self.head(self.encoder(batch.views[0])), dim=1)
        self._seen = batch.index, embedding.detach()
        own = rows[batch.index]
        if config.objective == "nce":
            noise = rows[self.bank.noise(batch, config.noise)]
            loss, accuracy = self.against_noise(embedding, own, noise)
            values = {"accuracy": accuracy}
        else:
            losses = softmax_loss(embedding, rows, batch.index, temperature=config.temperature)
            loss, values = losses.mean(), {"probability": (-losses.detach()).exp().mean()}
        if config.proximal:
            loss = loss + config.proximal * (embedding - own).square().sum(dim=1).mean()
        return loss, values

    def after_step(self, step: int, total_steps: int, skip: Tensor) -> None:
        self.bank.update(*self._seen, momentum=self.config.momentum, skip=skip)
        if self.config.objective == "nce":
            self.against_noise.after_step(skip)

    @classmethod
    def check(cls, recipe: Recipe, images: int) -> None:
        check_bank(recipe, images)
