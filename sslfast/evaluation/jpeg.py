"""The pictures that an evaluation writes beside its result."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from sslfast.errors import UsageError
from sslfast.run.atomic import atomic_write

QUALITY = 90


def write_jpeg(path: Path, image: Image.Image) -> None:
    """Writes a JPEG, whole or not at all; makes its folder.

    Raises:
        UsageError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            image.save(file, format="JPEG", quality=QUALITY)
    except OSError as error:
        raise UsageError(f"{path}: cannot write: {error.strerror or error}") from error
