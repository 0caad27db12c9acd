"""A folder of images whose labels stand in a file beside it, as the validation images of TinyImageNet lie.

val_annotations.txt     val_0.JPEG<tab>n03444034<tab>0<tab>32<tab>44<tab>62
images/                 val_0.JPEG, ...
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sslfast.config.settings import shown
from sslfast.data.sources.base import Source
from sslfast.data.sources.folder import open_folder, subfolders
from sslfast.errors import UsageError, printable

ANNOTATIONS, IMAGES = "val_annotations.txt", "images"
COLUMNS = 6  # the image's name, its class, and the box of what it shows: left, top, right, bottom


def is_annotated(folder: Path) -> bool:
    """Tells whether a folder holds images and annotations; one that was sorted into class folders does not."""
    return (folder / ANNOTATIONS).is_file() and subfolders(folder) == [IMAGES]


def open_annotated(folder: Path, name: str) -> Source:
    """Lists a folder's images, labeled by its annotations.

    Args:
        folder: one that `is_annotated`.
        name: what the user calls it.

    Raises:
        UsageError: the file cannot be read, a line is malformed, names an image that is missing or that another
            line has named, or an image has no line.
    """
    annotations = folder / ANNOTATIONS
    class_of = _read(annotations)
    source = open_folder(folder / IMAGES, name)
    assert source.paths is not None
    images = [path.name for path in source.paths]
    if missing := class_of.keys() - set(images):
        raise UsageError(
            f"{annotations}: names {len(missing)} images that are not in {folder / IMAGES}, the first "
            f"{printable(min(missing))}; unpack the data set again"
        )
    if unlabeled := [image for image in images if image not in class_of]:
        raise UsageError(
            f"{annotations}: has no line for {len(unlabeled)} of the {len(images)} images in {folder / IMAGES}, "
            f"the first {printable(unlabeled[0])}; unpack the data set again"
        )
    classes = sorted(set(class_of.values()))
    position = {class_name: i for i, class_name in enumerate(classes)}
    labels = np.array([position[class_of[image]] for image in images], dtype=np.int64)
    return Source(name, labels=labels, classes=classes, paths=source.paths, roots=source.roots)


def _read(annotations: Path) -> dict[str, str]:
    """Reads the class of each image by its name."""
    try:
        lines = annotations.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{annotations}: cannot be read as text ({error})") from error
    class_of: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        image, *rest = line.split("\t")
        if len(rest) != COLUMNS - 1 or not image or not rest[0]:
            raise UsageError(
                f"{annotations}, line {number}: expected an image's name, its class and a box of 4 numbers, "
                f"separated by tabs, got {shown(line)}"
            )
        if image in class_of:
            raise UsageError(f"{annotations}, line {number}: {printable(image)} has a line already")
        class_of[image] = rest[0]
    return class_of
