"""Images with annotated objects, read one at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sslfast.data.annotations.objects import Objects
from sslfast.data.sources.bad_files import BadFiles
from sslfast.data.sources.classes import check_distinct
from sslfast.data.sources.header import Header, read_header
from sslfast.data.sources.images import UnreadableImage, read_rgb, why_unreadable
from sslfast.data.sources.united import real_files
from sslfast.errors import UsageError, printable

# From an upright image to how it lies in the file, by EXIF's orientation: of those that height and width tell.
BACK = {
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


class AnnotatedImages:
    """N image files with the objects in each. An image's index is its position.

    Attributes:
        name: what the user calls them.
        classes: the objects' classes, by name.
        paths: N files.
        sizes: height and width of each image as it was annotated, in pixels.
        bad: the files that could not be read, shared by all subsets.

    Raises:
        UsageError: two classes have one name.
    """

    def __init__(
        self,
        name: str,
        classes: Sequence[str],
        paths: Sequence[Path],
        objects: Sequence[Objects],
        sizes: Sequence[tuple[int, int]],
        bad: BadFiles,
    ) -> None:
        check_distinct(name, classes)
        self.name = name
        self.classes = list(classes)
        self.paths = list(paths)
        self.sizes = list(sizes)
        self.bad = bad
        self._objects = list(objects)

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def has_masks(self) -> bool:
        """Tells whether the objects have outlines."""
        return all(objects.polygons is not None for objects in self._objects)

    def image(self, index: int) -> Image.Image:
        """Reads one image as RGB, the way up in which its objects are annotated.

        A photograph that its camera marks as turned is upright, unless height and width tell that it was annotated
        as it lies in the file.

        Raises:
            UnreadableImage: the file cannot be decoded; a caller that goes on without it tells `self.bad`.
            UsageError: the image is of another size than its annotations.
        """
        path, size = self.paths[index], self.sizes[index]
        image = read_rgb(path)
        if (image.height, image.width) == size:
            return image
        header = header_of(path)
        if header.stored_shape == size:
            return image.transpose(BACK[header.orientation])
        raise UsageError(
            f"{path}: has {image.width} x {image.height} pixels, and its annotations are of an image of "
            f"{size[1]} x {size[0]}; give the image that was annotated"
        )

    def objects(self, index: int) -> Objects:
        """Returns the objects of one image."""
        return self._objects[index]

    def subset(self, indices: Sequence[int] | NDArray[np.int64]) -> AnnotatedImages:
        """Selects the images at these positions, in this order; classes and the record of bad files stay."""
        return AnnotatedImages(
            self.name,
            self.classes,
            [self.paths[i] for i in indices],
            [self._objects[i] for i in indices],
            [self.sizes[i] for i in indices],
            self.bad,
        )

    def with_classes(self, classes: Sequence[str]) -> AnnotatedImages:
        """Returns the same images with their labels as positions in another list of classes.

        Raises:
            UsageError: it lacks one of theirs.
        """
        if unknown := [name for name in self.classes if name not in classes]:
            raise UsageError(
                f"{self.name}: has classes that the training images lack: {printable(', '.join(unknown[:5]))}"
                f"{', ...' if len(unknown) > 5 else ''}; give two parts of one data set"
            )
        places = np.array([list(classes).index(name) for name in self.classes], dtype=np.int64)
        objects = [dataclasses.replace(found, labels=places[found.labels]) for found in self._objects]
        return AnnotatedImages(self.name, classes, self.paths, objects, self.sizes, self.bad)

    def choose(self, classes: Sequence[str]) -> AnnotatedImages:
        """Returns the same images with the objects of some classes alone, numbered in their order."""
        position = {name: number for number, name in enumerate(classes)}
        numbers = np.array([position.get(name, -1) for name in self.classes], dtype=np.int64)
        objects = []
        for found in self._objects:
            labels = numbers[found.labels]
            objects.append(found.subset(np.flatnonzero(labels >= 0), labels[labels >= 0]))
        return AnnotatedImages(self.name, classes, self.paths, objects, self.sizes, self.bad)


def united(parts: Sequence[AnnotatedImages], name: str) -> AnnotatedImages:
    """Joins the images of several data sets, which share a record of bad files, in order; classes by their names.

    Raises:
        UsageError: a file is in two of them, or some have outlines and others boxes only.
    """
    if len(parts) == 1:
        return parts[0]
    seen: set[str] = set()
    for part in parts:
        if common := seen & (files := real_files(part.paths)):
            raise UsageError(
                f"{part.name}: {len(common)} of its {len(part)} images are given twice, the first "
                f"{printable(min(common))}; name each once"
            )
        seen |= files
        if part.has_masks != parts[0].has_masks:
            raise UsageError(
                f"{parts[0].name} and {part.name}: the objects of one have outlines and those of the other boxes "
                "only; give data sets of one kind"
            )
    classes = list(dict.fromkeys(class_name for part in parts for class_name in part.classes))
    parts = [part.with_classes(classes) for part in parts]
    return AnnotatedImages(
        name,
        classes,
        [path for part in parts for path in part.paths],
        [part.objects(index) for part in parts for index in range(len(part))],
        [size for part in parts for size in part.sizes],
        parts[0].bad,
    )


def header_of(path: Path) -> Header:
    """Reads the header of an image file.

    Raises:
        UnreadableImage: it has none.
    """
    try:
        with path.open("rb") as file, Image.open(file) as image:
            return read_header(image)
    except Exception as error:  # broken files make Pillow raise nearly anything
        raise UnreadableImage(why_unreadable(error)) from error
