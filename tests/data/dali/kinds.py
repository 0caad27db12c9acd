"""Files of every kind: good ones, and those that cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from sslfast.data.sources import Source, open_source
from tests.data.photographs import cut, photograph


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def gray16(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 200)


def translucent(image: Image.Image) -> Image.Image:
    image.putalpha(photograph(99, image.height, image.width).convert("L"))
    return image


def same(image: Image.Image) -> Image.Image:
    return image


def transparent_palette(image: Image.Image) -> Image.Image:
    """Of every palette entry another transparency."""
    image = image.convert("P")
    image.info["transparency"] = bytes(range(256))
    return image


def mode(name: str) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.convert(name)


KINDS: list[tuple[str, Callable[[Image.Image], Image.Image], dict[str, object]]] = [
    ("rgb.jpg", same, {}),
    ("gray.jpg", mode("L"), {}),
    ("cmyk.jpg", mode("CMYK"), {}),
    ("progressive.jpg", same, {"progressive": True}),
    *((f"exif{orientation}.jpg", same, {"exif": exif(orientation)}) for orientation in range(1, 9)),
    ("rgb.png", same, {}),
    ("gray.png", mode("L"), {}),
    ("palette.png", mode("P"), {}),
    ("transparent-palette.png", transparent_palette, {}),
    ("bilevel.png", mode("1"), {}),
    ("gray16.png", gray16, {}),
    ("rgba.png", translucent, {}),
    ("exif6.png", same, {"exif": exif(6)}),
    ("rgb.webp", same, {}),
    ("lossless.webp", same, {"lossless": True}),
    ("rgba.webp", translucent, {"lossless": True}),
    ("rgb.bmp", same, {}),
    ("palette.bmp", mode("P"), {}),
    ("rgb.tif", same, {}),
    ("lzw.tif", same, {"compression": "tiff_lzw"}),
    ("gray16.tif", gray16, {}),
    ("bilevel.tif", mode("1"), {}),
    ("cmyk.tif", mode("CMYK"), {}),
    ("rgb.gif", same, {}),
    (
        "animated.gif",
        same,
        {"save_all": True, "append_images": [photograph(100, 32, 40)]},
    ),
    ("rgb.ppm", same, {}),
]


def save_kinds(folder: Path) -> Source:
    for number, (name, convert, options) in enumerate(KINDS):
        convert(photograph(number, 32, 40)).save(folder / name, **options)
    return open_source(str(folder))


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 40] = bytes(40)
    path.write_bytes(data)


BAD_KINDS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "truncated JPEG": ("jpg", cut),
    "truncated PNG": ("png", cut),
    "truncated WebP": ("webp", cut),
    "truncated BMP": ("bmp", cut),
    "truncated TIFF": ("tif", cut),
    "truncated GIF, which Pillow decodes": ("gif", cut),
    "corrupt PNG": ("png", spoil),
    "empty": ("jpg", lambda path: path.write_bytes(b"")),
    "header only": ("jpg", lambda path: path.write_bytes(path.read_bytes()[:30])),
    "text": ("jpg", lambda path: path.write_text("no image\n" * 30)),
    "vanished": ("jpg", Path.unlink),
}
