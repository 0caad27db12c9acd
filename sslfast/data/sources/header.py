"""The header of an image file: how large its image is, and which way up."""

from __future__ import annotations

from typing import NamedTuple

from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IMAGELENGTH, IMAGEWIDTH, TiffImageFile

UPRIGHT = 1  # the orientation of an image that is stored as it is to be shown
TURNED = range(2, 9)
TRANSPOSED = range(5, 9)  # the orientations under which height and width change places


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
        """Height and width of the pixels as they lie in the file."""
        return (self.width, self.height) if self.orientation in TRANSPOSED else (self.height, self.width)


def read_header(image: Image.Image) -> Header:
    """Read how large an image is and which way up, by EXIF or, where that is silent, by XMP.

    Args:
        image: opened, and not loaded: loading a TIFF turns it upright.
    """
    orientation = image.getexif().get(ExifTags.Base.Orientation)
    orientation = int(orientation) if orientation in TURNED else UPRIGHT
    width, height = image.size
    if isinstance(image, TiffImageFile):  # whose `size` is upright under some of the orientations
        width, height = image.tag_v2[IMAGEWIDTH], image.tag_v2[IMAGELENGTH]
    if orientation in TRANSPOSED:
        width, height = height, width
    return Header(height, width, orientation)
