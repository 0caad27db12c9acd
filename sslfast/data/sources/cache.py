"""The folder that keeps downloaded and extracted data sets, and the locks of those who write to it."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sslfast.errors import UsageError

logger = logging.getLogger(__name__)

LOCK, PARTIAL = ".lock", ".partial"  # what their names end with


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/sslfast`, or `~/.cache/sslfast`; made if missing.

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
    """A new folder in the cache to prepare something in, which no other process has; removed at the end.

    Whoever asks for the same name waits until it is free. A process that is killed leaves its folder behind, which
    the next call, for whatever name, removes: the kernel has released its lock.

    Args:
        name: what is prepared, a file's name.

    Raises:
        UsageError: the cache cannot be written to, or its file system has no locks.
    """
    cache = cache_folder()
    folder = cache / f".{name}{PARTIAL}"
    try:
        lock = _lock(cache / f".{name}{LOCK}", wait=True)
    except OSError as error:
        raise UsageError(
            f"cannot lock a file in the cache {cache} ({error.strerror}); set XDG_CACHE_HOME to a folder on a "
            "local disk that you may write to"
        ) from error
    assert lock is not None
    try:
        _remove_stale(cache)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _release(cache / f".{name}{LOCK}", lock)


def _remove_stale(cache: Path) -> None:
    """Removes what processes left behind that died: their locks are free."""
    for path in cache.glob(f".*{LOCK}"):
        with suppress(OSError):  # another user's
            if (lock := _lock(path, wait=False)) is not None:
                shutil.rmtree(path.with_suffix(PARTIAL), ignore_errors=True)
                _release(path, lock)


def _lock(path: Path, *, wait: bool) -> int | None:
    """Makes and locks a file; returns its descriptor, or None where another has it and is not to be waited for."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _try(descriptor):
                if not wait:
                    os.close(descriptor)
                    return None
                logger.info("waiting for another process, which holds %s", path)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # whoever had it has removed the file: lock the new one


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _release(path: Path, descriptor: int) -> None:
    path.unlink(missing_ok=True)  # while it is locked, so that it is no other's
    os.close(descriptor)
