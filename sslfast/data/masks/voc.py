"""The layout of Pascal VOC (Everingham et al. 2010): JPEGImages, SegmentationClass, ImageSets/Segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sslfast.data.annotations.files import images_by_stem, read_lines
from sslfast.data.masks.files import CLASSES, MaskFiles, check_masks, mask_of, read_classes
from sslfast.errors import UsageError

IMAGES, MASKS, LISTS = "JPEGImages", "SegmentationClass", Path("ImageSets", "Segmentation")
AUGMENTED = "SegmentationClassAug"  # the masks that Hariharan et al. (2011) added
VOC_CLASSES = [  # by id
    "background",
    *("aeroplane", "bicycle", "bird", "boat", "bottle"),
    *("bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person"),
    *("pottedplant", "sheep", "sofa", "train", "tvmonitor"),
]


def is_voc(root: Path) -> bool:
    """Tells whether a folder has VOC's layout of images with masks."""
    return (root / IMAGES).is_dir() and ((root / MASKS).is_dir() or (root / AUGMENTED).is_dir())


def voc_splits(root: Path) -> list[str]:
    """Lists the names of the lists of images."""
    return sorted(file.stem for file in (root / LISTS).glob("*.txt"))


def open_voc(name: str, root: Path, splits: Sequence[str]) -> MaskFiles:
    """Opens the images of one list or of several.

    An image's mask is that of SegmentationClass; where it has none there, that of SegmentationClassAug, so that
    VOC's own masks are used wherever there are any, as in mmsegmentation. The classes are VOC's, or those that a
    `classes.txt` names.

    Raises:
        UsageError: a list is empty or names an image or a mask that is not there, or an image is listed twice.
    """
    stems = [stem for split in splits for stem in _listed(root / LISTS / f"{split}.txt")]
    if twice := len(stems) - len(set(stems)):
        raise UsageError(f"{name}: {twice} of the {len(stems)} images are listed twice; mend {root / LISTS}")
    images = images_by_stem(root / IMAGES)
    if missing := [stem for stem in stems if stem not in images]:
        raise UsageError(
            f"{name}: {len(missing)} of the {len(stems)} images that are listed are missing in {root / IMAGES}, "
            f"the first is {missing[0]}"
        )
    paths = [images[stem] for stem in stems]
    masks = [mask_of(root / MASKS, stem) or mask_of(root / AUGMENTED, stem) for stem in stems]
    classes = read_classes(root / CLASSES) if (root / CLASSES).exists() else VOC_CLASSES
    return MaskFiles(name, classes, paths, check_masks(name, paths, masks, f"{MASKS} or {AUGMENTED}"))


def _listed(file: Path) -> list[str]:
    """Reads the images of a list, each by its name, or by a path as in the lists of the added masks."""
    stems = [Path(line.split()[0]).stem for line in read_lines(file) if line]
    if not stems:
        raise UsageError(f"{file}: lists no image")
    return stems
