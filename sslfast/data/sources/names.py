"""The names of sources: a path or a data set's name, and after a colon the split that is meant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sslfast.config.paths import user_path
from sslfast.data.sources.archive import SUFFIXES, extracted
from sslfast.data.sources.folder_splits import folder_splits, unwrapped
from sslfast.data.sources.parquet import is_parquet
from sslfast.data.sources.splits import Splits, check_split
from sslfast.data.sources.torchvision_sets import SETS
from sslfast.errors import UsageError

Name = str | Path
Names = Name | Sequence[Name]

UNNAMED = "no data is named; give a folder, an archive or the name of a data set"


class Parsed(NamedTuple):
    """A source's name in its parts.

    Attributes:
        path: an existing folder or file; None: it is a data set's name.
        split: the split of the folder or archive; None: none is named.
    """

    path: Path | None
    split: str | None = None


def listed(names: Names) -> list[str]:
    """Returns one name or several as a list. Raises UsageError where it is empty."""
    several = [names] if isinstance(names, (str, Path)) else names
    if not several:
        raise UsageError(UNNAMED)
    return [str(name) for name in several]


def one_or_list(names: Names) -> str | list[str]:
    """Returns one name or several, as a recipe has them."""
    several = listed(names)
    return several[0] if len(several) == 1 else several


def joined(names: Names) -> str:
    """Joins one name or several into one text."""
    return " + ".join(listed(names))


def parse(name: str) -> Parsed:
    """Parses the parts of a name. An existing path wins over a name, and a whole path over one with a split.

    Raises:
        UsageError: nothing can have this name.
    """
    if not name:  # an unset variable, say; as a path it would be the current folder
        raise UsageError(UNNAMED)
    if (path := user_path(name)).exists():
        return Parsed(path)
    start, _, split = name.rpartition(":")
    if start and (path := user_path(start)).exists():
        return Parsed(path, split)
    return Parsed(None)


def folder_of(path: Path, name: str, max_unpacked: float | None = None) -> Path:
    """Returns the folder that a path leads to: itself, or what it unpacks to.

    Raises:
        UsageError: it is neither a folder nor an archive, or cannot be unpacked.
    """
    if path.is_dir():
        return path
    if not (path.is_file() and path.name.lower().endswith(SUFFIXES)):
        raise UsageError(
            f"{name}: expected a folder or an archive ({' '.join(SUFFIXES)}), got another kind of file"
        )
    return extracted(path, max_unpacked)


def split_folder(folder: Path, name: str, split: str) -> Path:
    """Finds the folder of a split in that of a data set, `name`. Raises UsageError where it has no such split."""
    check_split(name, name.rpartition(":")[0], split, folder_splits(folder))
    return unwrapped(folder) / split


def whole_name(name: str, max_unpacked: float | None = None) -> str:
    """Returns the name with the split that a data set's bare name means, CIFAR10:train; others as they are."""
    splits = _splits(name, max_unpacked)
    return f"{name}:{splits.train}" if splits and splits.train else name


def held_out_name(name: str, max_unpacked: float | None = None) -> str | None:
    """Returns the name of the labeled test split of a data set's bare name, CIFAR10:test; None: there is none."""
    splits = _splits(name, max_unpacked)
    return f"{name}:{splits.test}" if splits and splits.test else None


def place(name: str, max_unpacked: float | None = None) -> str:
    """Tells a source from others: by the real path of its folder, of its archive with the split, or its name."""
    whole = whole_name(name, max_unpacked)
    path, split = parse(whole)
    if path is None:
        return whole
    if split and path.is_dir():
        path, split = split_folder(path, whole, split), None
    return f"{path.resolve()}:{split}" if split else str(path.resolve())


def is_same(name: str, other: str) -> bool:
    """Tells whether two names mean the same images. Different archives are not unpacked to be compared.

    Raises:
        UsageError: as `place`.
    """
    paths = [parse(one).path for one in (name, other)]
    archives = [path.resolve() for path in paths if path is not None and path.is_file()]
    if len(archives) == 1 or len(set(archives)) == 2:
        return False
    return place(name) == place(other)


def _splits(name: str, max_unpacked: float | None) -> Splits | None:
    """Finds the splits of a data set's bare name; None: it has none, or names one."""
    path, split = parse(name)
    if path is None:
        return SETS.get(name)
    if split is not None or is_parquet(path):
        return None
    return folder_splits(folder_of(path, name, max_unpacked))
