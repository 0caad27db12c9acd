"""What the trainer asks of a method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sslfast.config import Recipe
from sslfast.data import Batch
from sslfast.encoders import Encoder
from sslfast.errors import UsageError
from sslfast.views import Key

# A network's outputs for the training images, not augmented: fp32 (M, D), and int64 (M,) on the CPU, their
# positions in rising order; M is less than the number of images where some cannot be read.
Embed = Callable[[nn.Module], tuple[Tensor, Tensor]]


class Method(nn.Module, ABC):
    """A self-supervised method: its networks and buffers, its loss, and what moves after a step.

    A subclass is built from the recipe, the backbone, and how many images there are to train on.

    Attributes:
        Config: the dataclass of its settings, whose `name` is a Literal.
        views: how many views of an image it takes; None: as many as `check` allows.
        needs_labels: it learns from labels.
        needs_map: it takes the encoder's map of features.
        constant_lr: the parts whose learning rate stays at its peak.
        encoder: the backbone that pre-training is for.
    """

    Config: ClassVar[type[Any]]
    views: ClassVar[int | None]
    needs_labels: ClassVar[bool] = False
    needs_map: ClassVar[bool] = False
    constant_lr: tuple[str, ...] = ()
    encoder: Encoder

    @abstractmethod
    def __init__(self, recipe: Recipe, encoder: Encoder, images: int) -> None:
        super().__init__()
        self.config = recipe.method
        self.encoder = encoder

    @abstractmethod
    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, a scalar, and further scalars to log. Changes nothing but BN statistics.

        Of several processes each has its part of the batch. The mean of their losses is the loss of all of it, and
        the mean of their gradients its gradient; see `sslfast.distributed`.
        """

    def compiled(self) -> list[nn.Module]:
        """The networks that torch.compile speeds up."""
        return [self.encoder]

    def start_epoch(self, epoch: int, embed: Embed) -> None:
        """Prepares an epoch, counted from 0: clusters, for example. A run resumed within an epoch skips it."""

    def after_step(self, step: int, total_steps: int, skip: Tensor) -> None:
        """Moves momentum networks and queues, after the optimizer's step; the same way on every rank.

        Args:
            step: the step's number, counted from 0.
            total_steps: steps of the whole training.
            skip: 0-d bool tensor; where true the step was undone and nothing may move, see `sslfast.train.guard`.
        """

    @classmethod
    def seen(cls, recipe: Recipe, number: int, view: Tensor, key: Key) -> Tensor | None:
        """What its networks see of a view in place of the whole, or beside it.

        Args:
            recipe: what runs.
            number: of the view, counted from 0.
            view: (B, 3, S, S), normalised.
            key: of its samples, with `view=number`.

        Returns:
            (B, N, 3, h, w), normalised as views are, NaN where nothing is; None: the whole view alone.

        Raises:
            ValueError: nothing can be made of a view of this size.
        """
        return None

    @classmethod
    def sides(cls, recipe: Recipe) -> set[int]:
        """Sides of the images that its encoder trains on, pixels: of whole views, or of what `seen` makes of them.

        Raises:
            UsageError: nothing can be made of views of this size.
        """
        sides = set()
        for number, size in enumerate(recipe.data.sizes):
            view = torch.zeros(1, 3, size, size)
            key = Key(0, 0, torch.zeros(1, dtype=torch.int64), view=number)
            try:
                seen = cls.seen(recipe, number, view, key)
            except ValueError as error:
                raise UsageError(f"{recipe.method.name}, views of {size} pixels: {error}") from error
            sides.add((view if seen is None else seen).shape[-1])
        return sides

    @classmethod
    def check(cls, recipe: Recipe, images: int) -> None:
        """Refuses settings that cannot work together, before training. Views can be cut: see `sides`.

        Args:
            recipe: what is to run.
            images: how many there are to train on.

        Raises:
            UsageError: they cannot.
        """
