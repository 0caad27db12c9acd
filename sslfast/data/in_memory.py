"""The decoding of a source of small images, once, into one array."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms.v2 import functional as F
from tqdm import tqdm

from sslfast.data.sources import Source
from sslfast.data.sources.images import without_ends
from sslfast.data.sources.reading import read_all
from sslfast.errors import UsageError

logger = logging.getLogger(__name__)

LARGEST_SIDE = 96  # pixels; larger images lose too much by being brought to one size beforehand
LARGEST_SET = 2 * 2**30  # bytes that are taken without being asked for
PROBED = 256  # images whose sizes stand for all


def is_small(source: Source, device: torch.device) -> bool:
    """Whether the source is worth keeping in memory: an array, or files of small images that fit well."""
    if source.paths is None:
        return True
    sizes = _sizes(source.paths)
    height, width = _storage_size(sizes)
    fits = len(source) * height * width * 3 <= min(LARGEST_SET, _room(device))
    return fits and all(max(size) <= LARGEST_SIDE for size in sizes)


def in_memory(source: Source, device: torch.device) -> tuple[Source, NDArray[np.int64]]:
    """Decode a source of files into one that is an array, with a progress bar.

    Images of one size keep it. Others become squares of the longest of their shorter sides: none loses detail, an
    elongated one loses its ends.

    Args:
        source: of files, or already an array, which is returned as it is.
        device: where the array is to go: it must fit there.

    Returns:
        The readable images as a source on the host; their positions in the source given.

    Raises:
        UsageError: they do not fit, or more than the source allows cannot be read.
    """
    if source.paths is None:
        return source, np.arange(len(source))
    height, width = _storage_size(_sizes(source.paths))
    size, room = len(source) * height * width * 3, _room(device)
    if size > room:
        raise UsageError(
            f"{source.name}: {len(source)} images of {width}x{height} take {size / 2**30:.1f} GiB, "
            f"more than half of the memory of {device} ({room / 2**30:.1f} GiB); "
            "set data.pipeline=dali or data.limit"
        )
    images = np.empty((len(source), height, width, 3), dtype=np.uint8)
    positions: list[int] = []
    readable = read_all(source, partial(_fit, height=height, width=width))
    for position, pixels in tqdm(readable, f"reading {source.name}", len(source), disable=None):
        images[len(positions)] = pixels
        positions.append(position)
    index = np.array(positions, dtype=np.int64)
    labels = None if source.labels is None else source.labels[index]
    decoded = Source(
        source.name, labels=labels, classes=source.classes, images=images[: len(positions)], bad=source.bad
    )
    return decoded, index


def _sizes(paths: Sequence[Path]) -> set[tuple[int, int]]:
    """The sizes (height, width) that occur among 256 files, evenly spread, by their headers."""
    sizes = set()
    for path in paths[:: max(1, -(-len(paths) // PROBED))]:
        try:
            with Image.open(path) as image:
                sizes.add((image.height, image.width))
        except Exception:  # whatever is wrong with the file, decoding it will tell
            logger.debug("cannot tell the size of %s", path)
    return sizes


def _storage_size(sizes: set[tuple[int, int]]) -> tuple[int, int]:
    """The one size (height, width) at which images of these sizes are kept."""
    if len(sizes) == 1:
        (size,) = sizes
        return size
    side = max((min(size) for size in sizes), default=1)
    return side, side


def _fit(image: Image.Image, height: int, width: int) -> Image.Image:
    """Resize to cover (height, width), then cut the centre; nothing where the size is right already."""
    if image.size == (width, height):
        return image
    image = without_ends(image)
    scale = max(height / image.height, width / image.width)
    covering = [max(height, round(image.height * scale)), max(width, round(image.width * scale))]
    return F.center_crop(F.resize(image, covering), [height, width])


def _room(device: torch.device) -> int:
    """Half of the device's memory, in bytes."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory // 2
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
