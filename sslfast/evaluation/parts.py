"""The training and the held-out images of an evaluation: divided, checked, and read, whatever their labels are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from sslfast.data import Source
from sslfast.data.annotations import AnnotatedImages
from sslfast.data.masks import MaskedImages
from sslfast.data.sources.classes import check_there, read_classes
from sslfast.data.sources.images import UnreadableImage
from sslfast.data.sources.reading import in_threads
from sslfast.data.sources.united import real_files
from sslfast.data.split import held_out
from sslfast.errors import UsageError
from sslfast.progress import tqdm

Labeled = Source | AnnotatedImages | MaskedImages
Images = TypeVar("Images", AnnotatedImages, MaskedImages)
Result = TypeVar("Result")


def hold_out(images: Images, fraction: float) -> tuple[Images, Images]:
    """Splits the images into those that stay and a share that is held out: the same ones every time.

    Raises:
        UsageError: there are too few.
    """
    chosen = held_out(images.name, len(images), fraction)
    return images.subset(np.flatnonzero(~chosen)), images.subset(np.flatnonzero(chosen))


def with_classes(images: Images, train: Images, name: str | None) -> Images:
    """Gives images the classes that `classes=` names, or all, numbered as those of the training images.

    Args:
        images: the training images, or held-out ones, which may lack some of the classes.
        train: the training images.
        name: the setting; None: all classes of the training images.

    Raises:
        UsageError: the training images lack one of the classes; or all are meant, and the images have others.
    """
    classes = read_classes(name, train.classes)
    if classes is None:
        return images.with_classes(train.classes)
    return images.choose(check_there(train.name, train.classes, classes))


def check_apart(train: Labeled, test: Labeled) -> None:
    """Raises UsageError where held-out images are among the training images, by whatever paths."""
    if common := real_files(train.paths) & real_files(test.paths):
        raise UsageError(
            f"--val {test.name}: {len(common)} of its {len(test)} images are among those of --data {train.name}; "
            "name a split or folder apart from it"
        )


def read_each(images: Images, read: Callable[[int], Result], progress: str) -> Iterator[tuple[int, Result]]:
    """Yields the positions of the images that can be read, each with a result; `images.bad` records the others.

    Args:
        images: the images.
        read: position -> a result; raises UnreadableImage.
        progress: what the bar calls them.

    Raises:
        UsageError: too many cannot be read, or what `read` raises.
    """

    def attempt(index: int) -> Result | UnreadableImage:
        try:
            return read(index)
        except UnreadableImage as error:
            return error

    results = in_threads(attempt, range(len(images)))
    for index, result in enumerate(tqdm(results, progress, len(images), leave=False, disable=None)):
        if isinstance(result, UnreadableImage):
            images.bad.add(images.paths[index], result)
        else:
            yield index, result
