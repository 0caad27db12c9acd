"""The record of files that cannot be read: up to a limit they are skipped, or the first one stops the run."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import Any, Literal

from sslfast.errors import UsageError

logger = logging.getLogger(__name__)

Policy = Literal["skip", "stop"]


class BadFiles:
    """The unreadable files of a source. Safe to share between threads; another process gets a copy of its own."""

    def __init__(self, source: str, total: int, max_share: float = 0.01, on_error: Policy = "skip") -> None:
        """
        Args:
            source: the source's name, for the messages.
            total: images in the source.
            max_share: of the images that may be unreadable.
            on_error: "skip", or "stop" at the first.
        """
        self.source = source
        self.total = total
        self.max_share = max_share
        self.on_error = on_error
        self.reasons: dict[Path, str] = {}
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())

    def __len__(self) -> int:
        return len(self.reasons)

    def add(self, path: Path, reason: object) -> None:
        """Logs an unreadable file, once however often it is met.

        Raises:
            UsageError: more than the allowed share is unreadable, or none may be.
        """
        name = os.fsencode(path).decode(errors="backslashreplace")  # a file's name may be no text, a log is
        if self.on_error == "stop":
            raise UsageError(
                f"{self.source}: cannot read {name} ({reason}); mend or remove it, or go on without it by "
                "on_error=skip (data.on_error of a recipe)"
            )
        with self._lock:
            if path in self.reasons:
                return
            self.reasons[path] = str(reason)
            count = len(self.reasons)
        logger.warning("skipped %s, unreadable file %d among %d images: %s", name, count, self.total, reason)
        if count > self.max_share * self.total:
            raise UsageError(
                f"{self.source}: {count} of {self.total} images cannot be read, more than max_bad="
                f"{self.max_share:g} allows; the last was {name} ({reason}); "
                "mend or remove them, or raise max_bad (data.max_bad of a recipe)"
            )
