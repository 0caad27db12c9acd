"""The interface of a method, by which the trainer knows it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from sslfast.config import Recipe
from sslfast.data import Batch, Source
from sslfast.encoders import Encoder
from sslfast.errors import UsageError
from sslfast.methods.parts.momentum_copy import MomentumCopy
from sslfast.views import Key

# A network's outputs for the training images, not augmented: fp32 (M, D), and int64 (M,) on the CPU, their
# positions in rising order; M is less than the number of images where some cannot be read.
Embed = Callable[[nn.Module], tuple[Tensor, Tensor]]


class NamedSettings(Protocol):
    """Settings that say which method they are of."""

    @property
    def name(self) -> str: ...


Settings = TypeVar("Settings", bound=NamedSettings)
Kept = TypeVar("Kept")


class Method(nn.Module, ABC, Generic[Settings, Kept]):
    """A self-supervised method: its networks and buffers, its loss, and what moves after a step.

    `Method[SwAVConfig, Tensor | None]` has the settings `SwAVConfig`, and hands a tensor or None from `loss` to
    `after_step`. A subclass is built from the recipe, the backbone, and the number of images to train on.

    Attributes:
        Config: the dataclass of its settings, whose `name` is a Literal.
        num_views: how many views of an image it takes; None: as many as `check` allows.
        needs_labels: it learns from labels.
        needs_map: it takes the encoder's map of features.
        bounds_information: its loss L is InfoNCE, the mean cross-entropy of picking a positive out of N, and
            `chance_loss` is log N: log N - L is a lower bound on their mutual information, in nats (van den Oord
            et al. 2018, arXiv:1807.03748, section 2.3).
        needs_tokens: it takes the tokens of a ViT, or hides patches from it.
        needs_c4: it takes the map before a ResNet's last stage.
        defaults: the recipe of a method that has no recipe's file, nested or by whole keys: what differs from the
            defaults of every recipe.
        adds_up: the loss of a batch is the mean of those of its parts, which a step may take one by one.
        constant_lr: the parts whose learning rate stays at its peak.
        config: its settings.
        encoder: the backbone that pre-training is for.
    """

    Config: ClassVar[type[Any]]
    num_views: ClassVar[int | None]
    needs_labels: ClassVar[bool] = False
    needs_map: ClassVar[bool] = False
    bounds_information: ClassVar[bool] = False
    needs_tokens: ClassVar[bool] = False
    needs_c4: ClassVar[bool] = False
    defaults: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    adds_up: ClassVar[bool] = False
    constant_lr: tuple[str, ...] = ()
    encoder: Encoder

    @abstractmethod
    def __init__(self, recipe: Recipe[Settings], encoder: Encoder, num_images: int) -> None:
        super().__init__()
        self.config = recipe.method
        self.encoder = encoder

    @abstractmethod
    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], Kept]:
        """Computes the loss of a batch; nothing but the statistics of batch normalization changes.

        Of several processes each has its part of the batch. The mean of their losses is the loss of all of it, and
        the mean of their gradients its gradient; see `sslfast.distributed`.

        Returns:
            (the loss, a scalar; further scalars to log, without gradient; what `after_step` needs of this batch).
        """

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], Kept]:
        """Computes the loss of a batch: modules of PyTorch that wrap others call this."""
        return self.loss(batch)

    def compiled(self) -> list[nn.Module]:
        """Lists the networks that torch.compile speeds up."""
        return [self.encoder]

    def start_epoch(self, epoch: int, embed: Embed, check_interrupt: Callable[[], None] = lambda: None) -> None:
        """Prepares an epoch: clusters, for example. A run resumed within an epoch skips it.

        Interrupted, it is done anew, and has the result that it would have had.

        Args:
            epoch: counted from 0.
            embed: gives a network's outputs for the training images; it checks for interrupts itself.
            check_interrupt: is called now and then in what takes long, and may raise.
        """

    def momentum_copy(self) -> MomentumCopy | None:
        """Returns the network that follows the trained ones as a moving average, if there is one.

        It moves with the optimizer's step, in the same pass, and where that is skipped it stays.
        """
        return None

    def momentum(self, step: int, total_steps: int) -> float:
        """Returns the momentum of `momentum_copy` at a step, counted from 0, of a training's `total_steps`."""
        return 1.0

    def after_step(self, kept: Kept, step: int, total_steps: int, skip: Tensor) -> None:
        """Moves queues and memory banks, after the optimizer's step; the same way on every rank.

        Args:
            kept: the last of what `loss` returned.
            step: the step's number, counted from 0.
            total_steps: steps of the whole training.
            skip: 0-d bool tensor; where true the step was undone and nothing may move, see `sslfast.train.guard`.
        """

    @classmethod
    def inputs_of_view(cls, recipe: Recipe[Settings], number: int, view: Tensor, key: Key) -> Tensor | None:
        """Makes what the networks get of a view, in place of the whole or beside it: patches, for example.

        Args:
            recipe: what runs.
            number: the view's, counted from 0.
            view: (B, C, S, S), normalized.
            key: that of its samples, with `view=number`.

        Returns:
            (B, N, C, h, w), normalized as views are, NaN where nothing is; None: the whole view alone.

        Raises:
            ValueError: nothing can be made of a view of this size.
        """
        return None

    @classmethod
    def colors_read(cls, recipe: Recipe[Settings]) -> str | None:
        """Names what of it works on red, green and blue, and so on no other channels: a setting; None: nothing."""
        return None

    @classmethod
    def sides(cls, recipe: Recipe[Settings]) -> set[int]:
        """Collects the sides, in pixels, of the images that it trains on: whole views, or inputs made of them.

        Raises:
            UsageError: nothing can be made of views of this size.
        """
        sides = set()
        for number, size in enumerate(recipe.data.sizes):
            view = torch.zeros(1, recipe.data.channels, size, size)
            key = Key(0, 0, torch.zeros(1, dtype=torch.int64), view=number)
            try:
                inputs = cls.inputs_of_view(recipe, number, view, key)
            except ValueError as error:
                raise UsageError(f"{recipe.method.name}, views of {size} pixels: {error}") from error
            sides.add((view if inputs is None else inputs).shape[-1])
        return sides

    @classmethod
    def chance_loss(cls, recipe: Recipe[Settings], num_images: int) -> float | None:
        """Computes the final loss of networks that tell no images apart: that of uniform predictions.

        Args:
            recipe: what runs.
            num_images: how many images there are to train on.

        Returns:
            The loss; None for methods without negatives or classes, where such networks have the least loss there
            is: see `even_std`.
        """
        return None

    @classmethod
    def even_std(cls, recipe: Recipe[Settings]) -> float | None:
        """Returns the value `std` that it logs where the embeddings of a batch are spread evenly over the sphere.

        Returns:
            About 1 / sqrt(D); None for methods that log none.
        """
        return None

    @classmethod
    def of_images(cls, recipe: Recipe[Settings], source: Source) -> Recipe[Settings]:
        """Returns the recipe with the settings that images tell, as they are: a number of classes, for example.

        Raises:
            UsageError: the recipe has them otherwise.
        """
        return recipe

    @classmethod
    def check(cls, recipe: Recipe[Settings], num_images: int) -> None:
        """Refuses settings that cannot work together, before training. Views can be cut: see `sides`.

        Args:
            recipe: what is to run.
            num_images: how many images there are to train on.

        Raises:
            UsageError: they cannot.
        """
