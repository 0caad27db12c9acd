"""The protocols that judge an encoder by classes: what those of labeled images share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sslfast.config import DataConfig
from sslfast.data import Source
from sslfast.data.sources.names import Names, one_or_list
from sslfast.encoders import Encoder
from sslfast.evaluation.images import is_same_source, open_labeled, readable, train_and_test, with_split
from sslfast.evaluation.options import ClassificationConfig
from sslfast.evaluation.protocol import Counts, Protocol, Row, RunImages, TrainVal
from sslfast.run.inventory import read_inventory


def classification(
    config: type[ClassificationConfig],
    judge: Callable[[Encoder, Source, Source, DataConfig, Any, Path], list[Row]],
) -> Protocol[Source]:
    """Makes a protocol whose training and held-out images are labeled by the same classes."""

    def judge_in_range(
        encoder: Encoder, train: Source, val: Source, data: DataConfig, options: Any, stem: Path
    ) -> list[Row]:
        return judge(encoder, train, val, dataclasses.replace(data, range=options.range), options, stem)

    return Protocol(config, open_images, judge_in_range, count)


def open_images(
    data: Names, val: Names | None, options: ClassificationConfig, run: RunImages | None
) -> TrainVal[Source]:
    """Opens the labeled images of an evaluation.

    Without `val`, a data set's bare name is its training split against its test split; of other data a share is
    held out: on the images that the run was pre-trained on the part that pre-training held out, unless the options
    differ.

    Raises:
        UsageError: data that cannot serve.
    """
    if run is not None:
        options = dataclasses.replace(options, range=options.range or run.data.range)
    data, val = train_and_test(data, val, options)
    is_own = val is None and run is not None and is_same_source(data, run.data.source)
    if val is None:
        of_run = run.data if run is not None and is_own else DataConfig()
        options = dataclasses.replace(with_split(options, of_run), classes=options.classes or of_run.classes)
    own_split = (
        run is not None
        and is_own
        and run.data.labels
        and (options.classes, options.limit, options.val_fraction)
        == (run.data.classes, run.data.limit, run.data.val_fraction)
    )
    inventory = read_inventory(run.inventory) if run is not None and own_split else None
    train, held_out = open_labeled(data, val, options, inventory)
    names, val_names = one_or_list(data), None if val is None else one_or_list(val)
    return TrainVal(train, held_out, names, val_names, options, own_split)


def count(train: Source, val: Source) -> Counts:
    """Counts the images without those that have turned out to be unreadable."""
    train, val = readable(train), readable(val)
    assert val.labels is not None
    return Counts(
        train_images=len(train),
        val_images=len(val),
        classes=len(train.classes),
        chance=np.bincount(val.labels).max().item() / len(val),
        class_names=list(train.classes),
    )
