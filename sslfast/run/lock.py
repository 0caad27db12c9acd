"""The lock of a run's directory, by which two runs never write to one."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from sslfast.errors import UsageError
from sslfast.locks import Held, held

NAME = "run.lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the lock of a folder, which is made where it is missing, until the block ends.

    It is the file run.lock, which names the holder; see `sslfast.locks.held`. Where a file system has no locks, a
    warning says so. After the block the file is gone, and with it the folder if it was made and is empty.

    Raises:
        UsageError: another process holds the lock, which the message names, or the folder cannot be written to.
    """
    with _made(folder), ExitStack() as stack:
        try:
            name = f"{os.getpid()} {socket.gethostname()}"
            stack.enter_context(held(folder / NAME, text=name, needed=False))
        except Held as error:
            raise UsageError(
                f"--out {folder}: {_holder(str(error))} runs in it; wait for its end, stop it, or choose another "
                "directory"
            ) from error
        except OSError as error:
            raise _unwritable(folder, error) from error
        yield


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Makes a folder where it is missing; what was made and is empty after the block goes again."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        yield
    finally:
        with suppress(OSError):  # from the first that is not empty on, all stay
            for path in made:
                path.rmdir()


def _unwritable(folder: Path, error: OSError) -> UsageError:
    return UsageError(f"--out {folder}: cannot write: {error.strerror}")


def _holder(text: str) -> str:
    """Names the process that a lock's file names, in words."""
    number, _, host = text.partition(" ")
    return f"process {number} on {host}" if host else "another process"
