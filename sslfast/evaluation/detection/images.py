"""The annotated images of an evaluation: a training part and a held-out part, of the same classes."""

from __future__ import annotations

from sslfast.config import DataConfig
from sslfast.data.annotations import AnnotatedImages, open_annotated
from sslfast.data.sources.names import Names, one_or_list
from sslfast.errors import UsageError
from sslfast.evaluation.detection.config import DetectConfig
from sslfast.evaluation.images import with_split
from sslfast.evaluation.parts import check_apart, hold_out, read_each, with_classes
from sslfast.evaluation.protocol import Counts, RunImages, TrainVal
from sslfast.extras import require


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
    require("detection", "evaluate detect")
    train = _open(data, options)
    if val is None:
        options = with_split(options, DataConfig())
        assert options.val_fraction is not None
        train, test = hold_out(with_classes(train, train, options.classes), options.val_fraction)
    else:
        test = with_classes(_open(val, options), train, options.classes)
        train = with_classes(train, train, options.classes)
        check_apart(train, test)
    train, test = readable(train), readable(test)
    for part, images in (("training", train), ("held-out", test)):
        if not with_objects(images):
            raise UsageError(f"{images.name}: no object is annotated in the {len(images)} {part} images")
        if options.masks and not images.has_masks:
            raise UsageError(f"masks=true: the objects of {images.name} have boxes alone; leave masks out")
    return TrainVal(train, test, one_or_list(data), None if val is None else one_or_list(val), options)


def count(train: AnnotatedImages, val: AnnotatedImages) -> Counts:
    """Counts the images and classes."""
    return Counts(train_images=len(train), val_images=len(val), classes=len(train.classes))


def with_objects(images: AnnotatedImages) -> list[int]:
    """Lists the positions of the images that show an object that is not ignored."""
    return [index for index in range(len(images)) if not images.objects(index).ignored.all()]


def readable(images: AnnotatedImages) -> AnnotatedImages:
    """Selects the images that can be read.

    Raises:
        UsageError: too many cannot, or one is of another size than its annotations.
    """

    def check(index: int) -> None:
        images.image(index)

    return images.subset([index for index, _ in read_each(images, check, "images")])


def _open(names: Names, options: DetectConfig) -> AnnotatedImages:
    return open_annotated(
        names,
        limit=options.limit,
        max_bad=options.max_bad,
        on_error=options.on_error,
        max_unpacked=options.max_unpacked,
    )
