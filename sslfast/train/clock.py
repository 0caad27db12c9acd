"""The speed of training, and the share of its time that the host waits for its input."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

Item = TypeVar("Item")


class Lap(NamedTuple):
    """A stretch of training.

    Attributes:
        seconds_per_step: mean time of a step.
        input_share: share of the time that the host waited for batches, in [0, 1].
    """

    seconds_per_step: float
    input_share: float


class Clock:
    """Measures stretches of training steps, without what is done between epochs.

    clock = Clock()
    for batch in clock.waits(batches):
        ...  # a step
        if to_log:
            lap = clock.lap()

    The host runs ahead of a GPU: there a lap ends where it waits for the device, as logging makes it do.
    """

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begins a lap."""
        self.since, self.waited, self.steps = time.perf_counter(), 0.0, 0

    def waits(self, batches: Iterable[Item]) -> Iterator[Item]:
        """Yields the batches, each of which is a step; the time until each is there counts as waited."""
        remaining = iter(batches)
        while True:
            before = time.perf_counter()
            try:
                batch = next(remaining)
            except StopIteration:
                return
            self.waited += time.perf_counter() - before
            self.steps += 1
            yield batch

    def lap(self) -> Lap:
        """Ends a lap of one step or more, and begins the next."""
        seconds = time.perf_counter() - self.since
        lap = Lap(seconds / self.steps, self.waited / seconds)
        self.start()
        return lap
