"""Masks in files: gray or palette images whose values are positions of classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sslfast.data.annotations.files import read_lines
from sslfast.data.masks.base import IGNORED, MaskedImages
from sslfast.data.sources.images import UnreadableImage, read_rgb, why_unreadable
from sslfast.data.sources.rgb import LEVELS_OF_GRAY, is_deep_gray, read_samples
from sslfast.errors import UsageError

MASK_EXTENSIONS = (".png", ".tif", ".tiff", ".bmp", ".gif")  # what keeps values as they are; JPEG does not
CLASSES = "classes.txt"


class MaskFiles(MaskedImages):
    """Images with a file of a mask each.

    Args:
        name, classes, paths: as of `MaskedImages`.
        masks: N files.
    """

    def __init__(self, name: str, classes: Sequence[str], paths: Sequence[Path], masks: Sequence[Path]) -> None:
        super().__init__(name, classes, paths)
        self.masks = list(masks)
        self._num_ids = len(classes)  # of the files, whatever `with_classes` makes of them

    def _read(self, index: int) -> tuple[Image.Image, NDArray[np.uint8]]:
        image, file = read_rgb(self.paths[index]), self.masks[index]
        ids = read_mask(file)
        if ids.shape != (image.height, image.width):
            raise UsageError(
                f"{file}: is of {ids.shape[1]}x{ids.shape[0]} pixels, and its image {self.paths[index]}, upright, "
                f"of {image.width}x{image.height}; give a mask of the image's size"
            )
        known = (ids < self._num_ids) | (ids == IGNORED)
        if not known.all():
            unknown = np.unique(ids[~known]).tolist()
            shown = ", ".join(map(str, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
            raise UsageError(
                f"{file}: has the ids {shown}, and {self.name} has {self._num_ids} classes, ids 0 to "
                f"{self._num_ids - 1} (255: ignored); mend the mask, or name its classes in {CLASSES}"
            )
        return image, ids.astype(np.uint8)

    def _choose(self, indices: Sequence[int] | NDArray[np.int64]) -> None:
        self.masks = [self.masks[index] for index in indices]


def read_mask(file: Path) -> NDArray[np.uint8 | np.int32]:
    """Reads the values of a gray or palette image as they are in the file, (H, W).

    Raises:
        UnreadableImage: the file cannot be decoded.
        UsageError: it is an image of colors.
    """
    try:
        with file.open("rb") as opened, Image.open(opened) as image:
            samples, mode = read_samples(image), image.mode
            values = np.asarray(image)
            is_deep = is_deep_gray(image)
    except Exception as error:  # broken files make Pillow's decoders raise nearly anything
        raise UnreadableImage(f"mask {file}: {why_unreadable(error)}") from error
    if mode not in ("1", "L", "P") and not (is_deep and mode != "F"):
        raise UsageError(
            f"{file}: is a mask of mode {mode}, expected a gray or palette image whose values are the ids of "
            "classes; convert its colors to ids"
        )
    return values // LEVELS_OF_GRAY.get(samples.rawmode, 1)


def read_classes(file: Path) -> list[str]:
    """Reads the names of classes, a line each: the first is that of id 0.

    Raises:
        UsageError: the file is missing or no text, or a line is empty and another follows it.
    """
    if not file.exists():
        raise UsageError(f"{file}: is missing; name the classes there, a line each, the first that of id 0")
    names = read_lines(file)
    while names and not names[-1]:
        names.pop()
    if "" in names:
        raise UsageError(
            f"{file}: line {names.index('') + 1} is empty, and a line's number tells a class's id; give it a name"
        )
    return names


def mask_of(folder: Path, stem: str) -> Path | None:
    """Finds the mask in a folder by the path of its image there, without an ending; None where there is none."""
    candidates = (folder / f"{stem}{ending}" for ending in MASK_EXTENSIONS)
    return next((file for file in candidates if file.is_file()), None)


def check_masks(name: str, paths: Sequence[Path], masks: Sequence[Path | None], where: str) -> list[Path]:
    """Returns the masks. Raises UsageError where some are None, by the first image without one.

    Args:
        name: of the data.
        paths: the images.
        masks: one an image.
        where: the folders that were looked in, for the message.
    """
    if missing := [path for path, mask in zip(paths, masks, strict=True) if mask is None]:
        raise UsageError(
            f"{name}: {len(missing)} of {len(paths)} images have no mask in {where} "
            f"({' '.join(MASK_EXTENSIONS)}), the first is {missing[0]}; add the masks, or remove the images"
        )
    return [mask for mask in masks if mask is not None]
