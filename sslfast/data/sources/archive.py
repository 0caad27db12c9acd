"""A tar archive of images, extracted once into the cache."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sslfast.data.sources.cache import cache_folder, partial_folder
from sslfast.data.sources.decompression import uncompressed
from sslfast.data.sources.tar import DamagedArchive, TooLarge, UnsafeMember, unpack
from sslfast.errors import UsageError, printable
from sslfast.progress import tqdm

logger = logging.getLogger(__name__)

SUFFIXES = (".tar", ".tar.xz", ".txz", ".tar.gz", ".tgz", ".tar.bz2")
IMAGES, RECORD = "images", "archive.json"  # in the folder of an extracted archive
GROWTH, LEAST_LIMIT = 20, 2**30  # an archive may unpack to so many times its size, and always to so many bytes
BUFFER = 2**20  # bytes read at a time


def extracted(archive: Path, max_unpacked: float | None = None) -> Path:
    """Extracts an archive unless the cache has its content, and returns the folder.

    The cache knows a content by its SHA-256 and number of files. An archive that was seen before is known by path,
    inode, size, time of change and of change of status: all that a file system tells. A change that leaves all of
    these as they are, which takes a turned-back clock, goes unnoticed; one that leaves the content as it is costs
    a hash and no extraction. The folder appears only when it is complete.

    Args:
        archive: the file.
        max_unpacked: GiB that it may unpack to; None: 20 times its size, and at least 1.

    Raises:
        UsageError: the archive is damaged, cut short or followed by other bytes, holds no files, holds something
            that is neither a file nor a folder or would land elsewhere, unpacks to more than it may, or cannot be
            read or written.
    """
    if not os.access(archive, os.R_OK):
        raise UsageError(f"{archive}: cannot be read: permission denied")
    try:
        if images := _find(archive):
            return images
        stem = printable(archive.name.partition(".")[0])[:50]
        path_hash = hashlib.sha256(os.fsencode(archive.resolve())).hexdigest()[:16]
        with partial_folder(f"{stem}-{path_hash}") as partial:
            return _find(archive) or _extract(archive, partial, stem, max_unpacked)
    except OSError as error:
        raise UsageError(f"{archive}: cannot be extracted to {cache_folder()} ({error.strerror})") from error


@dataclass(frozen=True)
class Stamp:
    """What tells an archive that has not changed from one that may have."""

    size: int
    inode: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, archive: Path) -> Stamp:
        status = archive.stat()
        return cls(status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)


def _find(archive: Path) -> Path | None:
    """Finds the folder of an archive's images in the cache, if it is there and whole."""
    path, stamp = str(archive.resolve()), Stamp.of(archive)
    same_size = [(folder, record) for folder, record in _records() if record["size"] == stamp.size]
    for folder, record in same_size:
        if record["seen"].get(path) == asdict(stamp) and (images := _whole(folder, record)) is not None:
            return images
    if not same_size:
        return None
    digest = _sha256(archive)
    for folder, record in same_size:
        if record["sha256"] == digest and (images := _whole(folder, record)) is not None:
            with suppress(OSError):  # of a cache that is read-only
                _write_record(folder, {**record, "seen": {**record["seen"], path: asdict(stamp)}})
            return images
    return None


def _sha256(archive: Path) -> str:
    digest = hashlib.sha256()
    with archive.open("rb") as file:
        while data := file.read(BUFFER):
            digest.update(data)
    return digest.hexdigest()


def _records() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yields the folders of extracted archives, and what is known of each."""
    for path in cache_folder().glob(f"*/{RECORD}"):
        with suppress(OSError, ValueError):  # damaged: the archive will be extracted again
            record = json.loads(path.read_bytes())
            if isinstance(record, dict) and {"sha256", "size", "files", "seen"} <= record.keys():
                yield path.parent, record


def _write_record(folder: Path, record: dict[str, Any]) -> None:
    """Writes what is known of an extracted archive, whole or not at all."""
    temporary = folder / f"{RECORD}.{os.getpid()}.tmp"
    temporary.write_text(json.dumps(record))
    temporary.replace(folder / RECORD)


def _whole(folder: Path, record: dict[str, Any]) -> Path | None:
    """Returns the folder of images, unless a cleaner of old files, say, has removed some."""
    found = sum(len(files) for *_, files in os.walk(folder / IMAGES))
    return folder / IMAGES if found == record["files"] else None


def _extract(archive: Path, partial: Path, stem: str, max_unpacked: float | None) -> Path:
    """Extracts an archive into a partial folder and publishes that in the cache; returns the folder of images."""
    stamp = Stamp.of(archive)
    limit = max(LEAST_LIMIT, GROWTH * stamp.size) if max_unpacked is None else int(max_unpacked * 2**30)
    images = partial / IMAGES
    images.mkdir()
    try:
        with _HashedFile(archive) as file:
            files = unpack(uncompressed(io.BufferedReader(file, BUFFER)), images, limit)
    except UnsafeMember as error:
        raise UsageError(f"{archive}: refused, its member is unsafe: {error}") from error
    except TooLarge as error:
        raise UsageError(
            f"{archive}: unpacks to {error}; if it should, make room and raise max_unpacked (data.max_unpacked of "
            "a recipe)"
        ) from error
    except DamagedArchive as error:
        raise UsageError(f"{archive}: truncated or corrupt {error}; copy or download it again") from error
    if Stamp.of(archive) != stamp:
        raise UsageError(f"{archive}: changed while it was read; wait until it is complete")
    if not files:
        raise UsageError(f"{archive}: holds no files, expected images or one folder of images a class")
    record: dict[str, Any] = {
        "sha256": file.sha256.hexdigest(),
        "size": stamp.size,
        "files": files,
        "seen": {str(archive.resolve()): asdict(stamp)},
    }
    _write_record(partial, record)
    return _publish(partial, cache_folder() / f"{stem}-{record['sha256'][:16]}", record)


def _publish(partial: Path, folder: Path, record: dict[str, Any]) -> Path:
    """Gives a partial folder its name in the cache, unless another process has just done the same."""
    try:
        partial.rename(folder)
    except OSError:  # the folder is there
        if (images := _whole(folder, record)) is not None:
            return images
        logger.warning("%s: has lost some of its %d files and is replaced", folder, record["files"])
        shutil.rmtree(folder)
        partial.rename(folder)
    return folder / IMAGES


class _HashedFile(io.FileIO):
    """An archive that is hashed as it is read, with a progress bar."""

    def __init__(self, archive: Path) -> None:
        super().__init__(archive)
        self.sha256 = hashlib.sha256()
        self._bar = tqdm(
            total=archive.stat().st_size,
            desc=f"extracting {printable(archive.name)}",
            unit="B",
            unit_scale=True,
            disable=None,  # where nobody sees it
        )

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = super().readinto(buffer) or 0
        self.sha256.update(buffer[:count])
        self._bar.update(count)
        return count

    def close(self) -> None:
        self._bar.close()
        super().close()
