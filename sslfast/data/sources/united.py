"""Several sources as one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sslfast.data.sources.base import Source
from sslfast.errors import UsageError, printable


def united(sources: Sequence[Source]) -> Source:
    """Joins the images of several sources in order; classes of one name are one class, numbered as they appear.

    Raises:
        UsageError: some have labels and others none, some are files and others arrays, arrays have images of
            several sizes, or a file is in two of them.
    """
    first = sources[0]
    name = " + ".join(source.name for source in sources)
    for source in sources[1:]:
        _check_unitable(first, source)
    classes = list(dict.fromkeys(class_name for source in sources for class_name in source.classes))
    labels = np.concatenate([relabeled(source, classes) for source in sources]) if classes else None
    if first.images is not None:
        images = np.concatenate([source.images for source in sources if source.images is not None])
        return Source(name, labels=labels, classes=classes, images=images)
    seen: set[str] = set()
    for source in sources:
        files = real_files(source.paths)
        if common := seen & files:
            raise UsageError(
                f"{source.name}: {len(common)} of its {len(source)} images are given by another --data already, "
                f"the first {printable(min(common))}; name each once"
            )
        seen |= files
    paths = [path for source in sources for path in source.paths or []]
    roots = [root for source in sources for root in source.roots]
    return Source(name, labels=labels, classes=classes, paths=paths, roots=roots)


def _check_unitable(first: Source, other: Source) -> None:
    """Raises UsageError where two sources are of different kinds."""
    if (first.labels is None) != (other.labels is None):
        with_labels, without = (first, other) if other.labels is None else (other, first)
        raise UsageError(
            f"{with_labels.name} has labels and {without.name} has none; to take both without, set "
            "data.labels=false"
        )
    if (first.images is None) != (other.images is None):
        files, array = (first, other) if first.images is None else (other, first)
        raise UsageError(
            f"{files.name} and {array.name}: files and an array cannot be taken together; save the images of "
            f"{array.name} as files"
        )
    arrays = [source.images for source in (first, other) if source.images is not None]
    if len({array.shape[1:] for array in arrays}) > 1:
        sizes = [f"{array.shape[2]}x{array.shape[1]}" for array in arrays]
        if arrays[0].shape[-1] != arrays[1].shape[-1]:
            sizes = [f"{size}x{array.shape[-1]}" for size, array in zip(sizes, arrays, strict=True)]
        raise UsageError(
            f"{first.name} and {other.name}: arrays of {' and of '.join(sizes)} pixels cannot be taken together; "
            "save the images of both as files"
        )


def relabeled(source: Source, classes: Sequence[str]) -> NDArray[np.int64]:
    """Returns a source's labels as positions in other classes, by name, int64 (N,); all of its own are there."""
    assert source.labels is not None
    position = {name: i for i, name in enumerate(classes)}
    return np.array([position[name] for name in source.classes], dtype=np.int64)[source.labels]


def real_files(paths: Iterable[Path] | None) -> set[str]:
    """Finds the real paths of a source's files; empty where the images are an array."""
    real: dict[Path, str] = {}  # by folder, as the images are many
    files = set()
    for path in paths or []:
        if path.parent not in real:
            real[path.parent] = os.path.realpath(path.parent)
        file = os.path.join(real[path.parent], path.name)
        files.add(os.path.realpath(file) if os.path.islink(file) else file)
    return files
