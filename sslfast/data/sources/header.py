"""The header of an image file: how large its image is, and which way up."""

from __future__ import annotations

import os
from typing import IO, NamedTuple

from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import IMAGELENGTH, IMAGEWIDTH, TiffImageFile

UPRIGHT = 1  # the orientation of an image that is stored as it is to be shown
TURNED = range(2, 9)
TRANSPOSED = range(5, 9)  # the orientations under which height and width change places
PNG_SIGNATURE = 8  # bytes
PNG_METADATA = (b"eXIf", b"iTXt", b"tEXt", b"zTXt")


class Header(NamedTuple):
    """The size and the orientation of an image.

    Attributes:
        height: of the upright image, in pixels.
        width: likewise.
        orientation: EXIF's, from 1 to 8: how the pixels lie in the file.
    """

    height: int
    width: int
    orientation: int

    @property
    def stored_shape(self) -> tuple[int, int]:
        """Returns height and width of the pixels as they lie in the file."""
        return (self.width, self.height) if self.orientation in TRANSPOSED else (self.height, self.width)


def read_header(image: Image.Image) -> Header:
    """Reads how large an image is and which way up, by EXIF or, where that is silent, by XMP.

    Args:
        image: opened, and not loaded: loading a TIFF turns it upright.
    """
    orientation = _exif(image).get(ExifTags.Base.Orientation, UPRIGHT)
    orientation = int(orientation) if orientation in TURNED else UPRIGHT
    width, height = image.size
    if isinstance(image, TiffImageFile):  # whose `size` is upright under some of the orientations
        width, height = image.tag_v2[IMAGEWIDTH], image.tag_v2[IMAGELENGTH]
    if orientation in TRANSPOSED:
        width, height = height, width
    return Header(height, width, orientation)


def _exif(image: Image.Image) -> Image.Exif:
    """Reads the EXIF and XMP of an image; Pillow would decode a PNG for what may follow its pixels."""
    if isinstance(image, PngImageFile) and image.fp and not _has_late_metadata(image.fp):
        return Image.Image.getexif(image)
    return image.getexif()


def _has_late_metadata(png: IO[bytes]) -> bool:
    """Tells whether a PNG has chunks of metadata after its pixels; the file is left where it was."""
    position = png.tell()
    png.seek(PNG_SIGNATURE)
    after_pixels = False
    try:
        while len(start := png.read(8)) == 8:
            length, name = int.from_bytes(start[:4], "big"), start[4:]
            if after_pixels and name in PNG_METADATA:
                return True
            after_pixels = after_pixels or name == b"IDAT"
            png.seek(length + 4, os.SEEK_CUR)  # the chunk and its checksum
        return False
    finally:
        png.seek(position)
