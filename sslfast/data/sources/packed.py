"""Images out of other containers, packed once into a shard in the cache, where each is read at its place."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from sslfast.data.sources.cache import cache_folder, partial_folder
from sslfast.errors import UsageError, printable
from sslfast.progress import tqdm

SHARD = "images.tar"
# How image files begin, and the extension that says so; a file is decoded by what it holds, whatever its name.
SIGNATURES = {
    b"\x89PNG": ".png",
    b"RIFF": ".webp",
    b"GIF8": ".gif",
    b"BM": ".bmp",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
}


class Row(NamedTuple):
    """An image file's content, and the number or the name of its class, if it has one."""

    content: bytes
    label: int | str | None


def packed(name: str, content: str, rows: Iterable[Row], count: int) -> Path:
    """Returns the shard in the cache that holds these rows; written unless it is there, and then whole.

    Args:
        name: what the user calls the images.
        content: what tells them from others and from earlier ones of the name.
        rows: are read only to be written.
        count: how many there are.

    Raises:
        UsageError: the shard cannot be written.
    """
    stem = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in Path(name).stem)[:50]
    folder = cache_folder() / f"{stem}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
    try:
        if not folder.exists():
            with partial_folder(folder.name) as partial:
                if not folder.exists():  # another process may have written it meanwhile
                    _write(partial / SHARD, tqdm(rows, f"reading {printable(name)}", count, disable=None))
                    partial.rename(folder)
    except OSError as error:
        raise UsageError(f"{name}: cannot be written to {cache_folder()} ({error.strerror or error})") from error
    return folder / SHARD


def _write(path: Path, rows: Iterable[Row]) -> None:
    with closing(tarfile.open(path, "w")) as tar:
        for number, row in enumerate(rows):
            for file_name, content in _files(f"{number:09}", row):
                header = tarfile.TarInfo(file_name)
                header.size = len(content)
                tar.addfile(header, io.BytesIO(content))
                tar.members.clear()  # type: ignore[attr-defined]


def _files(key: str, row: Row) -> Iterator[tuple[str, bytes]]:
    """Yields the files of a sample."""
    extension = next((end for start, end in SIGNATURES.items() if row.content.startswith(start)), ".jpg")
    yield f"{key}{extension}", row.content
    if row.label is not None:
        yield f"{key}.cls", str(row.label).encode()
