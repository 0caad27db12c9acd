"""The batches of an evaluation: every image once, in order, not augmented."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from sslfast.config import DataConfig
from sslfast.data.pipeline import has_dali, is_for_dali, is_resident
from sslfast.data.sources import Source
from sslfast.data.sources.form import Form
from sslfast.data.sources.images import STRIP, without_ends
from sslfast.data.sources.reading import read_all
from sslfast.data.sources.values import in_form
from sslfast.data.spec import threads_of_rank
from sslfast.device import to_device

Crops = Iterator[tuple[Tensor, Tensor]]  # uint8 or uint16 (B, size, size, C); int64 (B,) positions in the source


def eval_batches(
    source: Source,
    size: int,
    data: DataConfig,
    batch_size: int,
    device: torch.device,
    rank: int = 0,
    world_size: int = 1,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields the batches of an evaluation: each readable image once, in order, without augmentation.

    The shorter side is brought to at most 8/7 of the size (256 for 224) and at least the size, and the center is
    cut out: an image between the two is not resized. Large images are read with DALI where it is installed,
    others with Pillow; an array of images that are only to be cut is cut as one.

    Args:
        source: the images.
        size: side of the result, in pixels.
        data: its channels, depth, range, mean and std.
        batch_size: images a batch; the last one may be smaller, and so is one with unreadable images in DALI.
        device: where the batches go.
        rank: of this process, in [0, world_size), which takes its part of the images only.
        world_size: processes. Their parts, one after the other, are the source: none is twice in it.

    Yields:
        (float32 (B, C, size, size), normalized, channels_last; int64 (B,) positions in the source).

    Raises:
        UsageError: more than the source allows cannot be read, or an array has other channels or more bits.
    """
    source = in_form(source, Form.of(data))
    crops: Callable[[Source, int, int, torch.device], Crops]
    crops = _cut_array if _is_to_cut(source, size) else _read_and_crop
    by_dali = has_dali() and is_for_dali(data) and data.pipeline != "pillow"
    if source.paths is not None and by_dali and not is_resident(source, data, device):
        from sslfast.data.dali.evaluation import dali_crops

        threads = max(data.workers or 1, threads_of_rank(world_size))  # nothing else is to be done
        crops = partial(dali_crops, threads=threads, prefetch=data.prefetch)
    first, last = (len(source) * part // world_size for part in (rank, rank + 1))
    part = source if world_size == 1 else source.subset(np.arange(first, last))
    for images, index in crops(part, size, batch_size, device):
        yield normalize(images.permute(0, 3, 1, 2), data.mean, data.std), index + first


def resize_center_crop(image: Image.Image, size: int) -> Image.Image:
    """Brings the shorter side into [size, 8/7 size] and cuts out the central square."""
    image = without_ends(image)
    shorter = min(image.size)
    target = min(max(shorter, size), round(size * 8 / 7))
    resized = image if target == shorter else F.resize(image, [target])
    return resized if resized.size == (size, size) else F.center_crop(resized, [size, size])


@torch.no_grad()
def normalize(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Scales images to [0, 1] and normalizes them: as views are, but not augmented.

    Args:
        images: uint8 or uint16 (B, C, S, S).
        mean: of each channel over [0, 1].
        std: standard deviation of the same.

    Returns:
        float32 (B, C, S, S), channels_last.
    """
    highest = torch.iinfo(images.dtype).max
    x = images.to(torch.float32, memory_format=torch.channels_last, copy=True).div_(highest)
    center, spread = to_device(np.array([mean, std], dtype=np.float32), x.device).view(2, -1, 1, 1)
    return x.sub_(center).div_(spread)


def _read_and_crop(source: Source, size: int, batch_size: int, device: torch.device) -> Crops:
    """Decodes, resizes and crops the images one by one with Pillow."""
    readable = read_all(source, lambda parts: [resize_center_crop(part, size) for part in parts])
    while batch := list(islice(readable, batch_size)):
        index, pixels = zip(*batch, strict=True)
        yield to_device(np.stack(pixels), device), to_device(np.array(index, dtype=np.int64), device)


def _is_to_cut(source: Source, size: int) -> bool:
    """Tells whether the images are an array of one size that `resize_center_crop` would not resize."""
    if source.images is None or source.sizes is not None:
        return False
    shorter, longer = sorted(source.images.shape[1:3])
    return size <= shorter <= round(size * 8 / 7) and longer <= STRIP * shorter


def _cut_array(source: Source, size: int, batch_size: int, device: torch.device) -> Crops:
    """Cuts crops out of an array, batch by batch: image by image takes longer than a GPU for their features."""
    assert source.images is not None
    top, left = (round((side - size) / 2) for side in source.images.shape[1:3])
    for start in range(0, len(source), batch_size):
        pixels = source.images[start : start + batch_size, top : top + size, left : left + size]
        yield to_device(source.formed(pixels), device), to_device(np.arange(start, start + len(pixels)), device)
