"""The part of a training step that follows the gradient: guard, optimizer, moving averages, queue."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor

from sslfast.benchmarks.measure.timing import Step, TwoPartStep
from sslfast.data import Batch
from sslfast.train.step import TrainStep


class Update(TwoPartStep):
    """A training step on a batch, of which the part after the gradient is timed.

    The copy that the guard makes before a forward pass is made after it here, to be timed too.
    """

    def __init__(self, train_step: TrainStep, batch: Batch) -> None:
        self.train_step, self.batch = train_step, batch

    def prepared(self) -> Step:
        """Computes the gradient, and returns the rest of the step."""
        loss, _, kept = self.train_step.backward(self.batch)
        return partial(self._update, loss, kept)

    def _update(self, loss: Tensor, kept: Any) -> None:
        self.train_step.guard.remember()
        self.train_step.update(loss, kept)
