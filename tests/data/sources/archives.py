"""Archives of images, as bytes, and members that no archive of images has."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def member(name: str, **attributes: Any) -> tarfile.TarInfo:
    """Makes a member of one byte if it is a file, of none otherwise."""
    info = tarfile.TarInfo(name)
    info.size = 1 if attributes.get("type", tarfile.REGTYPE) == tarfile.REGTYPE else 0
    for key, value in attributes.items():
        setattr(info, key, value)
    return info


def archive_of(*members: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytes:
    """Makes an archive of members whose content is the letter x, as often as their size says."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for info in members:
            tar.addfile(info, io.BytesIO(b"x" * info.size))
    return buffer.getvalue()


def write_archive(path: Path, files: Mapping[str, bytes]) -> Path:
    """Writes an archive of files by their names and contents; the folder appears with it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path
