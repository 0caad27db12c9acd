"""Reading all images of a source in order, decoded ahead by threads; unreadable ones are left out."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sslfast.data.sources import Source
from sslfast.data.sources.images import UnreadableImage

AHEAD = 256  # decoded images that wait at most


def read_all(
    source: Source, convert: Callable[[Image.Image], Image.Image]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield (position, pixels (H, W, 3)) of each readable image, in order.

    Args:
        source: of files or an array.
        convert: applied to each image, in a thread.

    Raises:
        UsageError: more files than the source allows cannot be read.
    """

    def read(index: int) -> NDArray[np.uint8] | None:
        try:
            return np.array(convert(source.image(index)))
        except UnreadableImage as error:
            assert source.paths is not None
            source.bad.add(source.paths[index], error)
            return None

    pending: deque[tuple[int, Future[NDArray[np.uint8] | None]]] = deque()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        try:
            for index in range(len(source)):
                pending.append((index, pool.submit(read, index)))
                if len(pending) > AHEAD:
                    yield from _result(*pending.popleft())
            while pending:
                yield from _result(*pending.popleft())
        finally:
            pool.shutdown(cancel_futures=True)  # when the consumer stops early, or after an error


def _result(index: int, future: Future[NDArray[np.uint8] | None]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The image and its position, or nothing where it cannot be read."""
    pixels = future.result()
    if pixels is not None:
        yield index, pixels
