"""Image files: their names, reading one, and cutting a strip down to its middle."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from sslfast.data.sources.deep_png import decode_deep_png, is_deep_png
from sslfast.data.sources.form import Form, ValueRange
from sslfast.data.sources.header import read_header
from sslfast.data.sources.parts import parts_of, parts_of_array
from sslfast.data.sources.rgb import read_samples

EXTENSIONS = frozenset(
    f".{name}"
    for name in (
        *("apng", "avif", "bmp", "gif", "j2c", "j2k", "jfif", "jp2", "jpc", "jpe", "jpeg", "jpf", "jpg", "jpx"),
        *("mpo", "pbm", "pgm", "png", "pnm", "ppm", "qoi", "tga", "tif", "tiff", "webp"),
    )
)
EXPECTED = f"expected .jpg, .png, .tif, .webp or another of {len(EXTENSIONS)} endings"  # for messages

STRIP = 8  # an image that is longer than so many times its width is a strip


class UnreadableImage(Exception):
    """A file that cannot be decoded: empty, truncated, not an image. The text says why."""


def read_rgb(path: Path, value_range: ValueRange | None = None) -> Image.Image:
    """Decodes a file to RGB of 8 bits, as `read_parts` does.

    Args:
        path: the file.
        value_range: as for `as_rgb_mode`.

    Raises:
        UnreadableImage: the file cannot be decoded.
    """
    (image,) = read_parts(path, Form(value_range=value_range))
    return image


def read_parts(path: Path, form: Form) -> list[Image.Image]:
    """Decodes a file, turned upright as `read_header` says; of an animation, the first frame.

    Args:
        path: the file.
        form: of the image.

    Returns:
        Its channels, see `sslfast.data.sources.parts`.

    Raises:
        UnreadableImage: the file cannot be decoded, or not be brought into the form.
    """
    try:
        # Of an open file: given a path, Pillow maps some TIFFs into memory by lines of a wrong length.
        with path.open("rb") as file, Image.open(file) as image:
            samples, header = read_samples(image), read_header(image)
            image.load()
            if image.format != "TIFF":  # which is turned as it is loaded
                ImageOps.exif_transpose(image, in_place=True)
            if image.size != (header.width, header.height):
                size = f"{image.width}x{image.height}"
                raise ValueError(f"{size} pixels, expected {header.width}x{header.height} by the header")
            if form[:2] == (3, 16) and is_deep_png(image, samples, header):
                file.seek(0)
                return parts_of_array(form.of_array(decode_deep_png(file.read())))
            return parts_of(image, samples, form)
    except Exception as error:  # broken files make Pillow's decoders raise nearly anything
        raise UnreadableImage(why_unreadable(error)) from error


def why_unreadable(error: Exception) -> str:
    """Says what a person is told of an error that a file made Pillow raise."""
    if isinstance(error, UnidentifiedImageError):  # whose own text names Pillow's handle of the file
        return "cannot identify it as an image"
    return f"{type(error).__name__}: {error}"


def without_ends(image: Image.Image) -> Image.Image:
    """Returns the middle of a strip, 8 times as long as it is wide; any other image as it is.

    It is cut before an image is resized by its shorter side for the sake of its center: 1 x 5000 pixels would
    become 224 x 1,120,000.
    """
    longest = STRIP * min(image.size)
    width, height = (min(side, longest) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height)) if (width, height) != image.size else image
