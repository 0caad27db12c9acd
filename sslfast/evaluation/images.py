"""The labelled images of an evaluation: a training part and a held-out part, of the same classes."""

from __future__ import annotations

import copy
import dataclasses
import os
from pathlib import Path

import numpy as np

from sslfast.config import DataConfig
from sslfast.config.paths import user_path
from sslfast.data import Source, open_source, split
from sslfast.data.inventory import Inventory
from sslfast.data.sources.torchvision_sets import split_name, test_split
from sslfast.errors import UsageError
from sslfast.evaluation.options import EvaluationConfig

VAL_FRACTION = 0.1  # held out where neither a setting nor the run tells


def is_same_source(data: str, other: str) -> bool:
    """Whether two arguments of `open_source` mean one thing: the same name and split, or the same place."""
    try:
        return user_path(_whole_name(data)).resolve() == user_path(_whole_name(other)).resolve()
    except UsageError:  # a run's recipe may name a folder of another machine, which is no path on this one
        return False


def _whole_name(data: str) -> str:
    """An argument of `open_source` with the split that a data set's bare name stands for."""
    return data if user_path(data).exists() else split_name(data)


def train_and_test(data: str, val: str | None, options: EvaluationConfig) -> tuple[str, str | None]:
    """The training and the held-out images' sources: of a data set's bare name its training and its test split.

    Args:
        data: the training images, as `open_source` takes them.
        val: the held-out images; None: the test split of a bare name, unless `options.val_fraction` asks for a
            part of the training split.
        options: the evaluation's settings as they were given.

    Returns:
        (data, val), where a data set's name tells its split; val is None where a part of `data` is to be held out.

    Raises:
        UsageError: both are the same images.
    """
    name = _whole_name(data)
    if val is None:
        bare = name != data and options.val_fraction is None
        return name, test_split(data) if bare else None
    if is_same_source(data, val):
        raise UsageError(
            f"--val {val}: the images of --data {data}, which an encoder is not to be tested on; name another "
            "split or folder, or leave --val out"
        )
    return name, _whole_name(val)


def with_split(options: EvaluationConfig, data: DataConfig) -> EvaluationConfig:
    """The options, with the number of images and the held-out share of pre-training where they give none."""
    return dataclasses.replace(
        options,
        limit=options.limit or data.limit,
        val_fraction=options.val_fraction or data.val_fraction or VAL_FRACTION,
    )


def open_labeled(
    data: str, val: str | None, options: EvaluationConfig, inventory: Inventory | None = None
) -> tuple[Source, Source]:
    """Opens the training and the held-out images, labelled by the same classes.

    Args:
        data: the training images, as `open_source` takes them.
        val: the held-out images; None: a share of `data`, `options.val_fraction`.
        options: how many images there are to be, and how they are read.
        inventory: the images that the run was pre-trained on, which are to be split as it did; None: others.

    Raises:
        UsageError: images cannot be opened or have no labels, are not those of the inventory, or the held-out ones
            have classes of their own or are among the training images.
    """
    train = _open(data, options, "--data")
    if val is None:
        assert options.val_fraction is not None
        if inventory is not None:
            train = _found(inventory, train, options)
        return split(train, options.val_fraction)
    held_out = _open(val, options, "--val")
    if common := _files(train) & _files(held_out):
        raise UsageError(
            f"--val {val}: {len(common)} of its {len(held_out)} images are among those of --data {data}; name a "
            "split or folder apart from it"
        )
    return train, _relabeled(held_out, train)


def _files(source: Source) -> set[str]:
    """The files of a source by their folders' real paths; empty where the images are an array."""
    real: dict[Path, str] = {}  # by folder, as the images are many
    files = set()
    for path in source.paths or []:
        if path.parent not in real:
            real[path.parent] = os.path.realpath(path.parent)
        files.add(os.path.join(real[path.parent], path.name))
    return files


def readable(source: Source) -> Source:
    """The images of a source without those that have turned out to be unreadable."""
    if source.paths is None:
        return source
    return source.subset([index for index, path in enumerate(source.paths) if path not in source.bad.reasons])


def _open(name: str, options: EvaluationConfig, argument: str) -> Source:
    source = open_source(
        name,
        limit=options.limit,
        max_bad=options.max_bad,
        on_error=options.on_error,
        max_unpacked=options.max_unpacked,
    )
    return _checked_labels(source, argument)


def _checked_labels(source: Source, argument: str) -> Source:
    """The source. Raises UsageError where it has no labels."""
    if source.labels is None:
        raise UsageError(
            f"{argument} {source.name}: has no labels, which an evaluation needs; "
            "put the images of each class into a subfolder of its own"
        )
    return source


def _found(inventory: Inventory, source: Source, options: EvaluationConfig) -> Source:
    """The images of a run where they are now: without one of them, others would be held out than from training."""
    try:
        found = inventory.find(source, limited=options.limit is not None)
    except UsageError as error:
        raise UsageError(f"--data {error}; restore them, or name images to test on by --val") from error
    return _checked_labels(found, "--data")


def _relabeled(source: Source, like: Source) -> Source:
    """A source with the class numbers that another gives to the same names."""
    if unknown := sorted(set(source.classes) - set(like.classes)):
        raise UsageError(
            f"--val {source.name}: has classes that --data {like.name} lacks: {', '.join(unknown[:5])}"
            f"{', ...' if len(unknown) > 5 else ''}; give two parts of one data set"
        )
    assert source.labels is not None
    number = np.array([like.classes.index(name) for name in source.classes], dtype=np.int64)
    relabeled = copy.copy(source)
    relabeled.labels, relabeled.classes = number[source.labels], like.classes
    return relabeled
