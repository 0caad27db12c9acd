"""Files of every kind through DALI beside Pillow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as F

pytest.importorskip("nvidia.dali", reason="NVIDIA DALI is not installed")

from sslfast.data.dali.evaluation import dali_eval_batches
from sslfast.data.sources import Source, open_source
from tests.data.photographs import CPU, config, levels, loader, photograph, photographs


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


def test_every_kind_of_file_loads_as_pillow_loads_it(tmp_path: Path) -> None:
    """At their own size, so that only the decoding can differ: at most by rounding."""
    source = save_kinds(tmp_path)
    seen = []
    for images, index in dali_eval_batches(source, 32, config(), 5, CPU):
        for image, i in zip(images, index.tolist(), strict=True):
            expected = F.pil_to_tensor(F.center_crop(source.image(i), [32, 32])).float()
            difference = (levels(image) - expected).abs().max()
            assert difference < 1.01, f"{(source.paths or [])[i].name}: off by {difference:.0f} levels"
            seen.append(i)
    assert seen == list(range(len(KINDS)))
    assert not source.bad.reasons


def test_every_kind_of_file_trains(tmp_path: Path) -> None:
    source = save_kinds(tmp_path)
    indices = torch.cat([batch.index for batch in loader(source, batch_size=len(source)).epoch(0)])
    assert sorted(indices.tolist()) == list(range(len(KINDS)))
    assert not source.bad.reasons


def test_jpeg_with_bytes_after_its_end_is_whole(tmp_path: Path) -> None:
    source = photographs(tmp_path, count=4)
    path = (source.paths or [])[1]
    path.write_bytes(path.read_bytes() + b"appended by a camera")
    assert len(next(loader(source).epoch(0)).index.unique()) == 4
