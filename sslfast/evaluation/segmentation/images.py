"""The images of an evaluation by masks: a training part and a held-out part, of the same classes."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
from numpy.typing import NDArray

from sslfast.data.masks import IGNORED, MaskedImages, mask_splits, open_masked
from sslfast.data.sources.classes import names_in_short
from sslfast.data.sources.names import Names, listed
from sslfast.errors import UsageError
from sslfast.evaluation.images import VAL_FRACTION
from sslfast.evaluation.parts import check_apart, hold_out, read_each, with_classes
from sslfast.evaluation.protocol import Counts, RunImages, TrainVal
from sslfast.evaluation.segmentation.config import SegmentConfig

log = logging.getLogger(__name__)

TRAIN, VAL = "train", "val"  # the splits that a name without one stands for, where it has both


def open_images(
    names: Names, val_names: Names | None, options: SegmentConfig, run: RunImages | None
) -> TrainVal[MaskedImages]:
    """Opens the training and the held-out images, and reads each once, so that what is wrong is known at once.

    Without `val`, data with the splits train and val, named without one, are the former against the latter; of
    others a share is held out. What a run was pre-trained on has no masks, and makes no difference.

    Raises:
        UsageError: they cannot be opened, a mask does not fit, the two parts share images, or the held-out one has
            classes of its own.
    """
    data, val = _only(names, "--data"), None if val_names is None else _only(val_names, "--val")
    if val is None and options.val_fraction is None:
        splits = mask_splits(data, options.max_unpacked)
        if TRAIN in splits and VAL in splits:
            data, val = f"{data}:{TRAIN}", f"{data}:{VAL}"
    train = _open(data, options)
    if val is None:
        fraction = options.val_fraction or VAL_FRACTION
        options = dataclasses.replace(options, val_fraction=fraction)
        train, test = hold_out(with_classes(train, train, options.classes), fraction)
    else:
        test = with_classes(_open(val, options), train, options.classes)
        train = with_classes(train, train, options.classes)
        check_apart(train, test)
    train, trained = readable(train)
    test, tested = readable(test)
    _warn_of_unknown(test, trained, tested)
    return TrainVal(train, test, data, val, options)


def count(train: MaskedImages, val: MaskedImages) -> Counts:
    """Counts the images and classes."""
    return Counts(train_images=len(train), val_images=len(val), classes=len(train.classes))


def readable(images: MaskedImages) -> tuple[MaskedImages, NDArray[np.int64]]:
    """Finds the images that can be read with their masks, and the number of pixels of each class, int64 (C,).

    Raises:
        UsageError: too many cannot be read, a mask does not fit, or all pixels are ignored.
    """

    def pixels(index: int) -> NDArray[np.int64]:
        return np.bincount(images.pair(index)[1].ravel(), minlength=IGNORED + 1)

    total = np.zeros(IGNORED + 1, dtype=np.int64)
    found: list[int] = []
    for index, counts in read_each(images, pixels, "masks"):
        total += counts
        found.append(index)
    per_class = total[: len(images.classes)]
    if not per_class.any():
        raise UsageError(f"{images.name}: no pixel of its {len(images)} masks has a class; all are ignored")
    return images.subset(found), per_class


def _only(names: Names, argument: str) -> str:
    """Returns the name of a single source. Raises UsageError where there are several."""
    if len(several := listed(names)) > 1:
        raise UsageError(
            f"{argument}: evaluate segment takes one source, got {len(several)}; of Pascal VOC's layout a plus "
            "joins several lists, VOC2012:train+aug"
        )
    return several[0]


def _open(name: str, options: SegmentConfig) -> MaskedImages:
    return open_masked(
        name,
        limit=options.limit,
        max_bad=options.max_bad,
        on_error=options.on_error,
        max_unpacked=options.max_unpacked,
    )


def _warn_of_unknown(test: MaskedImages, trained: NDArray[np.int64], tested: NDArray[np.int64]) -> None:
    """Says which classes are tested and in no training mask: their IoU can only be 0."""
    unknown = [test.classes[number] for number in np.flatnonzero((tested > 0) & (trained == 0))]
    if unknown:
        log.warning(
            "%s: %d classes of the held-out masks are in no training mask: %s",
            test.name,
            len(unknown),
            names_in_short(unknown),
        )
