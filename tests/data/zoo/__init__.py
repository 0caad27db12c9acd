"""A zoo of image files: formats, modes, depths, orientations, tags, sizes, each with the pixels it stands for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.data.zoo import gray, jpeg, others, png, tiff, turned
from tests.data.zoo.specimen import Specimen

ROOMS = (jpeg, png, tiff, gray, others, turned)


def specimens() -> Iterator[Specimen]:
    """Yields every specimen, named apart."""
    for room in ROOMS:
        yield from room.specimens()


def write_zoo(folder: Path) -> list[Specimen]:
    """Writes every specimen's file; returns them in the order of their names, as a source lists them."""
    zoo = sorted(specimens(), key=lambda specimen: specimen.name)
    for specimen in zoo:
        (folder / specimen.name).write_bytes(specimen.content)
    return zoo
