"""A folder of images as a source."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sslfast.data.sources.base import Source
from sslfast.data.sources.images import EXTENSIONS
from sslfast.errors import UsageError

logger = logging.getLogger(__name__)

SPLIT_NAMES = {"train", "val", "valid", "validation", "test"}


def open_folder(root: Path, name: str) -> Source:
    """List a folder's images; nothing is decoded.

    Wrapper folders are seen through: as long as a folder holds one subfolder and no image, its subfolder is meant.
    If images lie in what remains, all are unlabelled; otherwise its folders are the classes, sorted by name, each
    with all that lies below it. Hidden entries and __MACOSX are passed over; other files that are not images, by
    their extension, are counted in one warning.

    Raises:
        UsageError: the folder is empty, holds no image, or holds splits (train, val) instead of classes.
    """
    files = list(_walk(root))
    if not files:
        raise UsageError(f"{name}: {root} is empty, expected images or one folder of images a class")
    images = sorted(path for path in files if path.suffix.lower() in EXTENSIONS)
    if not images:
        raise UsageError(
            f"{name}: none of the {len(files)} files in {root} is an image ({' '.join(sorted(EXTENSIONS))})"
        )
    if ignored := len(files) - len(images):
        logger.warning(
            "%s: ignored %d of %d files, which are not images by their names", name, ignored, len(files)
        )

    parts = [path.relative_to(root).parts for path in images]
    wrappers = _common_folders(parts)
    beside = sum(len(p) == wrappers + 1 for p in parts)
    if beside:
        if beside < len(images):
            logger.warning("%s: %d images lie beside folders of images: no labels are taken", name, beside)
        return Source(name, paths=images)
    folders = [p[wrappers] for p in parts]
    classes = sorted(set(folders))
    if SPLIT_NAMES.issuperset(classes):
        raise UsageError(
            f"{name}: {root} holds the splits {', '.join(classes)}, not classes; name the folder of one"
        )
    position = {folder: i for i, folder in enumerate(classes)}
    labels = np.array([position[f] for f in folders], dtype=np.int64)
    return Source(name, labels=labels, classes=classes, paths=images)


def _walk(root: Path) -> Iterator[Path]:
    """All files below the root, links followed, each real folder once (a loop of links ends)."""
    visited = set()
    for folder, subfolders, files in os.walk(root, onerror=_refuse, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in visited:
            subfolders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        subfolders[:] = sorted(s for s in subfolders if not s.startswith(".") and s != "__MACOSX")
        yield from (Path(folder, file) for file in files if not file.startswith("."))


def _refuse(error: OSError) -> None:
    raise UsageError(f"cannot list {error.filename}: {error.strerror}") from error


def _common_folders(parts: list[tuple[str, ...]]) -> int:
    """The number of leading folders that all images share."""
    first, last = min(parts), max(parts)
    deepest = min(len(first), len(last)) - 1  # the last part is the file's name
    shared = 0
    while shared < deepest and first[shared] == last[shared]:
        shared += 1
    return shared
