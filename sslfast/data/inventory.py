"""The inventory of a run's images, by which a resumed run finds the same ones at the same positions."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslfast.data.sources import Source
from sslfast.data.sources.bad_files import BadFiles
from sslfast.data.sources.form import Form
from sslfast.data.sources.images import UnreadableImage, read_parts
from sslfast.errors import UsageError, printable

logger = logging.getLogger(__name__)

THREADS, CHUNK = 16, 1024  # that ask for files' sizes, to hide the latency of a network's file system
MISSING = -1  # size of what is not there or no file


@dataclass(frozen=True)
class ArrayInventory:
    """The images of a run that are an array, known by their content.

    Attributes:
        source: what the user called them.
        count: number of images.
        sha256: of the images, their labels and the classes' names.
    """

    source: str
    count: int
    sha256: str

    @classmethod
    def of(cls, source: Source) -> ArrayInventory:
        """Takes the inventory of a source that is an array, as it was given. Reads all of it: 0.1 s for 100 MB."""
        assert source.images is not None
        images: NDArray[Any] = source.images
        if images.shape[-1] == 1 and images.dtype == np.uint8:  # earlier versions kept gray images as RGB
            images = np.broadcast_to(images, (*images.shape[:-1], 3))
        digest = hashlib.sha256(repr((images.shape, source.classes)).encode())
        digest.update(np.ascontiguousarray(images).data)
        if source.labels is not None:
            digest.update(np.ascontiguousarray(source.labels).data)
        return cls(source.name, len(source), digest.hexdigest())

    def find(self, source: Source, *, limited: bool) -> Source:
        """Returns the source itself, if it holds the images of the inventory.

        Raises:
            UsageError: it holds others.
        """
        if source.images is None:
            raise _refusal(source, f"it was started on an array, {self.source}, and these are files")
        now = ArrayInventory.of(source)
        if now.count != self.count:
            raise _refusal(source, f"it was started on {self.count} of {self.source}, and these are {now.count}")
        if now.sha256 != self.sha256:
            raise _refusal(source, f"they are as many as those of {self.source}, but others")
        return source

    def places(self, source: Source, decoded: Source) -> Source:
        """Returns the decoded images as they are: of an array, all can be read."""
        return decoded


@dataclass(frozen=True)
class FileInventory:
    """The images of a run that are files, known by their names and sizes; their content would have to be read.

    Attributes:
        source: what the user called them.
        names: N names, relative to the source's root; of several roots, after the root's number: "1/cat/2.png".
        sizes: N sizes in bytes; -1 for what was not there.
        labels: N positions in `classes`; None where unlabeled.
        classes: the classes' names.
        left_out: names of the files that had turned out to be unreadable before the first step.
        num_roots: number of the source's roots.
    """

    source: str
    names: list[str]
    sizes: list[int]
    labels: list[int] | None
    classes: list[str]
    left_out: list[str]
    num_roots: int = 1

    @classmethod
    def of(cls, source: Source) -> FileInventory:
        """Takes the inventory of a source of files. Asks for the size of each."""
        assert source.paths is not None
        names = _names(source)
        return cls(
            source.name,
            names,
            _sizes(source.paths),
            None if source.labels is None else source.labels.tolist(),
            source.classes,
            [name for name, path in zip(names, source.paths, strict=True) if path in source.bad.reasons],
            len(source.roots),
        )

    def find(self, source: Source, *, limited: bool) -> Source:
        """Finds the images of the inventory where a source has them now, each at its position.

        A file that is gone, or has changed and cannot be read, counts as unreadable, as it does while a run lasts.

        Args:
            source: of files, in the same folder or another; those that are not in the inventory are left out.
            limited: whether it is a part of its folder, so that others are no news.

        Raises:
            UsageError: it is an array, holds other images, or lacks more than may be unreadable.
        """
        if source.paths is None:
            raise _refusal(source, f"it was started on files of {self.source}, and these are an array")
        if len(source.roots) != self.num_roots:
            raise _refusal(
                source,
                f"it was started on {self.num_roots} folders or archives, and these are {len(source.roots)}",
            )
        paths = self._paths(source.roots)
        sizes = _sizes(paths)
        gone = [i for i, size in enumerate(sizes) if size == MISSING and self.sizes[i] != MISSING]
        changed = [i for i, size in enumerate(sizes) if size not in (MISSING, self.sizes[i])]
        new = [] if limited else sorted(set(_names(source)).difference(self.names))
        bad = BadFiles(source.name, len(paths), source.bad.max_share, source.bad.on_error)
        allowed = 0 if bad.on_error == "stop" else bad.max_share * len(paths)
        if len(gone) + len(changed) > allowed or any(_is_readable(paths[i], source.form) for i in changed):
            raise _refusal(source, self._differences(gone, changed, sizes, new))
        if new:
            logger.warning(
                "%s: left out %d images that are new since the run was started, the first %s",
                source.name,
                len(new),
                printable(new[0]),
            )
        for i in gone:
            bad.add(paths[i], "it is gone")
        for i in changed:
            bad.add(paths[i], "it has changed")
        labels = None if self.labels is None else np.array(self.labels, dtype=np.int64)
        return Source(
            source.name,
            labels=labels,
            classes=self.classes,
            paths=paths,
            roots=source.roots,
            bad=bad,
            form=source.form,
        )

    def places(self, source: Source, decoded: Source) -> Source:
        """Returns the decoded images at the positions among all decoded ones that they had when the run began.

        The place of an image that cannot be read any more is taken by the next one.

        Args:
            source: a part of the files of the inventory.
            decoded: those of them that can be read, as an array; or the files themselves, which have their places.
        """
        if decoded.images is None or source.paths is None:
            return decoded
        left_out = set(self.left_out)
        before = [path for path, name in zip(source.paths, _names(source), strict=True) if name not in left_out]
        now = [path for path in source.paths if path not in source.bad.reasons]
        if now == before or not now:
            return decoded
        row = {path: i for i, path in enumerate(now)}
        rows, following = [], 0  # after the last comes the first
        for path in reversed(before):
            following = row.get(path, following)
            rows.append(following)
        return decoded.subset(rows[::-1])

    def _paths(self, roots: Sequence[Path]) -> list[Path]:
        """Lists the paths of the files below these roots."""
        if len(roots) == 1:
            return [roots[0] / name for name in self.names]
        parts = (name.split("/", 1) for name in self.names)
        return [roots[int(number)] / name for number, name in parts]

    def _differences(self, gone: list[int], changed: list[int], sizes: list[int], new: list[str]) -> str:
        """Says how many images are others now, and which is the first of each kind."""
        parts = []
        if gone:
            parts.append(f"{len(gone)} are missing, the first {self.names[gone[0]]}")
        if changed:
            first = changed[0]
            before = "not there" if self.sizes[first] == MISSING else f"{self.sizes[first]} bytes"
            change = f"{self.names[first]}: {before}, now {sizes[first]} bytes"
            parts.append(f"{len(changed)} are of another size, the first {change}")
        if new:
            parts.append(f"{len(new)} are new, the first {new[0]}")
        return f"of its {len(self.names)} images in {self.source} {'; '.join(parts)}"


Inventory = ArrayInventory | FileInventory


def take_inventory(source: Source) -> Inventory:
    """Takes the inventory of a source."""
    return FileInventory.of(source) if source.images is None else ArrayInventory.of(source)


def _names(source: Source) -> list[str]:
    """Names a source's files as an inventory does: relative to the first root that they lie in."""
    starts = [str(root / "_")[:-1] for root in source.roots]
    names = []
    for path in map(str, source.paths or []):
        number = next((i for i, start in enumerate(starts) if path.startswith(start)), 0)
        start = starts[number]
        name = path[len(start) :] if path.startswith(start) else os.path.relpath(path, start)
        names.append(name if len(starts) == 1 else f"{number}/{name}")
    return names


def _sizes(paths: Sequence[Path]) -> list[int]:
    """Reads the size of each file in bytes; MISSING for what is not there or no file."""
    chunks = [paths[i : i + CHUNK] for i in range(0, len(paths), CHUNK)]
    with ThreadPoolExecutor(THREADS) as pool:
        return list(chain.from_iterable(pool.map(lambda chunk: [_size(path) for path in chunk], chunks)))


def _size(path: Path) -> int:
    try:
        status = path.stat()
    except OSError:
        return MISSING
    return status.st_size if stat.S_ISREG(status.st_mode) else MISSING


def _is_readable(path: Path, form: Form) -> bool:
    try:
        read_parts(path, form)
    except UnreadableImage:
        return False
    return True


def _refusal(source: Source, difference: str) -> UsageError:
    return UsageError(f"{source.name} does not hold the images of the run: {difference}")
