"""A choice of classes: `data.classes`, a file of their names, and the images of these classes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from sslfast.config.paths import user_path
from sslfast.config.settings import nearest
from sslfast.data.sources.base import Source
from sslfast.errors import UsageError, printable

LISTED = 5  # names in a message


def read_classes(name: str | None) -> list[str] | None:
    """The names of the classes in a list.

    Args:
        name: a text file, a name a line, `#` before comments; or the name of a list of the package, imagenet100;
            None: there is none.

    Raises:
        UsageError: there is no such list, it cannot be read, is empty, or names a class twice.
    """
    if name is None:
        return None
    path = user_path(name)
    if not path.exists():
        known = {
            path.stem: path for path in (Path(str(resources.files("sslfast.data"))) / "classes").glob("*.txt")
        }
        if name not in known:
            raise UsageError(f"classes={name}: no such file or list of classes{nearest(name, known)}")
        path = known[name]
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"classes={name}: cannot be read as text, a class a line ({error})") from error
    lines = (re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip() for line in text.splitlines())
    classes = [line for line in lines if line]
    if not classes:
        raise UsageError(f"classes={name}: names no class; write one a line")
    if repeated := [line for line, count in Counter(classes).items() if count > 1]:
        raise UsageError(f"classes={name}: {names_in_short(repeated)} more than once; name each class once")
    return classes


def with_classes(source: Source, classes: Sequence[str], *, allow_missing: bool = False) -> Source:
    """The images of these classes, numbered in their order; the images keep theirs.

    Args:
        source: labelled images.
        classes: the names.
        allow_missing: whether the source may lack some, which are then no classes of it.

    Raises:
        UsageError: the images have no labels, or none of a class.
    """
    if source.labels is None:
        raise UsageError(f"{source.name}: its images have no labels, by which classes= could choose them")
    known = set(source.classes)
    missing = [name for name in classes if name not in known]
    if len(missing) == len(classes) or (missing and not allow_missing):
        raise UsageError(
            f"{source.name}: lacks {len(missing)} of the {len(classes)} classes that classes= names: "
            f"{names_in_short(missing)}; it has {names_in_short(source.classes)}"
        )
    chosen = [name for name in classes if name in known]
    position = {name: i for i, name in enumerate(chosen)}
    number = np.array([position.get(name, -1) for name in source.classes], dtype=np.int64)[source.labels]
    subset = source.subset(np.flatnonzero(number >= 0))
    subset.labels, subset.classes = number[number >= 0], chosen
    return subset


def names_in_short(names: Sequence[str]) -> str:
    """The first few names, and how many there are beside them."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return printable(", ".join(names[:LISTED])) + more
