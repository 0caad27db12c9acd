"""Reading all images of a source in order, decoded ahead by threads; unreadable ones are left out."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from PIL import Image

from sslfast.data.sources import Source
from sslfast.data.sources.form import Levels
from sslfast.data.sources.images import UnreadableImage
from sslfast.data.sources.parts import as_array

AHEAD = 256  # decoded images that wait at most
BLOCK = 8  # images that a thread reads at a time: one by one, small ones take as long to hand over
SMALL = 48  # pixels of a side: reading such an image is nearly all Python, which threads only take from each other

T = TypeVar("T")
R = TypeVar("R")


def read_all(
    source: Source, convert: Callable[[list[Image.Image]], list[Image.Image]]
) -> Iterator[tuple[int, Levels]]:
    """Yields (position, pixels (H, W, C)) of each readable image, in order and in the source's form.

    Args:
        source: of files or an array.
        convert: applied to the parts of each image, in a thread.

    Raises:
        UsageError: more files than the source allows cannot be read.
    """

    def read(start: int) -> list[tuple[int, Levels]]:
        block = []
        for index in range(start, min(start + BLOCK, len(source))):
            try:
                block.append((index, as_array(convert(source.parts(index)))))
            except UnreadableImage as error:
                assert source.paths is not None
                source.bad.add(source.paths[index], error)
        return block

    yield from (first := read(0))
    are_small = all(max(pixels.shape[:2]) <= SMALL for _, pixels in first)
    rest = range(BLOCK, len(source), BLOCK)
    for block in in_threads(read, rest, AHEAD // BLOCK, threads=1 if are_small else None):
        yield from block


def in_threads(
    function: Callable[[T], R], items: Iterable[T], ahead: int = AHEAD, *, threads: int | None = None
) -> Iterator[R]:
    """Yields the results of a function of each item, in order, computed ahead by threads.

    Args:
        function: safe to call from several threads.
        items: taken as they are needed; may be endless.
        ahead: results that wait at most.
        threads: how many; None: as many as cores.
    """
    pending: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads or len(os.sched_getaffinity(0))) as pool:
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)  # when the consumer stops early, or after an error
