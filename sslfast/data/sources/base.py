"""A source: images with optional labels, read one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sslfast.data.sources.bad_files import BadFiles
from sslfast.data.sources.form import Form, Levels
from sslfast.data.sources.images import read_parts
from sslfast.data.sources.parts import as_picture, parts_of_array


class Source:
    """N images, held as files or as one array. An image's index is its position in the source.

    Attributes:
        name: what the user calls it.
        labels: int64 (N,), positions in `classes`; None where unlabeled.
        classes: the classes' names; empty where unlabeled.
        paths: N files; None where the images are an array.
        roots: the folders that the files lie in, one for each source that was opened, and relative to which they
            are named; empty where nobody names them.
        images: uint8 or uint16 (N, H, W, C); None where they are files.
        sizes: int64 (N, 2), height and width of each image of the array, in the upper left corner of its H x W
            pixels; None where all fill theirs, or are files.
        bad: the files that could not be read, shared by all subsets.
        form: what the images are read as; until `in_form` says, RGB of 8 bits, or as an array has them.
        is_formed: whether `images` are in that form already, as those are that were decoded; other arrays are
            brought into it where they are used.
    """

    def __init__(
        self,
        name: str,
        *,
        labels: NDArray[np.int64] | None = None,
        classes: Sequence[str] = (),
        paths: Sequence[Path] | None = None,
        images: Levels | None = None,
        sizes: NDArray[np.int64] | None = None,
        roots: Sequence[Path] = (),
        bad: BadFiles | None = None,
        form: Form | None = None,
        is_formed: bool = False,
    ) -> None:
        if (paths is None) == (images is None):
            raise ValueError("a source has either paths or images")
        self.name = name
        self.labels = labels
        self.classes = list(classes)
        self.paths = None if paths is None else list(paths)
        self.images = images
        self.sizes = sizes
        self.roots = tuple(roots)
        self.form = (Form() if images is None else Form.of_levels(images)) if form is None else form
        self.is_formed = is_formed
        self.bad = BadFiles(name, len(self)) if bad is None else bad

    def __len__(self) -> int:
        if self.paths is not None:
            return len(self.paths)
        assert self.images is not None
        return len(self.images)

    def parts(self, index: int) -> list[Image.Image]:
        """Reads one image, in the source's form.

        Returns:
            Its channels, see `sslfast.data.sources.parts`.

        Raises:
            UnreadableImage: the file cannot be decoded; a caller that goes on without it tells `self.bad`.
        """
        if self.paths is not None:
            return read_parts(self.paths[index], self.form)
        return parts_of_array(self.formed(self.pixels(index)))

    def pixels(self, index: int) -> Levels:
        """Returns one image of the array, (H, W, C), as it was given: without what surrounds it there."""
        assert self.images is not None
        height, width = self.images.shape[1:3] if self.sizes is None else self.sizes[index]
        return self.images[index, :height, :width]

    def image(self, index: int) -> Image.Image:
        """Reads one image as people see it, in RGB of 8 bits. Raises as `parts`."""
        return as_picture(self.parts(index))

    def formed(self, images: Levels) -> Levels:
        """Returns some of the array's images, (..., C), in the source's form."""
        return images if self.is_formed else self.form.of_array(images)

    def subset(self, indices: Sequence[int] | NDArray[np.int64]) -> Source:
        """Selects the images at these positions, in this order; classes and the record of bad files stay."""
        chosen = np.asarray(indices, dtype=np.int64)
        return Source(
            self.name,
            labels=None if self.labels is None else self.labels[chosen],
            classes=self.classes,
            paths=None if self.paths is None else [self.paths[i] for i in chosen],
            images=None if self.images is None else self.images[chosen],
            sizes=None if self.sizes is None else self.sizes[chosen],
            roots=self.roots,
            bad=self.bad,
            form=self.form,
            is_formed=self.is_formed,
        )
