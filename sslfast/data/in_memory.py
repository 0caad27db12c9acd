"""The decoding of a source of small images, once, into one array."""

from __future__ import annotations

import copy
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

from sslfast.data.sources import Source
from sslfast.data.sources.header import read_header
from sslfast.data.sources.reading import read_all
from sslfast.errors import UsageError
from sslfast.progress import tqdm

logger = logging.getLogger(__name__)

LARGEST_SIDE = 96  # pixels; larger images lose too much by being brought to one size beforehand
LARGEST_SET = 2 * 2**30  # bytes that are taken without being asked for
FORMED_AT_ONCE = 2**24  # bytes of an array, which are several times as many while they are scaled
PROBED = 256  # images whose sizes stand for all


def is_small(source: Source, device: torch.device) -> bool:
    """Tells whether the source is worth keeping in memory: an array, or files of small images that fit well."""
    if source.paths is None:
        return True
    height, width = _storage_size(source.paths)
    fits = len(source) * height * width * source.form.pixel_bytes <= min(LARGEST_SET, room_of(device))
    return fits and max(height, width) <= LARGEST_SIDE


def in_memory(source: Source, device: torch.device) -> tuple[Source, NDArray[np.int64]]:
    """Decodes a source of files into one that is an array, with a progress bar.

    Every image keeps its size and its pixels, in an array as high and wide as the highest and the widest of those
    whose headers were read. Further ones that are larger are shrunk into it, and counted in a warning.

    Args:
        source: of files, or already an array, which is returned in the source's form.
        device: where the array is to go: it must fit there.

    Returns:
        The readable images as a source on the host; their positions in the source given.

    Raises:
        UsageError: they do not fit, or more than the source allows cannot be read.
    """
    if source.paths is None:
        return _formed(source), np.arange(len(source))
    height, width = _storage_size(source.paths)
    size, room = len(source) * height * width * source.form.pixel_bytes, room_of(device)
    if size > room:
        raise UsageError(
            f"{source.name}: {len(source)} images of {width}x{height} take {size / 2**30:.1f} GiB, "
            f"more than half of the memory of {device} ({room / 2**30:.1f} GiB); "
            f"set data.pipeline={_streaming(source)} or data.limit"
        )
    images = source.form.zeros(len(source), height, width)
    sizes = np.zeros((len(source), 2), dtype=np.int64)
    positions: list[int] = []
    shrunk: list[tuple[int, int]] = []
    readable = read_all(source, partial(_fit, height=height, width=width, shrunk=shrunk))
    for position, pixels in tqdm(readable, f"reading {source.name}", len(source), disable=None):
        row = len(positions)
        sizes[row] = pixels.shape[:2]
        images[row, : sizes[row, 0], : sizes[row, 1]] = pixels
        positions.append(position)
    if shrunk:
        logger.warning(
            "%s: %d of %d images are larger than %dx%d, the largest of %d that were looked at, and were shrunk to "
            "it; set data.pipeline=%s to keep their size",
            *(source.name, len(shrunk), len(source), width, height, min(PROBED, len(source)), _streaming(source)),
        )
    count, index = len(positions), np.array(positions, dtype=np.int64)
    decoded = Source(
        source.name,
        labels=None if source.labels is None else source.labels[index],
        classes=source.classes,
        images=images[:count],
        sizes=None if (sizes[:count] == (height, width)).all() else sizes[:count],
        bad=source.bad,
        form=source.form,
        is_formed=True,
    )
    return decoded, index


def _streaming(source: Source) -> str:
    """Names the pipeline that reads images of the source's form again and again."""
    return "dali" if source.form[:2] == (3, 8) else "pillow"


def _formed(source: Source) -> Source:
    """Returns a source that is an array, with its images in the source's form."""
    given = source.images
    assert given is not None
    first = given[:1]
    if source.formed(first) is first:  # they are
        return source
    images = source.form.zeros(*given.shape[:3])
    count = max(1, FORMED_AT_ONCE // max(1, first.nbytes))
    for start in range(0, len(given), count):
        images[start : start + count] = source.formed(given[start : start + count])
    source = copy.copy(source)
    source.images, source.is_formed = images, True
    return source


def _storage_size(paths: Sequence[Path]) -> tuple[int, int]:
    """Returns the largest height and the largest width among 256 files, evenly spread, by their headers."""
    height, width = 1, 1
    for path in paths[:: max(1, -(-len(paths) // PROBED))]:
        try:
            with path.open("rb") as file, Image.open(file) as image:
                header = read_header(image)
        except Exception:  # whatever is wrong with the file, decoding it will tell
            logger.debug("cannot tell the size of %s", path)
        else:
            height, width = max(height, header.height), max(width, header.width)
    return height, width


def _fit(parts: list[Image.Image], height: int, width: int, shrunk: list[tuple[int, int]]) -> list[Image.Image]:
    """Shrinks an image in parts that does not fit into (height, width), and appends its size to `shrunk`."""
    image = parts[0]
    if image.height <= height and image.width <= width:
        return parts
    shrunk.append(image.size)
    scale = min(height / image.height, width / image.width)
    size = [max(1, round(image.height * scale)), max(1, round(image.width * scale))]
    return [F.resize(part, size) for part in parts]


def room_of(device: torch.device) -> int:
    """Returns half of the device's memory, in bytes."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory // 2
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
