"""Photographs in files, and loaders of them through DALI, for the tests of its pipelines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from sslfast.config import DataConfig, ViewConfig
from sslfast.data.batch import Batch
from sslfast.data.draws.reference import ViewDraws
from sslfast.data.sources import Source, open_source
from sslfast.data.spec import LoaderSpec

if TYPE_CHECKING:
    from sslfast.data.dali.loader import DaliLoader

CPU = torch.device("cpu")
SEED = 3
SIZE = 24
GEOMETRY_ONLY = ViewConfig(jitter=0, grayscale=0)


def config(**changes: object) -> DataConfig:
    """Asks for small batches of 4, two views that are only cropped and flipped, pixels in [0, 1]."""
    defaults: dict[str, object] = {
        "size": SIZE,
        "batch_size": 4,
        "workers": 2,
        "max_bad": 0.5,
        "mean": (0, 0, 0),
        "std": (1, 1, 1),
        "views": [GEOMETRY_ONLY, GEOMETRY_ONLY],
    }
    return DataConfig(**{**defaults, **changes})  # type: ignore[arg-type]


def photograph(seed: int, height: int, width: int) -> Image.Image:
    """Draws smooth structure at several scales, so that a resize by a wrong rule shows."""
    random = np.random.default_rng(seed)
    image = np.zeros((height, width, 3))
    for cells in (2, 5, 11, 23):
        noise = Image.fromarray(random.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        image += np.asarray(noise.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64) / 4
    return Image.fromarray(image.astype(np.uint8))


def photographs(folder: Path, count: int = 19, extension: str = "jpg") -> Source:
    for i in range(count):
        photograph(i, 40 + 7 * (i % 4), 40 + 9 * (i % 5)).save(folder / f"{i:03}.{extension}")
    return open_source(str(folder), max_bad=0.5)


def loader(source: Source, *, decodes_only: bool | None = None, **changes: object) -> DaliLoader:
    from sslfast.data.dali.loader import DaliLoader  # here: tests draw photographs where DALI is missing, too

    return DaliLoader(LoaderSpec(source, config(**changes), SEED, CPU), decodes_only=decodes_only)


def levels(images: Tensor) -> Tensor:
    """Scales pixels in [0, 1] to [0, 255]."""
    return images * 255


def assert_equal_batches(actual: Sequence[Batch], expected: Sequence[Batch]) -> None:
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected, strict=True):
        assert torch.equal(a.index, e.index)
        for view, other in zip(a.views, e.views, strict=True):
            assert torch.equal(view, other)


def assert_same_resize(actual: Tensor, exact: Tensor) -> None:
    """Allows half a level, by rounding, and at the border, which DALI repeats and torchvision ignores, a few."""
    inner = (..., slice(2, -2), slice(2, -2))
    torch.testing.assert_close(actual[inner], exact[inner], atol=0.51, rtol=0)
    torch.testing.assert_close(actual, exact, atol=4, rtol=0)


def assert_view_of(image: Image.Image, view: Tensor, draws: ViewDraws, row: int, *, by_dali: bool = False) -> None:
    size = list(view.shape[1:])
    expected = F.resized_crop(F.pil_to_tensor(image).float(), *draws.boxes[row], size, antialias=True)
    if draws.flip[row]:
        expected = F.horizontal_flip(expected)
    if by_dali:
        assert_same_resize(levels(view), expected)
    else:
        torch.testing.assert_close(levels(view), expected, atol=0.01, rtol=0)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
