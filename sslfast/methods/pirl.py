"""PIRL, pretext-invariant representations (Misra and van der Maaten 2020, arXiv:1912.01991)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor

from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, Positive, Probability
from sslfast.data import Batch
from sslfast.encoders import Encoder
from sslfast.methods.base import Method
from sslfast.methods.parts.heads import mlp
from sslfast.methods.parts.memory_bank import BankLoss, MemoryBank, Objective, bank_chance_loss, check_bank
from sslfast.random.key import Stream
from sslfast.views import Key, jigsaw_cells, permuted, random_order, rotations

CELLS = 3  # along a side
PATCH_SHARE = 64 / 85  # of a cell's side (section 3.2)


@dataclass(config=STRICT)
class PIRLConfig:
    name: Literal["pirl"]
    pretext: Literal["jigsaw", "rotation"] = "jigsaw"
    """Transformation of the second view."""
    dim: Count = 128
    """Width of an embedding."""
    weight: Probability = 0.5
    """Share of the transformed view's loss, the paper's lambda; the rest is that of the image."""
    objective: Objective = "nce"
    """Loss; nce: noise-contrastive estimation; softmax: cross-entropy of the positive among the noise."""
    noise: Count = 32000
    """Number of rows of the memory bank that are drawn as negatives."""
    temperature: Positive = 0.07
    """Divisor of the similarities."""
    momentum: Probability = 0.5
    """Momentum of the memory bank's rows."""


class PIRLKept(NamedTuple):
    """The results of a batch that the memory bank and the losses take over after the step.

    Attributes:
        indices: int64 (B,), the positions of the batch's images.
        embedding: (B, dim), those of the images, without gradient.
        image_estimate: that of the images' loss, see `BankLoss`.
        transformed_estimate: that of the transformed views' loss.
    """

    indices: Tensor
    embedding: Tensor
    image_estimate: Tensor | None
    transformed_estimate: Tensor | None


class PIRL(Method[PIRLConfig, PIRLKept]):
    """An image and its transformed version are both drawn to the image's row of a memory bank (equation 5).

    The rows are moving averages of the images' embeddings alone. The loss is InstDisc's estimator with a constant
    partition, as in the authors' code.
    """

    Config = PIRLConfig
    num_views = 2

    def __init__(self, recipe: Recipe[PIRLConfig], encoder: Encoder, num_images: int) -> None:
        super().__init__(recipe, encoder, num_images)
        config = self.config
        self.image_head = mlp(encoder.feature_dim, config.dim)  # f
        self.transformed_head = mlp(encoder.feature_dim, config.dim)  # g
        if config.pretext == "jigsaw":
            self.order_head = mlp(CELLS**2 * config.dim, config.dim)
        self.bank = MemoryBank(num_images, config.dim)
        self.image_loss = BankLoss(config.objective, config.temperature)
        self.transformed_loss = BankLoss(config.objective, config.temperature)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], PIRLKept]:
        weight, rows = self.config.weight, self.bank.rows
        image = F.normalize(self.image_head(self.encoder(batch.views[0])), dim=1)
        transform = self._jigsaw if self.config.pretext == "jigsaw" else self._rotated
        transformed = F.normalize(transform(batch.views[1], batch.key(view=1)), dim=1)
        positive, noise = rows[batch.index], rows[self.bank.noise(batch, self.config.noise)]
        image_loss, image_accuracy, image_estimate = self.image_loss(image, positive, noise)
        transformed_loss, accuracy, transformed_estimate = self.transformed_loss(transformed, positive, noise)
        loss = weight * transformed_loss + (1 - weight) * image_loss
        kept = PIRLKept(batch.index, image.detach(), image_estimate, transformed_estimate)
        return loss, {"accuracy": accuracy, "image_accuracy": image_accuracy}, kept

    def _jigsaw(self, view: Tensor, key: Key) -> Tensor:
        """Embeds patches, (B, dim): embedded one by one, they are joined in random order (figure 3)."""
        patches = _patches(view, key)
        embeddings = self.transformed_head(self.encoder(patches.flatten(0, 1))).unflatten(0, patches.shape[:2])
        order = random_order(key, CELLS**2)
        shuffled = embeddings.gather(1, order[:, :, None].expand_as(embeddings))
        return self.order_head(shuffled.flatten(1))

    def _rotated(self, view: Tensor, key: Key) -> Tensor:
        """Computes the embedding (B, dim) of one of the four rotations of each view."""
        return self.transformed_head(self.encoder(_turned(view, key)))

    def after_step(self, kept: PIRLKept, step: int, total_steps: int, skip: Tensor) -> None:
        self.bank.update(kept.indices, kept.embedding, momentum=self.config.momentum, skip=skip)
        self.image_loss.after_step(kept.image_estimate, skip)
        self.transformed_loss.after_step(kept.transformed_estimate, skip)

    @classmethod
    def inputs_of_view(cls, recipe: Recipe[PIRLConfig], number: int, view: Tensor, key: Key) -> Tensor | None:
        if number == 0:
            return None
        if recipe.method.pretext == "rotation":
            return _turned(view, key)[:, None]
        return permuted(_patches(view, key), random_order(key, CELLS**2))  # as their embeddings are joined

    @classmethod
    def chance_loss(cls, recipe: Recipe[PIRLConfig], num_images: int) -> float:
        return bank_chance_loss(recipe.method.objective, recipe.method.noise)

    @classmethod
    def check(cls, recipe: Recipe[PIRLConfig], num_images: int) -> None:
        check_bank(recipe, num_images)


def _patches(view: Tensor, key: Key) -> Tensor:
    """Cuts the patches of views, in their places' order: (B, 9, 3, p, p)."""
    return jigsaw_cells(view, key, CELLS, patch=patch_side(view.shape[-1]))


def _turned(view: Tensor, key: Key) -> Tensor:
    """Turns each view by one of the four rotations, drawn at random: (B, C, S, S)."""
    turns = key.integers(Stream.PERMUTATION, 4)
    return rotations(view)[torch.arange(len(view), device=view.device), turns]


def patch_side(side: int) -> int:
    """Returns the side of the patches of a view of `side` pixels: 64 of 255."""
    return int(side // CELLS * PATCH_SHARE)
