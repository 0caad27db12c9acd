"""The names of a result's files, which hold all that the result depends on."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sslfast.data.sources.names import Names, listed, one_or_list, parse

NAME_PART = 24  # characters of each name in a file's name, of up to 4 bytes: file systems allow 255 in all
NUMBER = re.compile(r"(\d+)")


def result_name(
    kind: str,
    checkpoint_id: str,
    data: Names,
    val: Names | None,
    options: dict[str, Any],
    encoders: Sequence[Any],
    *,
    step: int | None,
    supervised: str | None = None,
    lists: Mapping[str, str] | None = None,
) -> str:
    """Names a result <kind>-<data>[-<val>][-step<step>]-<hash of what rows depend on>; a path by its last part.

    Args:
        kind, data, val, options, step: as of an `Evaluation`.
        checkpoint_id: what tells the weights from others.
        encoders: the names of those that are judged.
        supervised: what tells the weights of the supervised one from others; None: there is none.
        lists: as of an `Evaluation`; None: there are none.
    """
    sources = [listed(names) for names in (data, val) if names]
    places = [one_or_list([_place(source) for source in names]) for names in sources]
    inputs = [kind, checkpoint_id, places, options, list(encoders), *filter(None, (supervised, lists))]
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:8]
    parts = [kind, *("+".join(Path(source).name for source in names) for names in sources)]
    parts += [] if step is None else [f"step{step:08d}"]
    return "-".join([re.sub(r"[^\w.-]+", "_", part)[:NAME_PART] for part in parts] + [digest])


def _place(source: str) -> str:
    """Returns the real path of a source that is one, with its split; a data set's name as it is."""
    path, split = parse(source)
    if path is None:
        return source
    return f"{path.resolve()}:{split}" if split else str(path.resolve())


def with_ending(stem: Path, ending: str) -> Path:
    """Names the file whose name is that of `stem` and an ending."""
    return stem.with_name(stem.name + ending)


def natural_order(file: Path) -> list[str | int]:
    """Returns the key by which files are sorted so that a later result of a name, x-10, comes after x and x-2."""
    return [int(part) if part.isdecimal() else part for part in NUMBER.split(file.stem)]
