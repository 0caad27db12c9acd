"""The sign of life that each process of a run gives the others, by which a lost one is named."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from textwrap import shorten
from typing import TypeVar

import torch.distributed as dist

from sslfast.distributed.collectives import largest
from sslfast.errors import TrainingError

PERIOD = 0.5  # seconds from one sign of life to the next
PATIENCE = 4.0  # seconds without one after which a process counts as lost
PREPARING, READY = "preparing", "ready"  # keys of how many processes prepare for the others, and have done so

T = TypeVar("T")


class Ranks:
    """All processes of a run, by the store through which they joined; without a store, one that is alone.

    A thread counts in the store for as long as this process runs: one that was killed or stopped, or whose machine
    is away, counts no more. A process that ends by an error of its own leaves a note.

    Args:
        store: as of `torch.distributed.rendezvous`; None: this process is alone, or the caller has joined them.
        rank: of this process.
        count: how many processes there are.
    """

    def __init__(self, store: dist.Store | None = None, rank: int = 0, count: int = 1) -> None:
        self.store, self.rank, self.count = store, rank, count
        self._answers = store is not None
        self._over = threading.Event()
        self._beats = threading.Thread(target=self._beat, daemon=True)

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Gives signs of life until the block ends; after an error, the note that it is over."""
        if self.store is not None:
            self._beats.start()
        try:
            yield
        except BaseException:
            if self.store is not None:
                self._ask(lambda store: store.set(_ended(self.rank), ""))
            raise
        finally:
            self._over.set()
            if self.store is not None:
                self._beats.join(PERIOD)  # a thread that wakes while Python ends may abort the process

    @contextmanager
    def watched(self, where: Callable[[], str]) -> Iterator[None]:
        """Turns the failure of an exchange into a sentence.

        Args:
            where: how far the run had come, and how it goes on.

        Raises:
            TrainingError: a process is lost, or was waited for in vain; other errors stay what they are.
        """
        try:
            yield
        except RuntimeError as error:  # as all backends raise it
            if self.store is None:
                raise
            if lost := self.lost():
                raise TrainingError(f"{lost} {where()}") from error
            if isinstance(error, dist.DistError) or "gloo" in str(error):
                raise TrainingError(
                    f"rank {self.rank} of {self.count}: an exchange with the others failed, all of which live "
                    f"({shorten(str(error), 200)}), {where()}; where one is slow, raise train.rank_timeout"
                ) from error
            raise

    def lost(self) -> str:
        """Says which of the others no longer run; "" where all do."""
        lost = self._ask(self._lost)
        return (
            "the process that keeps the ranks together, rank 0's or torchrun's, is lost" if lost is None else lost
        )

    def _lost(self, store: dist.Store) -> str:
        silent = self._silent(store)
        failed = [rank for rank in silent if store.check([_ended(rank)])]
        if gone := [rank for rank in silent if rank not in failed]:
            return f"{self._named(gone)}: no sign of life, killed, stopped or out of reach,"
        return f"{self._named(failed)}: ended by an error, which stands in its own output," if failed else ""

    def _ask(self, question: Callable[[dist.Store], T]) -> T | None:
        """Asks the store; None, from then on, where its keeper gives no answer: it has gone or is stopped."""
        answers: list[T] = []

        def ask() -> None:
            assert self.store is not None
            with suppress(RuntimeError):
                answers.append(question(self.store))

        if self._answers:
            asking = threading.Thread(target=ask, daemon=True)  # it may never return
            asking.start()
            asking.join(2 * PATIENCE)
            self._answers = bool(answers)
        return answers[0] if answers else None

    def prepare(self) -> None:
        """Counts this process among those that prepare for the others."""
        if self.store is not None:
            self.store.add(PREPARING, 1)

    def ready(self) -> None:
        """Says that this process has prepared."""
        if self.store is None:
            largest(0)  # a barrier
        else:
            self.store.add(READY, 1)

    def wait(self) -> None:
        """Waits until all that prepare for the others have done so, however long they take while they live.

        Raises:
            RuntimeError: a process is lost.
        """
        if self.store is None:
            largest(0)
            return
        while self.store.add(READY, 0) < self.store.add(PREPARING, 0):
            if self._silent(self.store):
                raise RuntimeError("a process is lost that others wait for")
            time.sleep(PERIOD)

    def _beat(self) -> None:
        assert self.store is not None
        # A connection of its own, as the other may be waiting; torch's stubs lack it.
        store = self.store.clone()  # type: ignore[attr-defined]
        while not self._over.wait(PERIOD):
            try:
                store.add(_beats(self.rank), 1)
            except RuntimeError:  # its keeper has gone, as the main thread will find out
                return

    def _silent(self, store: dist.Store) -> list[int]:
        """Lists the other ranks that give no sign of life for PATIENCE."""
        counts = {rank: store.add(_beats(rank), 0) for rank in range(self.count) if rank != self.rank}
        until = time.monotonic() + PATIENCE
        while counts and time.monotonic() < until:
            time.sleep(PERIOD / 5)
            counts = {rank: count for rank, count in counts.items() if store.add(_beats(rank), 0) == count}
        return list(counts)

    def _named(self, ranks: list[int]) -> str:
        return f"rank{'s' * (len(ranks) > 1)} {', '.join(map(str, ranks))} of {self.count}"


def _beats(rank: int) -> str:
    return f"beats of {rank}"


def _ended(rank: int) -> str:
    return f"{rank} ended"
