"""The folder that keeps downloaded and extracted data sets."""

from __future__ import annotations

import os
from pathlib import Path

from sslfast.errors import UsageError


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
