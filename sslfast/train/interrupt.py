"""Signals that ask a run to save and end."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from sslfast import distributed

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class Interrupted(Exception):
    """The end of what a run was doing, as a signal asks it to save."""


class Interrupt:
    """Context manager that turns SIGTERM, SIGUSR1 and SIGINT into a flag to read between steps.

    A handler only sets the flag, so that no step is cut short and the checkpoint is of a whole one; within an
    evaluation or a clustering, which take longer, it is read between batches or iterations. A SIGINT
    while the flag is set raises KeyboardInterrupt at once. On leaving, the previous handlers are back. Python
    takes signals in the main thread alone: in another the flag is never set.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._previous: dict[signal.Signals, Any] = {}

    @property
    def exit_code(self) -> int:
        """Returns the code for the process to end with: 130 after SIGINT, as shells have it, else 143."""
        return 130 if self.received == signal.SIGINT else 143

    def everywhere(self) -> bool:
        """Tells whether any rank has received a signal, which is then taken for every rank's.

        All ranks ask at the same points, so that they stop at the same one. To ask makes the hosts wait for one
        another, but for no device.
        """
        number = distributed.largest(self.received or 0)
        if number:
            self.received = signal.Signals(number)
        return number > 0

    def check(self) -> None:
        """Raises Interrupted if any rank has received a signal; all ranks ask at the same points."""
        if self.everywhere():
            raise Interrupted

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is not threading.main_thread():
            log.warning("not in the main thread: a signal will not save a checkpoint")
            return self
        for number in SIGNALS:
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            # None stands for a handler that was not set from Python, which cannot be set again from here.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = self.received or signal.Signals(number)
