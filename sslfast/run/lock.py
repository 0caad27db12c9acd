"""The lock of a run's directory, by which two runs never write to one."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sslfast.errors import UsageError

log = logging.getLogger(__name__)

NAME = "run.lock"
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # of a file system that has none
_held: set[int] = set()  # descriptors of the locks that this process holds


def _close_in_child() -> None:
    """A forked process shares its parent's locks, and would hold them after its death."""
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_close_in_child)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the lock of a folder, which is made where it is missing, until the block ends.

    The kernel has the lock (flock), and takes it back when the process ends, however it ends. No process that this
    one starts keeps it. On NFS Linux asks the server, so that it holds between machines, unless the mount says
    otherwise (`nolock`, `local_lock`); where a file system has no locks, a warning says so. The file run.lock
    names the holder. After the block it is gone, and with it the folder if it was made and is empty.

    Raises:
        UsageError: another process holds the lock, which the message names, or the folder cannot be written to.
    """
    path = folder / NAME
    with _made(folder):
        try:
            descriptor = _acquire(path, folder)
        except OSError as error:
            raise _unwritable(folder, error) from error
        _held.add(descriptor)
        try:
            yield
        finally:
            if descriptor in _held:  # not so in a forked process
                if _is_at(descriptor, path):
                    path.unlink()  # before the lock is free: then it is nobody else's
                _held.remove(descriptor)
                os.close(descriptor)


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


def _acquire(path: Path, folder: Path) -> int:
    """The descriptor of the locked file, which names this process."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
        try:
            _lock(descriptor, folder)
            if _is_at(descriptor, path):  # else its holder removed it after it was opened here
                os.truncate(descriptor, 0)
                os.write(descriptor, f"{os.getpid()} {socket.gethostname()}".encode())
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = _holder(descriptor)
        raise UsageError(
            f"--out {folder}: {holder} runs in it; wait for its end, stop it, or choose another directory"
        ) from error
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise
        log.warning("%s: its file system has no locks: nothing keeps a second run out of it", folder)


def _holder(descriptor: int) -> str:
    """The process that a lock's file names, in words."""
    number, _, host = os.read(descriptor, 1000).decode(errors="replace").partition(" ")
    return f"process {number} on {host}" if host else "another process"


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one of that path."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
