"""JPEGs: colors, subsampling, scans, tables, sizes, and what surrounds them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import product

from PIL import Image, ImageCms

from tests.data.zoo.specimen import Specimen, by_pillow, picture, saved

SIZES = [(1, 1), (1, 17), (31, 1), (8, 8), (15, 33), (33, 47), (64, 96), (120, 7)]


def segment(jpeg: bytes, marker: int, payload: bytes) -> bytes:
    """Adds a further segment after a JPEG's start."""
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload + jpeg[2:]


def specimens() -> Iterator[Specimen]:
    for number, (mode, subsampling, progressive) in enumerate(product(("RGB", "L"), (0, 1, 2), (False, True))):
        image = Image.fromarray(picture(number)).convert(mode)
        content = saved(image, "JPEG", quality=60 + 3 * number, subsampling=subsampling, progressive=progressive)
        yield by_pillow(f"{mode}-{subsampling}{'-progressive' * progressive}.jpg", content, 1)
    for height, width in SIZES:
        content = saved(Image.fromarray(picture(1, height, width)), "JPEG")
        yield by_pillow(f"size-{height}x{width}.jpg", content, 1)
    image = Image.fromarray(picture(2))
    content = saved(image, "JPEG")
    for extension in ("jpeg", "jfif", "jpe", "JPG"):
        yield by_pillow(f"named.{extension}", content, 1)
    for name, options in {
        "rgb-not-ycbcr": {"keep_rgb": True},
        "optimized": {"optimize": True},
        "restarts": {"restart_marker_blocks": 2},
        "best": {"quality": 100, "subsampling": 0},
        "worst": {"quality": 1},
        "411": {"subsampling": "4:1:1"},
        "profile": {"icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()},
        "comment": {"comment": b"a comment"},
    }.items():
        yield by_pillow(f"{name}.jpg", saved(image, "JPEG", **options), 1)
    yield by_pillow("cmyk.jpg", saved(image.convert("CMYK"), "JPEG"), 1)
    yield by_pillow("trailing.jpg", content + b"appended by a camera", 1)
    yield by_pillow("garbage-exif.jpg", segment(content, 0xE1, b"Exif\0\0garbage"), 1)
    other = Image.fromarray(picture(3))
    yield by_pillow("several.mpo", saved(image, "MPO", save_all=True, append_images=[other]), 1)
