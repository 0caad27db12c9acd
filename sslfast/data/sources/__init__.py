"""The sources of images: a folder, an archive, a torchvision data set, the built-in `shapes`."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from sslfast.config import DataConfig
from sslfast.config.paths import user_path
from sslfast.data.sources.archive import SUFFIXES, extracted
from sslfast.data.sources.bad_files import BadFiles, Policy
from sslfast.data.sources.base import Source
from sslfast.data.sources.folder import open_folder
from sslfast.data.sources.shapes import open_shapes
from sslfast.data.sources.subset import balanced_subset
from sslfast.data.sources.torchvision_sets import SETS, is_torchvision, open_torchvision
from sslfast.data.sources.values import with_range
from sslfast.errors import UsageError

__all__ = ["Source", "open_data", "open_source"]


def open_data(data: DataConfig) -> Source:
    """Open the images of a recipe, by its `data` section's limit, max_bad, on_error, max_unpacked and range.

    Raises:
        UsageError: as `open_source`.
    """
    source = open_source(
        data.source,
        limit=data.limit,
        max_bad=data.max_bad,
        on_error=data.on_error,
        max_unpacked=data.max_unpacked,
    )
    return with_range(source, data.range)


def open_source(
    name_or_path: str,
    *,
    limit: int | None = None,
    max_bad: float = 0.01,
    on_error: Policy = "skip",
    max_unpacked: float | None = None,
) -> Source:
    """Open a source by the name or path that the user typed. An existing path wins over a name.

    Args:
        name_or_path: a folder of images (class subfolders optional), a .tar of one (compressed or not), the name
            of a torchvision data set (CIFAR10, its training split, or CIFAR10:test), or `shapes`.
        limit: keep so many images, balanced over the classes; the same ones every time.
        max_bad: share of the images that may be unreadable.
        on_error: "skip" unreadable files, or "stop" at the first.
        max_unpacked: GiB that an archive may unpack to; None: 20 times its size, and at least 1.

    Raises:
        UsageError: there is no such path or name, or it holds no usable images.
    """
    source = _open(name_or_path, max_unpacked)
    if limit is not None and limit < len(source):
        source = source.subset(balanced_subset(source.labels, len(source), limit))
    source.bad = BadFiles(name_or_path, len(source), max_bad, on_error)
    return source


def _open(name: str, max_unpacked: float | None) -> Source:
    if not name:  # an unset variable, say; as a path it would be the current folder
        raise UsageError("no data is named; give a folder, an archive or the name of a data set")
    path = user_path(name)
    if path.is_dir():
        return open_folder(path, name)
    if path.exists():
        if not (path.is_file() and path.name.lower().endswith(SUFFIXES)):
            raise UsageError(
                f"{name}: expected a folder or an archive ({' '.join(SUFFIXES)}), got another kind of file"
            )
        return open_folder(extracted(path, max_unpacked), name)
    if name == "shapes":
        return open_shapes()
    if is_torchvision(name):
        return open_torchvision(name)
    raise UsageError(_not_found(name, path, [*SETS, "shapes"]))


def _not_found(name: str, path: Path, names: list[str]) -> str:
    """The message for a name that is neither a path nor a data set, with the nearest of both."""
    looks_like_path = os.sep in name or path.suffix in SUFFIXES
    try:
        siblings = [str(path.parent / entry) for entry in os.listdir(path.parent)]
    except OSError:  # there is no such folder, or it is another user's
        siblings = []
    by_lower_case = {n.lower(): n for n in (siblings if looks_like_path else [*names, *siblings])}
    close = difflib.get_close_matches(str(path).lower(), by_lower_case, n=3)
    hint = f"; did you mean {' or '.join(by_lower_case[c] for c in close)}?" if close else ""
    if looks_like_path:
        return f"{name}: no such file or folder{hint}"
    return f"{name}: no such file or folder, nor a data set (shapes or one of torchvision's){hint}"
