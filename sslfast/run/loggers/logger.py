"""The protocol of what the metrics of a run go to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Logger(Protocol):
    """A place that the metrics of a run go to, beside metrics.jsonl. Only the first of several processes calls it.

    What it raises ends the run, whose latest checkpoint is good. A resumed run repeats the lines between its
    latest checkpoint and the step at which it was stopped.
    """

    def write(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        """Takes values by name, after `step` steps and `epoch` epochs; a step may have several calls."""

    def close(self, *, failed: bool) -> None:
        """Ends with the training, in an error or not."""
