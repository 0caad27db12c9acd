"""Decompression that is strict about the end: all streams are whole, and nothing but zeros follows them."""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable
from typing import Protocol

CHUNK = 2**18  # bytes read at a time


class Decompressor(Protocol):
    """What `bz2.BZ2Decompressor` and `lzma.LZMADecompressor` have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class GzipDecompressor:
    """A `Decompressor` of one gzip member, whose checksum and length it verifies."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(zlib.MAX_WBITS | 16)  # 16: with gzip's header and trailer

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


DECOMPRESSORS: dict[bytes, Callable[[], Decompressor]] = {  # by a file's first bytes
    b"\x1f\x8b": GzipDecompressor,
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ\0": lzma.LZMADecompressor,
}


def uncompressed(file: io.BufferedReader) -> io.BufferedReader:
    """Returns the content of a file: decompressed if it is compressed by gzip, bzip2 or xz, else the file itself.

    Raises:
        EOFError: on reading, the last compressed stream is cut short.
        OSError, zlib.error, lzma.LZMAError: on reading, the compressed data is damaged, or other bytes follow it.
    """
    start = file.peek(max(map(len, DECOMPRESSORS)))
    for magic, make in DECOMPRESSORS.items():
        if start.startswith(magic):
            return io.BufferedReader(_Decompressed(file, make), CHUNK)
    return file


class _Decompressed(io.RawIOBase):
    """One compressed stream after the other, as parallel compressors write them.

    Python's own readers of bzip2 and xz silently end where a stream after the first is damaged.
    """

    def __init__(self, file: io.BufferedReader, make: Callable[[], Decompressor]) -> None:
        self._file, self._make = file, make
        self._decompressor = make()
        self._pending = b""  # the start of a stream, read together with the end of the one before it

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _read(self, size: int) -> bytes:
        """Reads at least a byte and at most `size`; none at the end."""
        while not self._decompressor.eof or self._open_next():
            data, self._pending = self._pending, b""
            starving = self._decompressor.needs_input and not data
            if starving:
                data = self._file.read1(CHUNK)
            if content := self._decompressor.decompress(data, size):
                return content
            if starving and not data and not self._decompressor.eof:
                raise EOFError("the compressed data is cut short")
        return b""

    def _open_next(self) -> bool:
        """Goes on to the next stream, past the zeros that pad the one before; False where there is none."""
        data = self._decompressor.unused_data or self._file.read1(CHUNK)
        while data and not data.strip(b"\0"):
            data = self._file.read1(CHUNK)
        if data:
            self._decompressor, self._pending = self._make(), data.lstrip(b"\0")
        return bool(data)
