"""The interface of images whose pixels have classes."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sslfast.data.sources.bad_files import BadFiles
from sslfast.data.sources.classes import check_distinct, names_in_short
from sslfast.errors import UsageError

IGNORED = 255  # in a mask: a pixel that is neither trained on nor counted
BACKGROUND = "background"  # a class of its own, of pixels that are of no other


class MaskedImages(ABC):
    """N images, and the mask of each.

    Attributes:
        name: what the user calls them.
        classes: the classes' names, at most 255; a mask holds positions in them.
        paths: N files of images.
        bad: the images that could not be read, or whose masks could not; shared by all subsets.
    """

    def __init__(self, name: str, classes: Sequence[str], paths: Sequence[Path]) -> None:
        """
        Raises:
            UsageError: there are no images or no classes, more of these than a mask can hold, or two of one name.
        """
        if not paths:
            raise UsageError(f"{name}: has no images")
        check_classes(name, classes)
        self.name = name
        self.classes = list(classes)
        self.paths = list(paths)
        self.bad = BadFiles(name, len(paths))
        self._positions = np.arange(256, dtype=np.uint8)  # of the data's own classes in `classes`

    def __len__(self) -> int:
        return len(self.paths)

    def pair(self, index: int) -> tuple[Image.Image, NDArray[np.uint8]]:
        """Reads one image and its mask.

        Returns:
            (image, mask): RGB, upright; uint8 (H, W) of its size: positions in `classes`, or IGNORED.

        Raises:
            UnreadableImage: one of the two files cannot be decoded; a caller that goes on tells `self.bad`.
            UsageError: the mask does not fit the image or the classes.
        """
        image, mask = self._read(index)
        return image, self._positions[mask]

    def subset(self, indices: Sequence[int] | NDArray[np.int64]) -> MaskedImages:
        """Selects the images at these positions, in this order; classes and the record of bad files stay."""
        chosen = copy.copy(self)
        chosen.paths = [self.paths[index] for index in indices]
        chosen._choose(indices)
        return chosen

    def with_classes(self, classes: Sequence[str]) -> MaskedImages:
        """Returns the same images with the positions of their classes in another list.

        Raises:
            UsageError: it lacks some of them.
        """
        if unknown := [name for name in self.classes if name not in classes]:
            raise UsageError(
                f"{self.name}: has classes that the training images lack: {names_in_short(unknown)}; give two "
                "parts of one data set"
            )
        return self._placed(classes, [classes.index(name) for name in self.classes])

    def choose(self, classes: Sequence[str]) -> MaskedImages:
        """Returns the same images with some classes, after the background, which the pixels of all others are of.

        Raises:
            UsageError: these are more than a mask can hold.
        """
        chosen = [BACKGROUND, *(name for name in classes if name != BACKGROUND)]
        check_classes(self.name, chosen)
        return self._placed(chosen, [chosen.index(name) if name in chosen else 0 for name in self.classes])

    def _placed(self, classes: Sequence[str], positions: Sequence[int]) -> MaskedImages:
        """Returns the same images with other classes, in which its own have these positions."""
        changed = copy.copy(self)
        changed.classes = list(classes)
        place = np.arange(256, dtype=np.uint8)
        place[: len(self.classes)] = positions
        changed._positions = place[self._positions]
        return changed

    @abstractmethod
    def _read(self, index: int) -> tuple[Image.Image, NDArray[np.uint8]]:
        """Reads as `pair`; the mask holds positions in the classes as the data have them."""

    @abstractmethod
    def _choose(self, indices: Sequence[int] | NDArray[np.int64]) -> None:
        """Reduces what a subclass keeps of each image to these positions, without changing it in place."""


def check_classes(name: str, classes: Sequence[str]) -> None:
    """Raises UsageError where there are no classes, more than a mask of 8 bits can hold, or two of one name."""
    if not classes:
        raise UsageError(f"{name}: has no classes")
    if len(classes) > IGNORED:
        raise UsageError(f"{name}: has {len(classes)} classes, and a mask can hold {IGNORED} at most")
    check_distinct(name, classes)
