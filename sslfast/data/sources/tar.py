"""The files of a tar archive of images: each is named, checked, and written below one folder."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath

from sslfast.errors import printable

CHUNK = 2**20  # bytes written at a time, and the most that a header may have
BLOCK = tarfile.BLOCKSIZE
LONGEST_NAME = 255  # bytes of a part of a path, as file systems have it
LEAST_ROOM = 4096  # bytes that a member takes at least on a disk
SPARE = 2**26  # bytes that stay free on the disk
MOST_PADDING = 2**20  # bytes of zeros after the end; writers pad to a record, which seldom has more than 10 KiB

KINDS = {
    tarfile.SYMTYPE: "a symbolic link (tar --dereference packs what it points to)",
    tarfile.LNKTYPE: "a hard link (tar --hard-dereference packs the file again)",
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a fifo",
}


class UnsafeMember(Exception):
    """A member that no archive of images needs, or that would land elsewhere. The text names it and says why."""


class DamagedArchive(Exception):
    """An archive that is cut short or damaged. The text says where."""


class TooLarge(Exception):
    """An archive that unpacks to more than it may. The text says how much."""


def unpack(file: io.BufferedReader, folder: Path, limit: int) -> int:
    """Writes the files of a tar archive below a folder, and reads it to its end.

    Of a member only the name and the content are taken: no mode, owner or time. Empty folders are left out.

    Args:
        file: the uncompressed archive, which is read forward only.
        folder: empty.
        limit: bytes that may be unpacked, where a member counts at least 4096.

    Returns:
        The number of files.

    Raises:
        UnsafeMember: a member is neither a file nor a folder, is named so that it would land outside the folder or
            that file systems cannot hold its name, or would replace another.
        TooLarge: more than `limit`, or than the disk has room for.
        DamagedArchive: a header or compressed data is damaged, the archive ends without its two blocks of zeros,
            or more than 1 MiB of zeros or anything else follows them.
        OSError: a file cannot be written.
    """
    stream = _Stream(file, limit)
    made = {folder}
    files = 0
    where = "at its start"
    try:
        with tarfile.open(fileobj=stream, mode="r:") as tar:  # type: ignore[call-overload]
            while (member := tar.next()) is not None:
                where = f"at {_shown(member)}"
                path = folder / checked_path(member)
                stream.charge(LEAST_ROOM)
                if member.isreg():
                    _make_folders(path.parent, folder, made)
                    _write(stream, member, path)
                    files += 1
                tar.members.clear()  # a million of them would take a gigabyte
        stream.expect_end()
    except FileExistsError as error:
        raise UnsafeMember(f"{_shown(member)} would replace another of its name") from error
    except (UnsafeMember, TooLarge):
        raise
    except Exception as error:  # damaged bytes make tarfile and decompressors raise nearly anything
        if isinstance(error, OSError) and error.errno is not None:  # bzip2's has none
            raise
        reason = " ".join(str(error).split())
        raise DamagedArchive(f"{where}: {reason}") from error
    return files


def checked_path(member: tarfile.TarInfo) -> PurePosixPath:
    """Returns the relative path of a member that is a file or a folder. Raises UnsafeMember for others."""
    if member.issparse() or not (member.isreg() or member.isdir()):
        kind = KINDS.get(member.type, "neither a plain file nor a folder")
        raise UnsafeMember(f"{_shown(member)} is {kind}; images need files and folders only")
    path = PurePosixPath(member.name)
    reason = ""
    if path.is_absolute():
        reason = "has an absolute path"
    elif ".." in path.parts:
        reason = "leads out of its folder"
    elif "\\" in member.name or "\0" in member.name:
        reason = "has a backslash or a zero byte in its name"
    elif not path.parts and member.isreg():
        reason = "has no name"
    elif any(len(os.fsencode(part)) > LONGEST_NAME for part in path.parts):
        reason = f"has a name of more than {LONGEST_NAME} bytes"
    if reason:
        raise UnsafeMember(f"{_shown(member)} {reason}")
    return path


def _make_folders(folder: Path, root: Path, made: set[Path]) -> None:
    """Makes a folder and those above it up to the root.

    Raises:
        FileExistsError: a file has the name, or, where the file system takes two spellings for one name, a folder
            that is spelled otherwise.
        UnsafeMember: the folder lies outside the root.
    """
    if folder in made:
        return
    _make_folders(folder.parent, root, made)
    folder.mkdir()
    if not folder.resolve().is_relative_to(root.resolve()):
        raise UnsafeMember(f"{printable(str(folder))} leads out of {root}")
    made.add(folder)


def _write(stream: _Stream, member: tarfile.TarInfo, path: Path) -> None:
    """Writes a member's content to a new file."""
    free = shutil.disk_usage(path.parent).free - SPARE
    if member.size > free:
        raise TooLarge(f"more than the disk of {path.parent} has free")
    stream.seek(member.offset_data)
    with path.open("xb") as file:  # never through a link, never over a file
        for start in range(0, member.size, CHUNK):
            size = min(CHUNK, member.size - start)
            if len(data := stream.read(size)) < size:
                raise DamagedArchive("the archive is cut short")
            file.write(data)


def _shown(member: tarfile.TarInfo) -> str:
    name = printable(member.name)
    return name if len(name) <= 100 else f"{name[:100]}..."


class _Stream:
    """The archive as `tarfile` reads it: forward only, never much at once, and not beyond the limit."""

    def __init__(self, file: io.BufferedReader, limit: int) -> None:
        self._file, self._limit = file, limit
        self._position, self._charged = 0, 0
        self._last = b""  # what was read last: the block that ended the archive, once tarfile knows of no more

    def charge(self, size: int) -> None:
        """Counts bytes to be unpacked. Raises TooLarge beyond the limit."""
        self._charged += size
        if self._charged > self._limit:
            raise TooLarge(f"more than {self._limit / 2**30:.3g} GiB")

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> None:
        if position < self._position:
            raise DamagedArchive("a header leads back")
        while position > self._position and self.read(min(CHUNK, position - self._position)):
            pass

    def read(self, size: int) -> bytes:
        if not 0 <= size <= CHUNK:
            raise DamagedArchive(f"a header claims to have {size} bytes")
        self._last = self._file.read(size)
        self._position += len(self._last)
        self.charge(len(self._last))
        return self._last

    def expect_end(self) -> None:
        """Reads what follows the last member: two blocks of zeros and their padding. Raises DamagedArchive."""
        if len(self._last) < BLOCK:
            raise DamagedArchive("the archive is cut short: it lacks the blocks of zeros that end it")
        if any(self._last):
            raise DamagedArchive(f"the header at byte {self._position - BLOCK} is damaged")
        if len(self.read(BLOCK)) < BLOCK:
            raise DamagedArchive("the archive is cut short: it lacks a block of the zeros that end it")
        padding = 0
        while self._last:
            if any(self._last):
                raise DamagedArchive(f"other bytes follow the end of the archive, before byte {self._position}")
            padding += len(self._last)
            if padding > MOST_PADDING:
                raise DamagedArchive(
                    f"more than {MOST_PADDING} bytes of zeros follow the end, as an unfinished download has them"
                )
            self.read(CHUNK)
