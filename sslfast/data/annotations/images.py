"""Images with annotated objects, read one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sslfast.data.annotations.objects import Objects
from sslfast.data.sources.bad_files import BadFiles
from sslfast.data.sources.header import Header, read_header
from sslfast.data.sources.images import UnreadableImage, read_rgb, why_unreadable
from sslfast.errors import UsageError

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
        """Whether the objects have outlines."""
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
        """The objects of one image."""
        return self._objects[index]

    def subset(self, indices: Sequence[int] | NDArray[np.int64]) -> AnnotatedImages:
        """The images at these positions, in this order; classes and the record of bad files stay the same."""
        return AnnotatedImages(
            self.name,
            self.classes,
            [self.paths[i] for i in indices],
            [self._objects[i] for i in indices],
            [self.sizes[i] for i in indices],
            self.bad,
        )


def header_of(path: Path) -> Header:
    """The header of an image file.

    Raises:
        UnreadableImage: it has none.
    """
    try:
        with path.open("rb") as file, Image.open(file) as image:
            return read_header(image)
    except Exception as error:  # broken files make Pillow raise nearly anything
        raise UnreadableImage(why_unreadable(error)) from error
