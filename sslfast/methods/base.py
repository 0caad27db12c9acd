"""What the trainer asks of a method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

if TYPE_CHECKING:
    from sslfast.config import Config as Recipe
    from sslfast.data import Batch
    from sslfast.encoders import Encoder


class Method(nn.Module, ABC):
    """A self-supervised method: its networks and buffers, its loss, and what moves after a step.

    A subclass sets `Config`, the dataclass of its settings, whose `name` is a Literal; `views`, how many
    views of an image it takes; `operation`, a key of `sslfast.views.shown.OPERATIONS`, where its networks do
    not see whole views; and is built from (its settings, the backbone, how many images there are to
    train on, and how many a step takes).
    """

    Config: ClassVar[type[Any]]
    views: ClassVar[int]
    operation: ClassVar[str | None] = None
    encoder: Encoder  # the backbone that pre-training is for

    @abstractmethod
    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, a scalar, and further scalars to log. Changes nothing but BN statistics."""

    def compiled(self) -> list[nn.Module]:
        """The networks that torch.compile speeds up."""
        return [self.encoder]

    def after_step(self, step: int, total_steps: int, skip: Tensor) -> None:
        """Moves momentum networks and queues, after the optimizer's step.

        Args:
            step: the step's number, counted from 0.
            total_steps: steps of the whole training.
            skip: 0-d bool tensor; where true the step was undone and nothing may move, see `sslfast.finite`.
        """

    @classmethod
    def check(cls, recipe: Recipe) -> None:
        """Refuses settings that cannot work together, before training. Raises UsageError."""
