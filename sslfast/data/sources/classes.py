"""A choice of classes: `data.classes`, a file of their names, and the images of these classes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from sslfast.config.paths import is_path, user_path
from sslfast.data.sources.base import Source
from sslfast.errors import UsageError, printable
from sslfast.hints import nearest

LISTED = 5  # names in a message


def read_classes(name: str | None, known: Sequence[str] = ()) -> list[str] | None:
    """Reads the names of the classes in a list.

    Args:
        name: a text file, a name a line, `#` before comments; the name of a list of the package, imagenet100; or
            the classes' own names, with commas between; None: there is none.
        known: classes that `name` may be one of.

    Raises:
        UsageError: there is no such list, it cannot be read, is empty, or names a class twice.
    """
    if name is None:
        return None
    is_names = ("," in name or name in known) and not is_path(name)
    lines = [part.strip() for part in name.split(",")] if is_names else _lines(name, known)
    classes = [line for line in lines if line]
    if not classes:
        raise UsageError(f"classes={name}: names no class; write one a line")
    if repeated := [line for line, count in Counter(classes).items() if count > 1]:
        raise UsageError(f"classes={name}: {names_in_short(repeated)} more than once; name each class once")
    return classes


def _lines(name: str, known: Sequence[str]) -> list[str]:
    """Reads the lines of a list, without comments."""
    path = user_path(name)
    if not path.exists():
        lists = {
            path.stem: path for path in (Path(str(resources.files("sslfast.data"))) / "classes").glob("*.txt")
        }
        if name not in lists:
            raise UsageError(f"classes={name}: no such file or list of classes{nearest(name, [*lists, *known])}")
        path = lists[name]
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"classes={name}: cannot be read as text, a class a line ({error})") from error
    return [re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip() for line in text.splitlines()]


def with_classes(source: Source, classes: Sequence[str], *, allow_missing: bool = False) -> Source:
    """Selects the images of these classes, numbered in their order; the images keep theirs.

    Args:
        source: labeled images.
        classes: the names.
        allow_missing: whether the source may lack some, which are then no classes of it.

    Raises:
        UsageError: the images have no labels, or none of a class.
    """
    if source.labels is None:
        raise UsageError(f"{source.name}: its images have no labels, by which classes= could choose them")
    chosen = check_there(source.name, source.classes, classes, allow_missing=allow_missing)
    position = {name: i for i, name in enumerate(chosen)}
    number = np.array([position.get(name, -1) for name in source.classes], dtype=np.int64)[source.labels]
    subset = source.subset(np.flatnonzero(number >= 0))
    subset.labels, subset.classes = number[number >= 0], chosen
    return subset


def check_there(
    name: str, known: Sequence[str], classes: Sequence[str], *, allow_missing: bool = False
) -> list[str]:
    """Returns those of some classes that the data have.

    Args:
        name: of the data.
        known: the classes that they have.
        classes: the chosen ones.
        allow_missing: whether the data may lack some, but not all.

    Raises:
        UsageError: they lack one.
    """
    has = set(known)
    missing = [chosen for chosen in classes if chosen not in has]
    if len(missing) == len(classes) or (missing and not allow_missing):
        raise UsageError(
            f"{name}: lacks {len(missing)} of the {len(classes)} classes that classes= names: "
            f"{names_in_short(missing)}; it has {names_in_short(known)}"
        )
    return [chosen for chosen in classes if chosen in has]


def check_distinct(name: str, classes: Sequence[str]) -> None:
    """Raises UsageError where two classes of data have one name."""
    if twice := next((c for c, count in Counter(classes).items() if count > 1), None):
        raise UsageError(f"{name}: has two classes named {twice!r}; give each a name of its own")


def names_in_short(names: Sequence[str]) -> str:
    """Lists the first few names, and says how many there are beside them."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return printable(", ".join(names[:LISTED])) + more
