"""The labeled images of an evaluation: a training part and a held-out part, of the same classes."""

from __future__ import annotations

import copy
import dataclasses
from itertools import product
from typing import TypeVar

from sslfast.config import DataConfig
from sslfast.data import Source, open_source, split
from sslfast.data.inventory import Inventory
from sslfast.data.sources.classes import names_in_short, read_classes
from sslfast.data.sources.names import Names, held_out_name, is_same, listed, whole_name
from sslfast.data.sources.united import relabeled
from sslfast.data.split import untrained_classes
from sslfast.errors import UsageError
from sslfast.evaluation.options import ClassificationConfig, EvaluationConfig
from sslfast.evaluation.parts import check_apart

Options = TypeVar("Options", bound=EvaluationConfig)

VAL_FRACTION = 0.1  # held out where neither a setting nor the run tells


def is_same_source(data: Names, other: Names) -> bool:
    """Tells whether two arguments of `open_source` mean the same images in the same order, by their names."""
    names, others = listed(data), listed(other)
    try:
        return len(names) == len(others) and all(map(is_same, names, others))
    except UsageError:  # a run's recipe may name a folder of another machine, which is no path on this one
        return False


def train_and_test(
    data: Names, val: Names | None, options: EvaluationConfig
) -> tuple[list[str], list[str] | None]:
    """Names the sources of training and held-out images: of a data set's bare name its training and test split.

    Args:
        data: the training images, as `open_source` takes them.
        val: the held-out images; None: the test splits of bare names, if each has one, unless
            `options.val_fraction` asks for a part of the training images.
        options: the evaluation's settings as they were given.

    Returns:
        (data, val), where a data set's name tells its split; val is None where a part of `data` is to be held out.

    Raises:
        UsageError: an image set is in both.
    """
    given = listed(data)
    names = [whole_name(name, options.max_unpacked) for name in given]
    if val is None:
        tests = [test for name in given if (test := held_out_name(name, options.max_unpacked))]
        return names, tests if len(tests) == len(given) and options.val_fraction is None else None
    held_out = [whole_name(name, options.max_unpacked) for name in listed(val)]
    for data_name, val_name in product(given, listed(val)):
        if is_same(data_name, val_name):
            raise UsageError(
                f"--val {val_name}: the images of --data {data_name}, which an encoder is not to be tested on; "
                "name another split or folder, or leave --val out"
            )
    return names, held_out


def with_split(options: Options, data: DataConfig) -> Options:
    """Returns the options, with pre-training's number of images and held-out share where they give none."""
    return dataclasses.replace(
        options,
        limit=options.limit or data.limit,
        val_fraction=options.val_fraction or data.val_fraction or VAL_FRACTION,
    )


def open_labeled(
    data: Names, val: Names | None, options: ClassificationConfig, inventory: Inventory | None = None
) -> tuple[Source, Source]:
    """Opens the training and the held-out images, labeled by the same classes.

    Args:
        data: the training images, as `open_source` takes them.
        val: the held-out images; None: a share of `data`, `options.val_fraction`.
        options: how many images there are to be, and how they are read.
        inventory: the images that the run was pre-trained on, which are to be split as it did; None: others.

    Raises:
        UsageError: images cannot be opened or have no labels, are not those of the inventory, or the held-out ones
            have classes of their own, or of which no image is to train on, or are among the training images.
    """
    train = _open(data, options, "--data")
    if val is None:
        assert options.val_fraction is not None
        if inventory is not None:
            train = _found(inventory, train, options)
        train, held_out = split(train, options.val_fraction)
    else:
        held_out = _open(val, options, "--val")
        check_apart(train, held_out)
        held_out = _relabeled(held_out, train)
    if untrained := untrained_classes(train, held_out):
        raise UsageError(
            f"--data {train.name}: of {len(untrained)} classes that are tested no image is left to train on: "
            f"{names_in_short(untrained)}; give more images, a larger limit or a smaller val_fraction, or choose "
            "other classes by classes="
        )
    return train, held_out


def readable(source: Source) -> Source:
    """Leaves out the images of a source that have turned out to be unreadable."""
    if source.paths is None:
        return source
    return source.subset([index for index, path in enumerate(source.paths) if path not in source.bad.reasons])


def _open(names: Names, options: ClassificationConfig, argument: str) -> Source:
    source = open_source(
        names,
        classes=read_classes(options.classes),
        allow_missing=argument == "--val",  # whose classes may be a part of those of --data
        limit=options.limit,
        max_bad=options.max_bad,
        on_error=options.on_error,
        max_unpacked=options.max_unpacked,
    )
    return _checked_labels(source, argument)


def _checked_labels(source: Source, argument: str) -> Source:
    """Returns the source. Raises UsageError where it has no labels."""
    if source.labels is None:
        raise UsageError(
            f"{argument} {source.name}: has no labels, which an evaluation needs; "
            "put the images of each class into a subfolder of its own"
        )
    return source


def _found(inventory: Inventory, source: Source, options: EvaluationConfig) -> Source:
    """Finds a run's images where they are now: without one, others would be held out than from training."""
    try:
        found = inventory.find(source, limited=options.limit is not None)
    except UsageError as error:
        raise UsageError(f"--data {error}; restore them, or name images to test on by --val") from error
    return _checked_labels(found, "--data")


def _relabeled(source: Source, like: Source) -> Source:
    """Returns a source with the class numbers that another gives to the same names."""
    if unknown := sorted(set(source.classes) - set(like.classes)):
        others = sorted(set(like.classes) - set(source.classes))
        alone = f"; it alone has: {names_in_short(others)}" if others else ""
        raise UsageError(
            f"--val {source.name}: of its {len(source.classes)} classes --data {like.name} lacks: "
            f"{names_in_short(unknown)}{alone}; classes go by their names: give two parts of one data set, or "
            "choose classes by classes="
        )
    changed = copy.copy(source)
    changed.labels, changed.classes = relabeled(source, like.classes), like.classes
    return changed
