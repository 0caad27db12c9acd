"""Files of a data set of annotated images: found, and read with one sentence for what is wrong."""

from __future__ import annotations

import os
from pathlib import Path

from sslfast.data.sources.images import EXTENSIONS
from sslfast.errors import UsageError, printable


def images_by_stem(folder: Path) -> dict[str, Path]:
    """Finds the images in a folder and below it, sorted, by their paths in it without a suffix.

    Raises:
        UsageError: two have the same, so that annotations of that name would be of both.
    """
    found: dict[str, Path] = {}
    for path in sorted(Path(place, name) for place, _, names in os.walk(folder) for name in names):
        if path.suffix.lower() in EXTENSIONS and not path.name.startswith("."):
            stem = path.relative_to(folder).with_suffix("").as_posix()
            if stem in found:
                raise UsageError(
                    f"{printable(str(path))}: another image has this name, {found[stem].name}; remove one of them"
                )
            found[stem] = path
    return found


def read_lines(path: Path) -> list[str]:
    """Reads the lines of a text file, without white space around them.

    Raises:
        UsageError: it cannot be read as text.
    """
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{printable(str(path))}: cannot be read as text ({error})") from error


def choose_split(name: str, split: str | None, splits: list[str], of: str) -> str:
    """Chooses the split that is meant: the one that is named, or the only one.

    Args:
        name: the data set's, as it was typed.
        split: the split's, as it was typed; None: none was.
        splits: those that there are.
        of: what has them, for the message.

    Raises:
        UsageError: there are several and none is named, or there is none of that name.
    """
    if split is None and len(splits) == 1:
        return splits[0]
    if split not in splits:
        base = name.removesuffix(f":{split}")
        if not splits:
            raise UsageError(f"{name}: {of} has no splits" + (f"; leave out :{split}" if split else ""))
        choices = " or ".join(f"{base}:{choice}" for choice in splits[:8])
        problem = "has several splits" if split is None else f"{of} has no split {split}"
        raise UsageError(f"{name}: {problem}; name one that is there: {choices}")
    return split
