"""Files within an uncompressed tar archive, read where they lie."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from pathlib import Path, PosixPath
from typing import Any


class Member(PosixPath):
    """A file within an archive, by its place there; it is read, and named, as a file of its own.

    Its path is that of the archive, with the member's name below it: no file has that path. `at` makes one.
    """

    __slots__ = ("archive", "offset", "size")

    archive: Path
    offset: int  # in bytes
    size: int

    @classmethod
    def at(cls, archive: Path, name: str, offset: int, size: int) -> Member:
        """Makes the member of `size` bytes from `offset` on."""
        member = cls(archive, name)
        member.archive, member.offset, member.size = archive, offset, size
        return member

    def open(self, *args: Any, **kwargs: Any) -> io.BytesIO:  # type: ignore[override]
        """Reads all of it. Arguments are those of `Path.open`, which has to be for reading bytes."""
        return io.BytesIO(self.read_bytes())

    def read_bytes(self) -> bytes:
        with self.archive.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Returns the archive's status, with the member's size. Raises FileNotFoundError beyond its end."""
        status = self.archive.stat(follow_symlinks=follow_symlinks)
        if status.st_size < self.offset + self.size:
            raise FileNotFoundError(f"{self}: is beyond the end of {self.archive}")
        return os.stat_result((*status[:6], self.size, *status[7:10]))

    def with_segments(self, *segments: Any) -> Path:
        return Path(*segments)

    def __reduce__(self) -> tuple[Any, ...]:
        return Member.at, (self.archive, str(self.relative_to(self.archive)), self.offset, self.size)


class Members(PosixPath):
    """The folder of archives, below which their members are found by name, as files are below a folder."""

    __slots__ = ("by_name",)

    by_name: dict[str, Member]

    @classmethod
    def of(cls, folder: Path, members: Iterable[Member]) -> Members:
        """Collects the members of archives in the folder by their names there."""
        found = cls(folder)
        start = len(str(folder / "_")) - 1
        found.by_name = {str(member)[start:]: member for member in members}
        return found

    def __truediv__(self, name: Any) -> Path:  # type: ignore[override]
        return self.by_name.get(str(name)) or Path(self, name)

    def with_segments(self, *segments: Any) -> Path:
        return Path(*segments)

    def __reduce__(self) -> tuple[Any, ...]:
        return Members.of, (Path(self), list(self.by_name.values()))
