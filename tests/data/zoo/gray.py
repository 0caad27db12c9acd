"""Gray of more than 8 bits, and of less, in formats that state their own maximum."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image

from tests.data.zoo.png import GRAY, png
from tests.data.zoo.specimen import Specimen, picture, rgb, saved


def specimens() -> Iterator[Specimen]:
    image = picture(30)
    gray = np.asarray(Image.fromarray(image).convert("L"))
    deep = 257 * gray.astype(np.int64)
    yield Specimen("gray-16.png", png(deep[..., None], 16, GRAY), rgb(gray))
    yield Specimen("gray-16-interlaced.png", png(deep[..., None], 16, GRAY, interlaced=True), rgb(gray))
    key = int(gray[7, 9])
    chunks = [(b"tRNS", struct.pack(">H", 257 * key))]
    yield Specimen(
        "gray-16-key.png", png(deep[..., None], 16, GRAY, chunks), rgb(np.where(gray == key, 255, gray))
    )
    for maximum in (1, 15, 100, 127, 255, 256, 1023, 4095, 65535):
        most = np.rint(image * (maximum / 255)).astype(np.int64)
        expected = most * (255 / maximum)
        header = f"{image.shape[1]} {image.shape[0]}\n{maximum}\n".encode()
        kind = ">u2" if maximum > 255 else "u1"
        for magic, values in ((b"P5", most[..., 0]), (b"P6", most)):
            extension = "pgm" if magic == b"P5" else "ppm"
            wanted = rgb(expected[..., 0]) if magic == b"P5" else np.rint(expected).astype(np.uint8)
            name = f"binary-{maximum}.{extension}"
            yield Specimen(name, magic + b"\n" + header + values.astype(kind).tobytes(), wanted, 1)
            plain = " ".join(map(str, values.ravel())).encode()
            magic = {b"P5": b"P2", b"P6": b"P3"}[magic]
            yield Specimen(f"plain-{maximum}.{extension}", magic + b"\n" + header + plain, wanted, 1)
    bits = Image.fromarray(image).convert("1")
    yield Specimen("binary.pbm", saved(bits, "PPM"), rgb(255 * np.asarray(bits)))
    digits = " ".join(map(str, 1 - np.asarray(bits).astype(int).ravel())).encode()
    yield Specimen("plain.pbm", b"P1\n40 32\n" + digits, rgb(255 * np.asarray(bits)))
    yield Specimen("any.pnm", saved(Image.fromarray(image), "PPM"), image)
