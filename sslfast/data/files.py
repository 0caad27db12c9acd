"""Image files that are read whenever a batch needs them: their sizes, which way up, and who decodes them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sslfast.data.sources import Source
from sslfast.data.sources.form import Levels
from sslfast.data.sources.header import UPRIGHT, Header, read_header
from sslfast.data.sources.images import UnreadableImage, why_unreadable
from sslfast.data.sources.members import Member
from sslfast.data.sources.parts import as_array
from sslfast.data.sources.rgb import read_samples

# Of these formats and modes, of 8 bits and without transparency, DALI 2.4 decodes the pixels that Pillow does, but
# for a level in JPEGs. Others it refuses (GIF, AVIF, TIFF of one bit), decodes differently (PGM of a maximum below
# 255, floats), or has in too many kinds to know (TIFF, BMP). Of JPEGs that are not YCbCr (CMYK, RGB) only its CPU
# decoder is known to agree.
FORMATS = frozenset({"JPEG", "MPO", "PNG", "WEBP"})
MODES = frozenset({"L", "P", "RGB"})
END_OF_JPEG = b"\xff\xd9"

Shape = tuple[int, int]  # height, width


class Decoder(IntEnum):
    """The decoder of a file."""

    UNKNOWN = 0  # its header has not been read yet
    DALI = 1
    PILLOW = 2
    NONE = 3  # unreadable


class Files:
    """The sizes and decoders of a source's files; each header is read when its file is first needed.

    Attributes:
        heights: int64 (N,), upright, in pixels; 0 where unknown or unreadable.
        widths: int64 (N,), likewise.
        orientation: int64 (N,), EXIF's, of what the file's decoder makes: upright where that is Pillow.
        decoder: uint8 (N,), a `Decoder` each.
        in_archives: whether some lie in archives: DALI cannot read them by their paths.
    """

    def __init__(self, source: Source, threads: int) -> None:
        """
        Args:
            source: of files; those that cannot be read go into its record of bad files.
            threads: that read headers, to hide the latency of a network's file system, and decode with Pillow.
        """
        assert source.paths is not None
        self.source = source
        self.paths: Sequence[Path] = source.paths
        self.in_archives = any(isinstance(path, Member) for path in source.paths)
        self.heights = np.zeros(len(source), dtype=np.int64)
        self.widths = np.zeros(len(source), dtype=np.int64)
        self.orientation = np.full(len(source), UPRIGHT, dtype=np.int64)
        self.decoder = np.full(len(source), Decoder.UNKNOWN, dtype=np.uint8)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="files")

    def close(self) -> None:
        """Ends the threads."""
        self._pool.shutdown(cancel_futures=True)

    def readable(self, indices: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tells which files can be read, as far as their headers tell.

        Args:
            indices: (B,) positions in the source.

        Returns:
            bool (B,).

        Raises:
            UsageError: too many files cannot be read.
        """
        unknown = indices[self.decoder[indices] == Decoder.UNKNOWN]
        list(self._pool.map(self._read_header, unknown))
        return self.decoder[indices] != Decoder.NONE

    def for_dali(self, paths: Sequence[Path]) -> list[NDArray[np.uint8]]:
        """Returns what DALI is given of files: their paths, or, where some lie in archives, their contents."""
        if not self.in_archives:
            return [np.frombuffer(os.fsencode(path), dtype=np.uint8) for path in paths]
        return [np.frombuffer(content, dtype=np.uint8) for content in self._pool.map(_content, paths)]

    def pixels(self, indices: NDArray[np.int64]) -> list[Levels]:
        """Decodes files with Pillow.

        Returns:
            (height, width, C) of each, upright, in the source's form.

        Raises:
            UnreadableImage: one has become unreadable or another image since its header was read; it is known from
                now on.
            UsageError: too many files cannot be read.
        """
        images = list(self._pool.map(self._decode, indices))
        if any(image is None for image in images):
            raise UnreadableImage("a file has changed since its header was read")
        return [image for image in images if image is not None]

    def examine(self, indices: NDArray[np.int64], decode: Callable[[list[Path]], list[Shape | None]]) -> bool:
        """Finds out which of the files made DALI fail: Pillow decodes them from now on, or they are given up.

        Args:
            indices: of the failed batch.
            decode: tries DALI on each file; the decoded shapes, None for a failure.

        Returns:
            Whether there was any.

        Raises:
            UsageError: too many files cannot be read.
        """
        suspects = indices[self.decoder[indices] == Decoder.DALI]
        shapes = decode([self.paths[i] for i in suspects])
        failed = [i for i, shape in zip(suspects, shapes, strict=True) if shape != self._stored_shape(i)]
        for i in failed:
            self._decode(i)
        return bool(failed)

    def _stored_shape(self, index: int) -> Shape:
        return Header(self.heights[index], self.widths[index], self.orientation[index]).stored_shape

    def _read_header(self, index: int) -> None:
        """Finds out a file's size and decoder by its header, and by its end where it is a JPEG."""
        try:
            with self.paths[index].open("rb") as file, Image.open(file) as image:
                by_dali = _is_plain(image) and not (image.format == "WEBP" and _is_extended(file))
                header = read_header(image)
                if image.format in ("JPEG", "MPO") and not _complete(file):
                    # Cut short, or followed by other bytes? Pillow refuses half an image; nvJPEG may not.
                    image.load()
        except Exception as error:  # broken headers make Pillow raise nearly anything
            self._give_up(index, why_unreadable(error))
        else:
            orientation = header.orientation if by_dali else UPRIGHT
            self._learn(
                index, header._replace(orientation=orientation), Decoder.DALI if by_dali else Decoder.PILLOW
            )

    def _decode(self, index: int) -> Levels | None:
        """Decodes a file with Pillow, which does so from now on; None: it is not what its header said."""
        try:
            pixels = as_array(self.source.parts(index))
        except UnreadableImage as error:
            self._give_up(index, str(error))
            return None
        expected = self.heights[index], self.widths[index]
        height, width = pixels.shape[:2]
        self._learn(index, Header(height, width, UPRIGHT), Decoder.PILLOW)
        return pixels if expected == (height, width) else None

    def _learn(self, index: int, header: Header, decoder: Decoder) -> None:
        self.heights[index], self.widths[index], self.orientation[index] = header
        self.decoder[index] = decoder

    def _give_up(self, index: int, reason: str) -> None:
        """Records a file as unreadable, by text: an exception would keep its frames, and the pipeline, alive."""
        self.decoder[index] = Decoder.NONE
        self.source.bad.add(self.paths[index], reason)


def _content(path: Path) -> bytes:
    """Reads the bytes of a file; of one that cannot be read, none, which no decoder takes."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _is_plain(image: Image.Image) -> bool:
    """Tells whether DALI decodes the image, opened and not loaded, as Pillow does."""
    is_film = getattr(image, "is_animated", False) and image.format != "MPO"
    keeps_rgb = image.mode == "RGB" and image.info.get("adobe_transform") == 0  # a JPEG's
    return (
        image.format in FORMATS
        and image.mode in MODES
        and not image.has_transparency_data
        and not read_samples(image).is_deep_color
        and not is_film
        and not keeps_rgb
    )


def _is_extended(webp: BinaryIO) -> bool:
    """Tells whether a file has chunks beside its pixels, as for EXIF, whose padding DALI takes for its end."""
    webp.seek(12)
    return webp.read(4) == b"VP8X"


def _complete(jpeg: BinaryIO) -> bool:
    """Tells whether the file ends as a whole JPEG does."""
    jpeg.seek(-len(END_OF_JPEG), os.SEEK_END)
    return jpeg.read() == END_OF_JPEG
