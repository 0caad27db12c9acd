"""Files that one process at a time holds."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)

WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # of a file system that has none
_held: set[int] = set()  # descriptors of the files that this process holds


class Held(Exception):
    """Another process holds the file. The text is what it has written there."""


def _close_in_child() -> None:
    """Closes the parent's locks in a forked process, which would hold them after the parent's death."""
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_close_in_child)


@contextmanager
def held(path: Path, *, text: str = "", wait: bool = False, needed: bool = True) -> Iterator[None]:
    """Holds a file, which is made where it is missing and gone after the block.

    The kernel has the lock (flock), and takes it back when the process ends, however it ends. No process that this
    one starts keeps it. On NFS Linux asks the server, so that it holds between machines, unless the mount says
    otherwise (`nolock`, `local_lock`).

    Args:
        path: the file; a link is not followed.
        text: what others read there.
        wait: wait until the file is free.
        needed: fail where the file system has no locks; else a warning says so.

    Raises:
        Held: another process holds it, and is not to be waited for.
        OSError: the file cannot be written or locked.
    """
    descriptor = _acquire(path, text, wait=wait, needed=needed)
    _held.add(descriptor)
    try:
        yield
    finally:
        if descriptor in _held:  # not so in a forked process
            if _is_at(descriptor, path):
                path.unlink()  # before the lock is free: then it is nobody else's
            _held.remove(descriptor)
            os.close(descriptor)


def _acquire(path: Path, text: str, *, wait: bool, needed: bool) -> int:
    """Locks the file, writes the text into it, and returns its descriptor."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            _lock(descriptor, path, wait=wait, needed=needed)
            if _is_at(descriptor, path):  # else its holder removed it after it was opened here
                os.truncate(descriptor, 0)
                os.write(descriptor, text.encode())
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, path: Path, *, wait: bool, needed: bool) -> None:
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if not wait:
                raise Held(os.read(descriptor, 1000).decode(errors="replace")) from error
            log.info("waiting for another process, which holds %s", path)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if needed or error.errno not in WITHOUT_LOCKS:
            raise
        log.warning("%s: its file system has no locks: nothing keeps another process out", path.parent)


def _is_at(descriptor: int, path: Path) -> bool:
    """Tells whether the open file is still the one of that path."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
