"""Images that are stored turned: by EXIF well and badly made, by XMP alone, in every format that has them."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image, features

from tests.data.zoo.exif import ODD, oriented, xmp
from tests.data.zoo.jpeg import segment
from tests.data.zoo.png import from_rgb
from tests.data.zoo.specimen import TURNS, Specimen, by_pillow, picture, rgb, saved
from tests.data.zoo.tiff import BLACK_IS_ZERO, RGB, tiff

XMP_IN_JPEG = b"http://ns.adobe.com/xap/1.0/\0"
XMP_IN_PNG = b"XML:com.adobe.xmp\0\0\0\0\0"
EXIF_FLAG, XMP_FLAG = 8, 4  # of WebP's extended header


def extended_webp(webp: bytes, flag: int, name: bytes, payload: bytes) -> bytes:
    """Makes a WebP of the usual size with a further chunk."""
    size = (struct.pack("<I", side - 1)[:3] for side in (40, 32))
    extended = b"VP8X" + struct.pack("<I", 10) + bytes([flag, 0, 0, 0]) + b"".join(size)
    further = name + struct.pack("<I", len(payload)) + payload + bytes(len(payload) % 2)
    body = b"WEBP" + extended + webp[12:] + further
    return b"RIFF" + struct.pack("<I", len(body)) + body


def specimens() -> Iterator[Specimen]:
    pixels = picture(50)
    image = Image.fromarray(pixels)
    jpeg = saved(image, "JPEG")
    webp = saved(image, "WEBP", lossless=True) if features.check("webp") else None
    for orientation, turn in TURNS.items():
        upright, tags = np.ascontiguousarray(turn(pixels)), oriented(orientation)
        gray = pixels[..., :1].astype(np.uint16) * 257
        name = f"turned-{orientation}"
        yield by_pillow(f"{name}.jpg", segment(jpeg, 0xE1, b"Exif\0\0" + tags), 1)
        yield by_pillow(f"{name}-xmp.jpg", segment(jpeg, 0xE1, XMP_IN_JPEG + xmp(orientation)), 1)
        yield Specimen(f"{name}-before.png", from_rgb(pixels, [(b"eXIf", tags)]), upright)
        yield Specimen(f"{name}-after.png", from_rgb(pixels, after=[(b"eXIf", tags)]), upright)
        yield Specimen(f"{name}.tif", tiff(pixels, RGB, orientation=orientation), upright)
        yield Specimen(f"{name}-xmp.tif", tiff(pixels, RGB, xmp=xmp(orientation)), upright)
        content = tiff(pixels[..., :1], BLACK_IS_ZERO, orientation=orientation)
        yield Specimen(f"{name}-gray.tif", content, rgb(upright[..., 0]))
        content = tiff(gray, BLACK_IS_ZERO, order=">", orientation=orientation)
        yield Specimen(f"{name}-16.tif", content, rgb(upright[..., 0]))
        content = saved(image, "TIFF", compression="tiff_lzw", tiffinfo={274: orientation})
        yield Specimen(f"{name}-lzw.tif", content, upright)
        if webp:
            yield Specimen(f"{name}.webp", extended_webp(webp, EXIF_FLAG, b"EXIF", tags), upright)
        if features.check("avif"):
            yield by_pillow(f"{name}.avif", saved(image, "AVIF", speed=10, exif=tags))
    for odd, tags in ODD.items():
        yield by_pillow(f"odd-{odd}.jpg", segment(jpeg, 0xE1, b"Exif\0\0" + tags), 1)
        yield by_pillow(f"odd-{odd}.png", from_rgb(pixels, [(b"eXIf", tags)]))
        if webp:
            yield by_pillow(f"odd-{odd}.webp", extended_webp(webp, EXIF_FLAG, b"EXIF", tags))
            yield by_pillow(f"odd-{odd}-prefix.webp", extended_webp(webp, EXIF_FLAG, b"EXIF", b"Exif\0\0" + tags))
    if webp:  # with a chunk of odd length, which is padded
        small = Image.fromarray(picture(52, 21, 33))
        content = saved(small, "WEBP", lossless=True, exif=oriented(6), icc_profile=bytes(201))
        yield by_pillow("padded.webp", content)
    both = segment(segment(jpeg, 0xE1, XMP_IN_JPEG + xmp(6)), 0xE1, b"Exif\0\0" + oriented(3))
    yield by_pillow("turned-exif-and-xmp.jpg", both, 1)
    element = xmp(8, as_element=True)
    yield by_pillow("turned-xmp-element.jpg", segment(jpeg, 0xE1, XMP_IN_JPEG + element), 1)
    yield Specimen("turned-xmp.png", from_rgb(pixels, [(b"iTXt", XMP_IN_PNG + xmp(6))]), TURNS[6](pixels))
    yield Specimen(
        "turned-xmp-after.png", from_rgb(pixels, after=[(b"iTXt", XMP_IN_PNG + element)]), TURNS[8](pixels)
    )
    if webp:
        yield Specimen("turned-xmp.webp", extended_webp(webp, XMP_FLAG, b"XMP ", xmp(6)), TURNS[6](pixels))
    # Not square, and so unequal that a turn of what is already turned does not fit.
    wide = Image.fromarray(picture(51, 9, 70))
    for orientation in (5, 6, 7, 8):
        yield by_pillow(
            f"strip-{orientation}.jpg", segment(saved(wide, "JPEG"), 0xE1, b"Exif\0\0" + oriented(orientation)), 1
        )
