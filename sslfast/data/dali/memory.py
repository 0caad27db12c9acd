"""The return of memory that pipelines have freed to the system."""

from __future__ import annotations

import ctypes


def release_memory() -> None:
    """Gives freed memory back to the system, where the C library is glibc.

    glibc keeps what a thread has freed for threads that allocate where that one did, and each pipeline has threads
    of its own, which find little of it again: evaluations grew the process by half a MiB each.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)
