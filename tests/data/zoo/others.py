"""BMP, GIF, WebP, AVIF, JPEG 2000, TGA, QOI."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image, features

from tests.data.zoo.specimen import Pixels, Specimen, by_pillow, on_white, picture, rgb, saved


def bmp(pixels: Pixels, bits: int) -> bytes:
    """Writes a BMP of colors of 24 bits, stored from the top, or of 16: 5, 6 and 5."""
    height, width, _ = pixels.shape
    if bits == 24:
        lines, kind, masks = pixels[..., ::-1], 0, b""
    else:
        red, green, blue = (pixels[..., c].astype(np.uint16) >> shift for c, shift in enumerate((3, 2, 3)))
        lines = (red << 11 | green << 5 | blue).astype("<u2")[..., None].view(np.uint8)
        kind, masks = 3, struct.pack("<III", 0xF800, 0x07E0, 0x001F)
    content = lines.tobytes()
    start = 54 + len(masks)
    header = struct.pack("<2sIII", b"BM", start + len(content), 0, start)
    return header + struct.pack("<IiiHHIIiiII", 40, width, -height, 1, bits, kind, 0, 0, 0, 0, 0) + masks + content


def specimens() -> Iterator[Specimen]:
    pixels, alpha = picture(40), picture(41)[..., 0]
    image = Image.fromarray(pixels)
    gray, palette, bilevel = image.convert("L"), image.convert("P"), image.convert("1")
    translucent = image.copy()
    translucent.putalpha(Image.fromarray(alpha))
    other = Image.fromarray(picture(42))
    by_mode = {
        "rgb": (image, pixels),
        "gray": (gray, rgb(np.asarray(gray))),
        "palette": (palette, np.asarray(palette.convert("RGB"))),
        "rgba": (translucent, on_white(pixels, alpha)),
    }
    for kind, modes in {
        "BMP": ("rgb", "gray", "palette"),
        "TGA": ("rgb", "gray", "palette", "rgba"),
        "QOI": ("rgb", "rgba"),
    }.items():
        for mode in modes:
            source, expected = by_mode[mode]
            yield Specimen(f"{mode}.{kind.lower()}", saved(source, kind), expected, int(mode == "rgba"))
    yield Specimen("bilevel.bmp", saved(bilevel, "BMP"), rgb(255 * np.asarray(bilevel)))
    yield Specimen("downwards.bmp", bmp(pixels, 24), pixels)
    most = np.array([31, 63, 31])
    coarse = np.floor((pixels >> np.array([3, 2, 3])) * (255 / most)).astype(np.uint8)
    yield Specimen("16-bits.bmp", bmp(pixels, 16), coarse, 1)
    yield Specimen("packed.tga", saved(image, "TGA", compression="tga_rle"), pixels)
    yield Specimen("downwards.tga", saved(image, "TGA", orientation=1), pixels)
    yield by_pillow("rgb.gif", saved(image, "GIF"))
    yield by_pillow("gray.gif", saved(gray, "GIF"))
    film = {"save_all": True, "append_images": [other]}
    yield by_pillow("animated.gif", saved(image, "GIF", **film))
    if features.check("webp"):
        yield by_pillow("lossy.webp", saved(image, "WEBP"), 1)
        yield by_pillow("gray.webp", saved(gray, "WEBP"), 1)
        yield Specimen("lossless.webp", saved(image, "WEBP", lossless=True), pixels)
        content = saved(translucent, "WEBP", lossless=True, exact=True)
        yield Specimen("rgba.webp", content, on_white(pixels, alpha), 1)
        yield Specimen("animated.webp", saved(image, "WEBP", lossless=True, **film), pixels)
        for height, width in ((1, 1), (15, 33)):
            small = picture(43, height, width)
            yield Specimen(
                f"size-{height}x{width}.webp", saved(Image.fromarray(small), "WEBP", lossless=True), small
            )
    if features.check("avif"):
        yield by_pillow("rgb.avif", saved(image, "AVIF", speed=10))
    if features.check("jpg_2000"):
        for extension in ("jp2", "jpx", "jpf"):
            yield Specimen(f"rgb.{extension}", saved(image, "JPEG2000"), pixels)
        for extension in ("j2k", "j2c", "jpc"):
            yield Specimen(f"rgb.{extension}", saved(image, "JPEG2000", no_jp2=True), pixels)
        deep = Image.fromarray(257 * np.asarray(gray).astype(np.uint16))
        yield Specimen("gray-16.jp2", saved(deep, "JPEG2000"), rgb(np.asarray(gray)))
        yield Specimen("rgba.jp2", saved(translucent, "JPEG2000"), on_white(pixels, alpha), 1)
