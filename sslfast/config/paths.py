"""Paths as a person gives them."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from sslfast.errors import UsageError


def user_path(text: str | Path) -> Path:
    """Makes a path with a home folder in place of a leading `~` or `~user`; what it names may be missing.

    Raises:
        UsageError: there is no such user, or nothing can have this path: it is too long, say, or forbidden.
    """
    try:
        path = Path(text).expanduser()
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except RuntimeError as error:  # of expanduser
        raise UsageError(f"{text}: there is no such user's home folder; give the whole path") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"{text}: cannot be a path here ({reason}); give another") from error
    return path


def is_path(text: str) -> bool:
    """Tells whether there is something of this path."""
    return os.path.exists(os.path.expanduser(text))


def existing_path(text: str | Path) -> Path:
    """Returns the `user_path` of something that is there.

    Raises:
        UsageError: as `user_path`, or there is nothing: the message names what is nearest beside it.
    """
    path = user_path(text)
    if not path.exists():
        try:
            beside = {entry.lower(): entry for entry in os.listdir(path.parent)}
        except OSError:
            beside = {}
        close = difflib.get_close_matches(path.name.lower(), beside, n=1)
        hint = f"; did you mean {path.parent / beside[close[0]]}?" if close else ""
        raise UsageError(f"{text}: no such file or folder{hint}")
    return path
