"""Folders `images` and `masks` of files by the same names, in parts `train`, `val` or as a whole."""

from __future__ import annotations

import logging
from pathlib import Path

from sslfast.data.annotations.files import images_by_stem
from sslfast.data.masks.files import CLASSES, MASK_EXTENSIONS, MaskFiles, check_masks, mask_of, read_classes
from sslfast.data.sources.images import EXTENSIONS
from sslfast.errors import printable

logger = logging.getLogger(__name__)

IMAGES, MASKS = "images", "masks"
WHOLE = ""  # the name of data that have no splits


def folder_splits(root: Path) -> dict[str, tuple[Path, Path]]:
    """Finds the folders of images and of masks by the names of their splits; WHOLE where there is one part only.

    A split is a folder that holds both, `train/images` and `train/masks`, or a folder in both, `images/train` and
    `masks/train`, where no image lies beside it.
    """
    images, masks = root / IMAGES, root / MASKS
    if images.is_dir() and masks.is_dir():
        entries = sorted(images.iterdir())
        parts = [entry.name for entry in entries if entry.is_dir() and (masks / entry.name).is_dir()]
        is_split = parts and not any(_is_image(entry) for entry in entries)
        return {part: (images / part, masks / part) for part in parts} if is_split else {WHOLE: (images, masks)}
    pairs = {entry.name: (entry / IMAGES, entry / MASKS) for entry in sorted(root.iterdir())}
    return {part: pair for part, pair in pairs.items() if all(folder.is_dir() for folder in pair)}


def open_folders(name: str, root: Path, split: str) -> MaskFiles:
    """Opens the images of a split whose masks have the same names but for their endings.

    Args:
        name: of the data.
        root: the folder, which holds `classes.txt`.
        split: a key of `folder_splits`.

    Raises:
        UsageError: there are no images, an image has no mask or shares its name with another, or the classes
            cannot be read.
    """
    images, masks = folder_splits(root)[split]
    found = images_by_stem(images)
    paths, files = list(found.values()), [mask_of(masks, stem) for stem in found]
    used = check_masks(name, paths, files, str(masks))
    if unused := {path for path in masks.rglob("*") if path.suffix in MASK_EXTENSIONS} - set(used):
        first = printable(str(min(unused)))
        logger.warning("%s: %d masks have no image, the first is %s", name, len(unused), first)
    return MaskFiles(name, read_classes(root / CLASSES), paths, used)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".") and path.is_file()
