"""The splits of a data set that lie side by side in a folder: `train/` and `val/`, `Training/` and `Testing/`."""

from __future__ import annotations

from pathlib import Path

from sslfast.data.sources.folder import subfolders
from sslfast.data.sources.split_folders import kind_of, split_folders
from sslfast.data.sources.splits import Splits
from sslfast.data.sources.val_annotations import is_annotated


def unwrapped(root: Path) -> Path:
    """Finds the folder that one wraps and means, as archives have it: its only subfolder, beside no image."""
    visited = set()
    while len(names := subfolders(root)) == 1 and root.resolve() not in visited:  # links may lead in a circle
        visited.add(root.resolve())
        root /= names[0]
    return root


def folder_splits(root: Path) -> Splits | None:
    """Finds the splits in a folder by their subfolders' names, through folders that wrap it; None: there are none.

    The training split is the only one of its kind, if there is one. So is the split to test on, if it has class
    folders or annotations: one for testing, else one for validation, as ImageNet's test images have no labels.

    Raises:
        UsageError: a folder cannot be listed.
    """
    base = unwrapped(root)
    names = split_folders(subfolders(base))
    if not names:
        return None
    of_kind = {kind: [name for name in names if kind_of(name) == kind] for kind in ("train", "test", "val")}
    single = {kind: found[0] for kind, found in of_kind.items() if len(found) == 1}
    labeled = [single[kind] for kind in ("test", "val") if kind in single and _has_labels(base / single[kind])]
    train, test = single.get("train"), labeled[0] if labeled else None
    return Splits(train, test, tuple(name for name in names if name not in (train, test)))


def _has_labels(split: Path) -> bool:
    """Tells whether a split's folder holds class folders or annotations."""
    return is_annotated(split) or len(subfolders(unwrapped(split))) > 1
