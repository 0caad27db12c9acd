"""PNGs, written from the specification: color types, depths, transparency, interlacing, further chunks."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.data.zoo.specimen import Pixels, Specimen, on_white, picture, rgb, saved

GRAY, COLOR, PALETTE, GRAY_ALPHA, COLOR_ALPHA = 0, 2, 3, 4, 6
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]

Chunk = tuple[bytes, bytes]


def chunk(name: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))


def rows(samples: NDArray[np.integer], bits: int) -> bytes:
    """Writes the scan lines of samples (H, W, C), unfiltered."""
    height, width, channels = samples.shape
    if 0 in samples.shape:
        return b""
    flat = samples.reshape(height, width * channels)
    if bits == 16:
        packed = flat.astype(">u2").view(np.uint8)
    else:
        digits = np.unpackbits(flat.astype(np.uint8)[..., None], axis=-1)[..., 8 - bits :]
        packed = np.packbits(digits.reshape(height, -1), axis=-1)
    return np.pad(packed, ((0, 0), (1, 0))).tobytes()


def png(
    samples: NDArray[np.integer],
    bits: int,
    color_type: int,
    before: Sequence[Chunk] = (),
    after: Sequence[Chunk] = (),
    *,
    interlaced: bool = False,
) -> bytes:
    """Writes a PNG of samples (H, W, C) of so many bits, with chunks before and after its pixels."""
    height, width, _ = samples.shape
    header = struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, interlaced)
    passes = ADAM7 if interlaced else [(0, 0, 1, 1)]
    pixels = b"".join(rows(samples[top::down, left::right], bits) for top, left, down, right in passes)
    chunks = [(b"IHDR", header), *before, (b"IDAT", zlib.compress(pixels)), *after, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*c) for c in chunks)


def from_rgb(image: Pixels, before: Sequence[Chunk] = (), after: Sequence[Chunk] = ()) -> bytes:
    return png(image, 8, COLOR, before, after)


def specimens() -> Iterator[Specimen]:
    image = picture(10)
    gray = np.asarray(Image.fromarray(image).convert("L"))
    alpha = picture(11)[..., 0]
    for bits, interlaced in product((1, 2, 4, 8), (False, True)):
        suffix = f"{bits}{'-interlaced' * interlaced}.png"
        most = 2**bits - 1
        samples = gray >> (8 - bits)
        levels = samples * (255 // most)
        content = png(samples[..., None], bits, GRAY, interlaced=interlaced)
        yield Specimen(f"gray-{suffix}", content, rgb(levels))
        key = int(samples[3, 4])
        content = png(samples[..., None], bits, GRAY, [(b"tRNS", struct.pack(">H", key))], interlaced=interlaced)
        yield Specimen(f"gray-key-{suffix}", content, rgb(np.where(samples == key, 255, levels)))
        palette = np.random.default_rng(bits).integers(0, 256, (most + 1, 3), dtype=np.uint8)
        chunks = [(b"PLTE", palette.tobytes())]
        content = png(samples[..., None], bits, PALETTE, chunks, interlaced=interlaced)
        yield Specimen(f"palette-{suffix}", content, palette[samples])
        opacity = np.linspace(0, 255, most + 1).astype(np.uint8)
        content = png(samples[..., None], bits, PALETTE, [*chunks, (b"tRNS", opacity.tobytes())])
        yield Specimen(f"palette-alpha-{suffix}", content, on_white(palette[samples], opacity[samples]), 1)
    for interlaced in (False, True):
        content = png(image, 8, COLOR, interlaced=interlaced)
        yield Specimen(f"color-8{'-interlaced' * interlaced}.png", content, image)
    yield Specimen("gray-alpha-8.png", png(np.dstack([gray, alpha]), 8, GRAY_ALPHA), on_white(rgb(gray), alpha), 1)
    yield Specimen("color-alpha-8.png", png(np.dstack([image, alpha]), 8, COLOR_ALPHA), on_white(image, alpha), 1)
    # Of colors Pillow reads the upper 8 of 16 bits.
    deep = 256 * image.astype(np.int64) + 77
    yield Specimen("color-16.png", png(deep, 16, COLOR), image)
    deep_gray, deep_alpha = 257 * gray.astype(int), 257 * alpha.astype(int)
    content = png(np.dstack([deep, deep_alpha]), 16, COLOR_ALPHA)
    yield Specimen("color-alpha-16.png", content, on_white(image, alpha), 1)
    content = png(np.dstack([deep_gray, deep_alpha]), 16, GRAY_ALPHA)
    yield Specimen("gray-alpha-16.png", content, on_white(rgb(gray), alpha), 1)
    for name, pixels, factor, bits in (("color-key-8", image, 1, 8), ("color-key-16", image, 257, 16)):
        key = pixels[5, 6].astype(int) * factor
        content = png(pixels.astype(int) * factor, bits, COLOR, [(b"tRNS", struct.pack(">HHH", *key))])
        same = (pixels == pixels[5, 6]).all(-1, keepdims=True)
        yield Specimen(f"{name}.png", content, np.where(same, 255, pixels).astype(np.uint8))
    for name, chunks in {
        "gamma": [(b"gAMA", struct.pack(">I", 100000))],
        "srgb": [(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 45455))],
        "background": [(b"bKGD", struct.pack(">HHH", 255, 0, 0))],
        "resolution": [(b"pHYs", struct.pack(">IIB", 100, 200, 1))],
        "bits": [(b"sBIT", b"\5\5\5")],
    }.items():
        yield Specimen(f"{name}.png", from_rgb(image, chunks), image)
    for height, width in ((1, 1), (1, 17), (31, 1), (15, 33), (7, 120)):
        small = picture(12, height, width)
        yield Specimen(f"size-{height}x{width}.png", png(small, 8, COLOR, interlaced=True), small)
    other = Image.fromarray(picture(13))
    film = saved(Image.fromarray(image), "PNG", save_all=True, append_images=[other])
    yield Specimen("animated.png", film, image)
    yield Specimen("animated.apng", film, image)
    apart = saved(Image.fromarray(image), "PNG", save_all=True, append_images=[other, other], default_image=True)
    yield Specimen("animated-apart.png", apart, image)
