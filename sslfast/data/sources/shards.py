"""WebDataset shards: tar archives whose files are samples by their names, 000001.jpg with its class in 000001.cls.

They are not extracted. One pass over their headers finds every image, so that a shard is read at any place: order,
seed, resumption and the parts of ranks are those of files. Shards: https://github.com/webdataset/webdataset.
"""

from __future__ import annotations

import json
import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from sslfast.config.paths import existing_path
from sslfast.data.sources.arrays import numbered
from sslfast.data.sources.base import Source
from sslfast.data.sources.images import EXPECTED, EXTENSIONS
from sslfast.data.sources.members import Member, Members
from sslfast.data.sources.tar import BLOCK, UnsafeMember, checked_path
from sslfast.errors import UsageError, printable

RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}|\{([^{}]*,[^{}]*)\}")
SUFFIX = ".tar"
LABELS = (".cls", ".json")
LONGEST_LABEL = 2**20  # bytes of a file with a label
MOST_SHARDS = 10**6

Label = int | str | None


def is_pattern(name: str) -> bool:
    """Tells whether a name is a pattern of shards: train-{000..099}.tar, {train,val}.tar."""
    return name.endswith(SUFFIX) and RANGE.search(name) is not None


def shards_of(pattern: str) -> list[Path]:
    """Lists the shards that a pattern names, in order, as a shell expands braces.

    Raises:
        UsageError: one is not there, or there would be more than a million.
    """
    pieces, choices, end = [], [], 0
    for match in RANGE.finditer(pattern):
        pieces.append(pattern[end : match.start()])
        first, last, names = match.groups()
        if names is None and int(last) - int(first) >= MOST_SHARDS:
            raise UsageError(f"{pattern}: names more than {MOST_SHARDS} shards")
        numbers = range(int(first), int(last) + 1) if names is None else ()
        choices.append(names.split(",") if names is not None else [f"{n:0{len(first)}d}" for n in numbers])
        end = match.end()
    shards = []
    for chosen in product(*choices):
        name = "".join(piece + choice for piece, choice in zip(pieces, chosen, strict=True))
        shards.append(existing_path(name + pattern[end:]))
    if not shards:
        raise UsageError(f"{pattern}: names no shard; the first number comes before the last")
    return shards


def shards_in(folder: Path) -> list[Path]:
    """Lists the shards in a folder, by their names; none where an image or a subfolder lies beside them."""
    return listing(folder, SUFFIX)


def listing(folder: Path, suffix: str) -> list[Path]:
    """Lists the files of a suffix in a folder, by name; none where an image or a subfolder lies beside them.

    Raises:
        UsageError: the folder cannot be listed.
    """
    try:
        names = [name for name in sorted(os.listdir(folder)) if not name.startswith(".")]
    except OSError as error:
        raise UsageError(f"cannot list {folder}: {error.strerror}") from error
    others = any(Path(name).suffix.lower() in EXTENSIONS or (folder / name).is_dir() for name in names)
    return [] if others else [folder / name for name in names if name.lower().endswith(suffix)]


def open_shards(shards: Sequence[Path], name: str) -> Source:
    """Opens the images of shards, in their order; nothing is decoded.

    The files of a sample have one name up to its first full stop. Its image has one of the usual extensions, its
    label is the text of `.cls`, a number or a name, else "label" of `.json`. Labels are taken where all have one.

    Raises:
        UsageError: a shard is damaged or compressed, holds what is no file, or two images of one name; or there is
            no image in any.
    """
    members, labels = [], []
    for shard in shards:
        for member, label in _samples(shard):
            members.append(member)
            labels.append(label)
    if not members:
        raise UsageError(f"{name}: none of its {len(shards)} shards holds an image; {EXPECTED}")
    classes, numbers = _numbered(name, labels)
    root = Members.of(Path(os.path.commonpath([shard.parent for shard in shards])), members)
    return Source(name, labels=numbers, classes=classes, paths=members, roots=[root])


def _numbered(name: str, labels: list[Label]) -> tuple[list[str], NDArray[np.int64] | None]:
    """Returns the classes and the labels, by their numbers or, if any is no number, by their names."""
    if all(label is None or isinstance(label, int) for label in labels):
        return numbered(name, labels, [])
    classes = sorted({str(label) for label in labels if label is not None})
    place = {label: number for number, label in enumerate(classes)}
    return numbered(name, (None if label is None else place[str(label)] for label in labels), classes)


def _samples(shard: Path) -> Iterator[tuple[Member, Label]]:
    """Yields the images of a shard, each with its label."""
    images: dict[str, Member] = {}
    labels: dict[str, dict[str, Label]] = {}
    for member in _members(shard):
        key, _, extension = member.name.partition(".")
        key, extension = str(member.parent / key), f".{extension.lower()}"
        if extension in EXTENSIONS:
            if key in images:
                raise UsageError(
                    f"{printable(str(member))}: is the second image of its name, beside {images[key].name}"
                )
            images[key] = member
        elif extension in LABELS:
            labels.setdefault(key, {})[extension] = _label(member, extension)
    for key, image in images.items():
        found = labels.get(key, {})
        yield image, next((found[kind] for kind in LABELS if found.get(kind) is not None), None)


def _label(member: Member, extension: str) -> Label:
    """Reads the label in a file: its text, or "label" of its JSON; None where that has none."""
    if member.size > LONGEST_LABEL:
        raise UsageError(f"{printable(str(member))}: expected a label, got {member.size} bytes")
    try:
        text = member.read_bytes().decode().strip()
        if extension == ".json":
            values = json.loads(text)
            text = str(values.get("label", "") if isinstance(values, dict) else "").strip()
    except ValueError as error:
        raise UsageError(f"{printable(str(member))}: cannot be read as a label ({error})") from error
    return int(text) if re.fullmatch(r"-?\d{1,9}", text) else text or None


def _members(shard: Path) -> Iterator[Member]:
    """Yields the files of a shard, by its headers alone."""
    where = "at its start"
    try:
        size = shard.stat().st_size
        with shard.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            while (header := tar.next()) is not None:
                where = f"at {printable(header.name)}"
                path: PurePosixPath = checked_path(header)
                if header.isreg():
                    if header.offset_data + header.size > size:
                        raise tarfile.ReadError("unexpected end of data")
                    yield Member.at(shard, str(path), header.offset_data, header.size)
                tar.members.clear()  # type: ignore[attr-defined]  # a million of them would take a gigabyte
            file.seek(tar.offset)
            if file.read(BLOCK) != bytes(BLOCK):  # where tarfile would end in silence
                raise tarfile.ReadError("no header, and no end")
    except UnsafeMember as error:
        raise UsageError(f"{shard}: refused, its member is unsafe: {error}") from error
    except (tarfile.TarError, OSError) as error:
        raise UsageError(f"{shard}: is no uncompressed tar, or damaged {where}: {error}") from error
