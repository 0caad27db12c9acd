"""The image files of a source, as DALI needs to know them: the size of each, and whether DALI can decode it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from sslfast.data.sources import Source
from sslfast.data.sources.images import UnreadableImage

# Of these formats and modes, transparency apart, DALI 2.4 makes the same RGB as `images.as_rgb_mode`. It refuses
# others (GIF, AVIF, TIFF of one bit) or makes them differently (floats); of CMYK only its CPU decoder is known to
# agree.
FORMATS = frozenset({"JPEG", "MPO", "PNG", "WEBP", "BMP", "TIFF", "PPM"})
MODES = frozenset({"L", "P", "RGB"})
TRANSPOSING_ORIENTATIONS = range(5, 9)  # of EXIF: height and width change places
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
        decoder: uint8 (N,), a `Decoder` each.
    """

    def __init__(self, source: Source, threads: int) -> None:
        """
        Args:
            source: of files; those that cannot be read go into its record of bad files.
            threads: that read headers, to hide the latency of a network's file system.
        """
        assert source.paths is not None
        self.source = source
        self.paths: Sequence[Path] = source.paths
        self.heights = np.zeros(len(source), dtype=np.int64)
        self.widths = np.zeros(len(source), dtype=np.int64)
        self.decoder = np.full(len(source), Decoder.UNKNOWN, dtype=np.uint8)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="headers")

    def readable(self, indices: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which files can be read, as far as their headers tell.

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

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """Decode a file with Pillow.

        Returns:
            RGB, (height, width, 3).

        Raises:
            UnreadableImage: it has become unreadable since its header was read; `readable` knows from now on.
            UsageError: too many files cannot be read.
        """
        try:
            image = self.source.image(index)
        except UnreadableImage as error:
            self._give_up(index, error)
            raise
        self._learn(index, (image.height, image.width), Decoder.PILLOW)
        return np.asarray(image)

    def examine(self, indices: NDArray[np.int64], decode: Callable[[list[Path]], list[Shape | None]]) -> bool:
        """Find out which of the files made DALI fail: Pillow decodes them from now on, or they are given up.

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
        failed = [
            i for i, shape in zip(suspects, shapes, strict=True) if shape != (self.heights[i], self.widths[i])
        ]
        for i in failed:
            try:
                self.pixels(i)
            except UnreadableImage:
                continue  # `pixels` has recorded it
        return bool(failed)

    def _read_header(self, index: int) -> None:
        """Find out a file's size and decoder by its header, and by its end where it is a JPEG."""
        try:
            with self.paths[index].open("rb") as file, Image.open(file) as image:
                transposed = image.getexif().get(ExifTags.Base.Orientation) in TRANSPOSING_ORIENTATIONS
                shape = (image.width, image.height) if transposed else (image.height, image.width)
                plain = image.format in FORMATS and image.mode in MODES and not image.has_transparency_data
                if image.format in ("JPEG", "MPO") and not _complete(file):
                    # Cut short, or followed by other bytes? Pillow refuses half an image; nvJPEG may not.
                    image.load()
        except Exception as error:  # broken headers make Pillow raise nearly anything
            self._give_up(index, error)
        else:
            self._learn(index, shape, Decoder.DALI if plain else Decoder.PILLOW)

    def _learn(self, index: int, shape: Shape, decoder: Decoder) -> None:
        self.heights[index], self.widths[index] = shape
        self.decoder[index] = decoder

    def _give_up(self, index: int, reason: Exception) -> None:
        self.decoder[index] = Decoder.NONE
        self.source.bad.add(self.paths[index], reason)


def _complete(jpeg: BinaryIO) -> bool:
    """Whether the file ends as a whole JPEG does."""
    jpeg.seek(-len(END_OF_JPEG), os.SEEK_END)
    return jpeg.read() == END_OF_JPEG
