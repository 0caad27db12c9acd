"""The annotated images of an evaluation: a training part and a held-out part, of the same classes."""

from __future__ import annotations

import numpy as np
from tqdm import tqdm

from sslfast.config import DataConfig
from sslfast.data.annotations import AnnotatedImages, open_annotated
from sslfast.data.sources.images import UnreadableImage
from sslfast.data.sources.names import Names, one_or_list
from sslfast.data.sources.reading import in_threads
from sslfast.data.sources.united import real_files
from sslfast.data.split import held_out
from sslfast.errors import UsageError
from sslfast.evaluation.detection.average_precision import check_installed
from sslfast.evaluation.detection.config import DetectConfig
from sslfast.evaluation.images import with_split
from sslfast.evaluation.protocol import Counts, RunImages, TrainVal


def open_images(
    data: Names, val: Names | None, options: DetectConfig, run: RunImages | None
) -> TrainVal[AnnotatedImages]:
    """Opens the training and the held-out images, and reads each once, so that what is wrong is known at once.

    Without `val` a share of `data` is held out. What a run was pre-trained on has no objects, and makes no
    difference.

    Raises:
        UsageError: a package is not installed; images cannot be opened, or the two parts share some, or one of
            them has no object, or no outlines where masks are to be predicted.
    """
    check_installed()
    train = _open(data, options)
    if val is None:
        options = with_split(options, DataConfig())
        assert options.val_fraction is not None
        chosen = held_out(train.name, len(train), options.val_fraction)
        train, test = train.subset(np.flatnonzero(~chosen)), train.subset(np.flatnonzero(chosen))
    else:
        test = _open(val, options).with_classes(train.classes)
        if common := real_files(train.paths) & real_files(test.paths):
            raise UsageError(
                f"--val {test.name}: {len(common)} of its {len(test)} images are among those of --data "
                f"{train.name}; name a split or folder apart from it"
            )
    train, test = readable(train), readable(test)
    for part, images in (("training", train), ("held-out", test)):
        if not with_objects(images):
            raise UsageError(f"{images.name}: no object is annotated in the {len(images)} {part} images")
        if options.masks and not images.has_masks:
            raise UsageError(f"masks=true: the objects of {images.name} have boxes alone; leave masks out")
    return TrainVal(train, test, one_or_list(data), None if val is None else one_or_list(val), options)


def count(train: AnnotatedImages, val: AnnotatedImages) -> Counts:
    """The numbers of the images and classes."""
    return Counts(train_images=len(train), val_images=len(val), classes=len(train.classes))


def with_objects(images: AnnotatedImages) -> list[int]:
    """The positions of the images that show an object that is not ignored."""
    return [index for index in range(len(images)) if not images.objects(index).ignored.all()]


def readable(images: AnnotatedImages) -> AnnotatedImages:
    """The images that can be read.

    Raises:
        UsageError: too many cannot, or one is of another size than its annotations.
    """

    def check(index: int) -> UnreadableImage | None:
        try:
            images.image(index)
        except UnreadableImage as error:
            return error
        return None

    found = []
    checked = in_threads(check, range(len(images)))
    for index, error in enumerate(tqdm(checked, "images", len(images), leave=False, disable=None)):
        if error is None:
            found.append(index)
        else:
            images.bad.add(images.paths[index], error)
    return images.subset(found)


def _open(names: Names, options: DetectConfig) -> AnnotatedImages:
    return open_annotated(
        names,
        limit=options.limit,
        max_bad=options.max_bad,
        on_error=options.on_error,
        max_unpacked=options.max_unpacked,
    )
