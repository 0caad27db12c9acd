"""A folder of images as a source."""

from __future__ import annotations

import logging
import os
import shlex
import stat
from collections import Counter
from pathlib import Path

import numpy as np

from sslfast.data.sources.base import Source
from sslfast.data.sources.images import EXPECTED, EXTENSIONS
from sslfast.data.sources.split_folders import split_folders
from sslfast.errors import UsageError, printable

logger = logging.getLogger(__name__)

MOST_CHOICES = 8  # that a message lists
MOST_ENDINGS = 3  # likewise, the commonest


def open_folder(root: Path, name: str) -> Source:
    """Lists a folder's images; nothing is decoded.

    Wrapper folders are seen through: as long as a folder holds one subfolder and no image, its subfolder is meant.
    If images lie in what remains, all are unlabeled; otherwise its folders are the classes, sorted by name, each
    with all that lies below it. Hidden entries and __MACOSX are passed over; other files that are not images, by
    their extension or as they are fifos, sockets or devices, are counted in a warning.

    Raises:
        UsageError: the folder is empty, holds no image, or holds splits (train, val) instead of classes.
    """
    files, special = _files(root)
    if special:
        logger.warning(
            "%s: ignored %d fifos, sockets or devices, the first %s",
            name,
            len(special),
            printable(str(special[0])),
        )
    if not files:
        raise UsageError(f"{name}: {root} is empty, expected images or one folder of images a class")
    images = sorted(path for path in files if path.suffix.lower() in EXTENSIONS)
    if not images:
        counts = Counter(path.suffix.lower() or "nothing" for path in files)
        endings = printable(", ".join(ending for ending, _ in counts.most_common(MOST_ENDINGS)))
        raise UsageError(
            f"{name}: none of the {len(files)} files in {root} is an image: they end in {endings}; {EXPECTED}"
        )
    if ignored := len(files) - len(images):
        logger.warning(
            "%s: ignored %d of %d files, which are not images by their names", name, ignored, len(files)
        )

    parts = [path.relative_to(root).parts for path in images]
    wrappers = _common_folders(parts)
    base = root.joinpath(*parts[0][:wrappers])
    beside = sum(len(p) == wrappers + 1 for p in parts)
    if beside:
        if beside < len(images):
            logger.warning("%s: %d images lie beside folders of images: no labels are taken", name, beside)
        return Source(name, paths=images, roots=[base])
    folders = [p[wrappers] for p in parts]
    counts = Counter(folders)
    classes = sorted(counts)
    if splits := split_folders(classes):
        raise UsageError(_splits_message(name, base, splits, counts))
    if splits := split_folders(sorted({p[wrappers + 1] for p in parts if len(p) > wrappers + 2})):
        shown = printable(", ".join(splits[:MOST_CHOICES]))
        logger.warning("%s: its classes hold splits (%s), all of which are taken", name, shown)
    position = {folder: i for i, folder in enumerate(classes)}
    labels = np.array([position[f] for f in folders], dtype=np.int64)
    return Source(name, labels=labels, classes=classes, paths=images, roots=[base])


def subfolders(folder: Path) -> list[str]:
    """Lists a folder's subfolders by name, sorted, hidden ones passed over; none where an image lies beside them.

    Raises:
        UsageError: the folder cannot be listed.
    """
    names = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name == "__MACOSX":
                    continue
                if os.path.isdir(entry.path):
                    names.append(entry.name)
                elif os.path.splitext(entry.name)[1].lower() in EXTENSIONS:
                    return []
    except OSError as error:
        raise UsageError(f"cannot list {folder}: {error.strerror}") from error
    return sorted(names)


def _splits_message(name: str, base: Path, splits: list[str], counts: dict[str, int]) -> str:
    """Writes the sentence that asks which split is meant, by what to type."""
    choices = [
        f"--data {shlex.quote(str(base / split))} ({counts[split]} images)" for split in splits[:MOST_CHOICES]
    ]
    more = [f"{len(splits) - MOST_CHOICES} more"] if len(splits) > MOST_CHOICES else []
    lines = " or ".join(choices + more)
    return f"{name}: holds splits of a data set, not classes; name the one that is meant: {lines}"


def _files(root: Path) -> tuple[list[Path], list[Path]]:
    """Lists all files below the root, and all that is no file and no folder; what is not there counts as a file.

    Links are followed, each real folder once: a loop of links ends.
    """
    files, special, visited = [], [], set()
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        subfolders = []
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if (mode := _mode(entry)) is None or stat.S_ISREG(mode):
                        files.append(folder / entry.name)
                    elif not stat.S_ISDIR(mode):
                        special.append(folder / entry.name)
                    elif entry.name != "__MACOSX":
                        subfolders.append(folder / entry.name)
        except OSError as error:
            raise UsageError(f"cannot list {folder}: {error.strerror}") from error
        waiting += sorted(subfolders, reverse=True)
    return files, special


def _mode(entry: os.DirEntry[str]) -> int | None:
    """Returns the kind of file that an entry is or links to; None where that is nothing, or a loop of links.

    A plain file or folder costs no look at the disk beyond the listing.
    """
    try:
        if entry.is_file(follow_symlinks=False):
            return stat.S_IFREG
        if entry.is_dir(follow_symlinks=False):
            return stat.S_IFDIR
        return entry.stat().st_mode
    except OSError:
        return None


def _common_folders(parts: list[tuple[str, ...]]) -> int:
    """Counts the leading folders that all images share."""
    first, last = min(parts), max(parts)
    deepest = min(len(first), len(last)) - 1  # the last part is the file's name
    shared = 0
    while shared < deepest and first[shared] == last[shared]:
        shared += 1
    return shared
