"""Images with masks by the name or path that a person types."""

from __future__ import annotations

from pathlib import Path

from sslfast.data.annotations import open_annotated
from sslfast.data.annotations.files import choose_split
from sslfast.data.masks.base import MaskedImages
from sslfast.data.masks.folders import WHOLE, folder_splits, open_folders
from sslfast.data.masks.polygons import OutlinedImages
from sslfast.data.masks.voc import is_voc, open_voc, voc_splits
from sslfast.data.sources.archive import SUFFIXES, extracted
from sslfast.data.sources.bad_files import BadFiles, Policy
from sslfast.data.sources.names import parse
from sslfast.data.sources.subset import balanced_subset


def open_masked(
    name: str,
    *,
    limit: int | None = None,
    max_bad: float = 0.01,
    on_error: Policy = "skip",
    max_unpacked: float | None = None,
) -> MaskedImages:
    """Opens images with masks; none is decoded.

    Args:
        name: a folder, or an archive of one, in the form of Pascal VOC (`VOC2012:train+aug`), with the folders
            `images` and `masks`, or with outlined objects as `open_annotated` takes them; a split follows a colon.
        limit: keep so many images, the same ones every time.
        max_bad: share of the images that may be unreadable.
        on_error: "skip" these, or "stop" at the first.
        max_unpacked: GiB that an archive may unpack to; None: 20 times its size, and at least 1.

    Raises:
        UsageError: there is nothing of that name, no such split, or it lacks masks, classes or images.
    """
    path, split = parse(name)
    root = _root(path, max_unpacked)
    if root is None or not (is_voc(root) or folder_splits(root)):
        annotated = open_annotated(name, max_bad=max_bad, on_error=on_error, max_unpacked=max_unpacked)
        images: MaskedImages = OutlinedImages(annotated)
    else:
        images = _open(name, root, split)
        images.bad = BadFiles(name, len(images), max_bad, on_error)
    if limit is not None and limit < len(images):
        images = images.subset(balanced_subset(None, len(images), limit))
        images.bad.total = limit
    return images


def _open(name: str, root: Path, split: str | None) -> MaskedImages:
    """Opens the split of a folder with masks; of VOC's, several that a plus joins."""
    splits = [known for known in _splits(root) if known != WHOLE or split is None]
    parts = [
        choose_split(name, part, splits, str(root))
        for part in (split.split("+") if split is not None and is_voc(root) else [split])
    ]
    return open_voc(name, root, parts) if is_voc(root) else open_folders(name, root, parts[0])


def mask_splits(name: str, max_unpacked: float | None = None) -> list[str]:
    """Lists the splits of the data of a name without one; empty where it tells one, or there is one part only."""
    path, split = parse(name)
    root = None if split else _root(path, max_unpacked)
    return [] if root is None else [known for known in _splits(root) if known != WHOLE]


def _root(path: Path | None, max_unpacked: float | None) -> Path | None:
    """Finds the folder of data, within those that hold nothing else; None for neither folder nor archive."""
    if path is not None and path.name.lower().endswith(SUFFIXES) and path.is_file():
        path = extracted(path, max_unpacked)
    if path is None or not path.is_dir():
        return None
    while len(inner := [entry for entry in path.iterdir() if not entry.name.startswith(".")]) == 1:
        if not inner[0].is_dir():
            break
        path = inner[0]
    return path


def _splits(root: Path) -> list[str]:
    """Lists the splits of a folder with masks; empty where it has none."""
    return voc_splits(root) if is_voc(root) else list(folder_splits(root))
