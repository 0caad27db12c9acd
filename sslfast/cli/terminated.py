"""SIGTERM and SIGUSR1, by which a scheduler ends a command that does not take them itself."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class Terminated(BaseException):
    """The end of a command at a signal: what it had open is closed, and what is unfinished is removed."""


@contextmanager
def signals_raised() -> Iterator[None]:
    """Raises Terminated in the block where one of SIGNALS comes first; only the main thread takes them."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)  # let what cleans up be
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, end) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            # None stands for a handler that was not set from Python, which cannot be set again from here.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
