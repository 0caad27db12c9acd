"""The folder that keeps downloaded and extracted data sets, and the locks of those who write to it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from sslfast.errors import UsageError
from sslfast.locks import Held, held

LOCK, PARTIAL = ".lock", ".partial"  # what their names end with


def cache_folder() -> Path:
    """Returns `$XDG_CACHE_HOME/sslfast`, or `~/.cache/sslfast`; made if missing.

    Raises:
        UsageError: it cannot be made.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sslfast"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot make the cache {folder} ({error.strerror}); set XDG_CACHE_HOME to a folder"
        ) from error
    return folder


@contextmanager
def partial_folder(name: str) -> Iterator[Path]:
    """Makes a new folder in the cache to prepare something in, which no other process has; removed at the end.

    Whoever asks for the same name waits until it is free. A process that is killed leaves its folder behind, which
    the next call, for whatever name, removes: the kernel has released its lock.

    Args:
        name: what is prepared, a file's name.

    Raises:
        UsageError: the cache cannot be written to, or its file system has no locks.
    """
    cache = cache_folder()
    folder = cache / f".{name}{PARTIAL}"
    with ExitStack() as stack:
        try:
            stack.enter_context(held(cache / f".{name}{LOCK}", wait=True))
        except OSError as error:
            raise UsageError(
                f"cannot lock a file in the cache {cache} ({error.strerror}); set XDG_CACHE_HOME to a folder on a "
                "local disk that you may write to"
            ) from error
        try:
            _remove_stale(cache)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_stale(cache: Path) -> None:
    """Removes what processes left behind that died: their locks are free."""
    for path in cache.glob(f".*{LOCK}"):
        with suppress(OSError, Held), held(path):  # another user's, or in use
            shutil.rmtree(path.with_suffix(PARTIAL), ignore_errors=True)
