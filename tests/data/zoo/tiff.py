"""TIFFs, written from the specification: photometric interpretations, depths, byte orders, alpha, compressions."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.data.zoo.specimen import Pixels, Specimen, by_pillow, on_white, picture, rgb, saved

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE = 0, 1, 2, 3
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
SHORT, LONG, BYTE = 3, 4, 1


def tiff(
    samples: NDArray[np.generic],
    photometric: int,
    bits: int | None = None,
    order: str = "<",
    *,
    sample_format: int | None = None,
    extra: int | None = None,
    orientation: int | None = None,
    colormap: NDArray[np.integer] | None = None,
    xmp: bytes | None = None,
    planar: bool = False,
) -> bytes:
    """Writes an uncompressed TIFF of samples (H, W, C) in one strip, or of one strip a channel."""
    height, width, channels = samples.shape
    bits = bits or 8 * samples.dtype.itemsize
    if bits == 12:
        digits = np.unpackbits(samples.astype(">u2").view(np.uint8).reshape(height, -1, 2), axis=-1)[..., 4:]
        strips = [np.packbits(digits.reshape(height, -1), axis=-1).tobytes()]
    else:
        stored = samples.astype(samples.dtype.newbyteorder(order))
        strips = [stored[..., c].tobytes() for c in range(channels)] if planar else [stored.tobytes()]
    tags: dict[int, tuple[int, list[int] | bytes]] = {
        256: (LONG, [width]),
        257: (LONG, [height]),
        258: (SHORT, [bits] * channels),
        259: (SHORT, [1]),
        262: (SHORT, [photometric]),
        277: (SHORT, [channels]),
        278: (LONG, [height]),
        279: (LONG, [len(strip) for strip in strips]),
        284: (SHORT, [2 if planar else 1]),
    }
    if orientation is not None:
        tags[274] = (SHORT, [orientation])
    if colormap is not None:
        tags[320] = (SHORT, colormap.tolist())
    if extra is not None:
        tags[338] = (SHORT, [extra])
    if sample_format is not None:
        tags[339] = (SHORT, [sample_format] * channels)
    if xmp is not None:
        tags[700] = (BYTE, xmp)
    start = 8
    offsets = [start + sum(len(s) for s in strips[:number]) for number in range(len(strips))]
    tags[273] = (LONG, offsets)
    content = b"".join(strips)
    content += bytes(len(content) % 2)
    entries = b""
    for tag, (kind, values) in sorted(tags.items()):
        form = {BYTE: "B", SHORT: "H", LONG: "I"}[kind]
        value = values if isinstance(values, bytes) else struct.pack(order + form * len(values), *values)
        if len(value) > 4:
            place = start + len(content)
            content += value + bytes(len(value) % 2)
            value = struct.pack(order + "I", place)
        entries += struct.pack(order + "HHI", tag, kind, len(values)) + value.ljust(4, b"\0")
    signature = b"II*\0" if order == "<" else b"MM\0*"
    directory = struct.pack(order + "H", len(tags)) + entries + bytes(4)
    return signature + struct.pack(order + "I", start + len(content)) + content + directory


def specimens() -> Iterator[Specimen]:
    image = picture(20)
    gray = np.asarray(Image.fromarray(image).convert("L"))[..., None]
    alpha = picture(21)[..., 0]
    deep = 257 * gray.astype(np.uint16)
    for name, order in (("little", "<"), ("big", ">")):
        yield Specimen(f"rgb-{name}.tif", tiff(image, RGB, order=order), image)
        yield Specimen(f"gray-8-{name}.tif", tiff(gray, BLACK_IS_ZERO, order=order), rgb(gray[..., 0]))
        yield Specimen(f"gray-16-{name}.tif", tiff(deep, BLACK_IS_ZERO, order=order), rgb(gray[..., 0]))
        yield Specimen(f"white-8-{name}.tif", tiff(gray, WHITE_IS_ZERO, order=order), rgb(255 - gray[..., 0]))
        yield Specimen(f"rgb-16-{name}.tif", tiff(257 * image.astype(np.uint16), RGB, order=order), image)
    # Little-endian: Pillow refuses the other.
    yield Specimen("white-16.tif", tiff(deep, WHITE_IS_ZERO), rgb(255 - gray[..., 0]))
    twelve = (gray.astype(np.uint16) << 4) + 8
    yield Specimen("gray-12.tif", tiff(twelve, BLACK_IS_ZERO, 12), rgb(twelve[..., 0] * (255 / 4095)))
    yield Specimen("planar.tif", tiff(image, RGB, planar=True), image)
    colors = np.random.default_rng(0).integers(0, 256, (256, 3))
    content = tiff(gray, PALETTE, colormap=(257 * colors).T.ravel())
    yield Specimen("palette.tif", content, colors[gray[..., 0]].astype(np.uint8))
    for name, extra in (("padding", 0), ("alpha", 2)):
        expected = on_white(image, alpha) if extra else image
        yield Specimen(f"rgb-{name}.tif", tiff(np.dstack([image, alpha]), RGB, extra=extra), expected, 1)
        expected = on_white(rgb(gray[..., 0]), alpha) if extra else rgb(gray[..., 0])
        content = tiff(np.dstack([gray, alpha]), BLACK_IS_ZERO, extra=extra)
        yield Specimen(f"gray-{name}.tif", content, expected, 1)
    opaque = np.full_like(alpha, 255)
    yield Specimen("rgb-associated.tif", tiff(np.dstack([image, opaque]), RGB, extra=1), image, 1)
    content = tiff(np.dstack([gray, opaque]), BLACK_IS_ZERO, extra=1)
    yield Specimen("gray-associated.tif", content, rgb(gray[..., 0]), 1)
    pillow = Image.fromarray(image)
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "tiff_deflate"):
        yield Specimen(f"{compression}.tiff", saved(pillow, "TIFF", compression=compression), image)
    yield Specimen(
        "lzw-16.tif", saved(Image.fromarray(deep[..., 0]), "TIFF", compression="tiff_lzw"), rgb(gray[..., 0])
    )
    yield by_pillow("jpeg.tif", saved(pillow, "TIFF", compression="jpeg"), 1)
    yield by_pillow("cmyk.tif", saved(pillow.convert("CMYK"), "TIFF"))
    one_bit = pillow.convert("1")
    for compression in ("raw", "group3", "group4"):
        content = saved(one_bit, "TIFF", compression=compression)
        yield Specimen(f"bilevel-{compression}.tif", content, rgb(255 * np.asarray(one_bit)))
    content = saved(pillow, "TIFF", save_all=True, append_images=[Image.fromarray(picture(22))])
    yield Specimen("pages.tif", content, image)
    for height, width in ((1, 1), (1, 17), (31, 1), (15, 33)):
        small: Pixels = picture(23, height, width)
        yield Specimen(f"size-{height}x{width}.tif", tiff(small, RGB), small)
