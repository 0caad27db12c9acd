"""Fine-tuning: an encoder and a classifier on it are trained on labeled images, all of them or a few."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import torch

from sslfast.config import DataConfig
from sslfast.config.paths import existing_path
from sslfast.data import Source
from sslfast.data.sources.names import Names
from sslfast.data.sources.subset import balanced_subset
from sslfast.device import choose_device
from sslfast.encoders import Encoder
from sslfast.errors import UsageError
from sslfast.evaluation.classification import classification, open_images
from sslfast.evaluation.classifier import Classifier, linear_head, mlp_head
from sslfast.evaluation.finetune_config import SHARE, FinetuneConfig
from sslfast.evaluation.name import with_ending
from sslfast.evaluation.progress import PROGRESS
from sslfast.evaluation.protocol import Row, RunImages, TrainVal
from sslfast.evaluation.training import Schedule, predictions, train_classifier


def _open(data: Names, val: Names | None, options: FinetuneConfig, run: RunImages | None) -> TrainVal[Source]:
    """Opens the images as `open_images` does, and sets the rates by the share that a file of names is of them."""
    images = open_images(data, val, options, run)
    chosen = labeled_subset(images.train, options.labels, options.seed)
    options = dataclasses.replace(images.options)
    options.set_rates(round(len(chosen) / len(images.train), 3))
    return dataclasses.replace(images, options=options)


def labeled_subset(source: Source, labels: str, seed: int) -> Source:
    """Selects the images of a source whose labels may be used.

    Args:
        source: labeled images.
        labels: `FinetuneConfig.labels`.
        seed: of a share's choice.

    Raises:
        UsageError: the share leaves a class without an image, or the file names one that is not there, or none.
    """
    if share := SHARE.fullmatch(labels):
        if float(share[1]) == 100:
            return source
        count = round(len(source) * float(share[1]) / 100)
        if count < len(source.classes):
            raise UsageError(
                f"labels={labels}: {count} of the {len(source)} images of {source.name}, fewer than its "
                f"{len(source.classes)} classes; use a larger share"
            )
        order = np.random.default_rng(seed).permutation(len(source))
        shuffled = source.subset(order)
        return source.subset(np.sort(order[balanced_subset(shuffled.labels, len(source), count)]))
    return _named(source, existing_path(labels))


def _named(source: Source, file: Path) -> Source:
    """Selects the images of a source that a text file names, by their names or by the ends of their paths."""
    try:
        names = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"labels={file}: cannot be read as a text file of images' names ({error})") from error
    if source.paths is None:
        raise UsageError(f"labels={file}: names files, and the images of {source.name} are none; give a share")
    places: dict[str, list[int]] = {}
    for place, path in enumerate(source.paths):
        for name in (path.name, "/".join(path.parts[-2:])):  # the latter with its class
            places.setdefault(name, []).append(place)
    if missing := [name for name in names if name not in places]:
        raise UsageError(
            f"labels={file}: {len(missing)} of its {len(names)} names are none of an image of {source.name}, the "
            f"first is {missing[0]}"
        )
    if several := next((name for name in names if len(places[name]) > 1), None):
        raise UsageError(
            f"labels={file}: {several} is the name of several images; put their class before it, CLASS/"
        )
    if not names:
        raise UsageError(f"labels={file}: names no image")
    return source.subset([places[name][0] for name in dict.fromkeys(names)])


def _judge(
    encoder: Encoder, train: Source, val: Source, data: DataConfig, options: FinetuneConfig, stem: Path
) -> list[Row]:
    device = choose_device(options.device)
    chosen = labeled_subset(train, options.labels, options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    head = (linear_head if options.head == "linear" else mlp_head)(
        encoder.feature_dim, len(train.classes), generator
    )
    classifier = Classifier(encoder, head, options.frozen).to(device)
    assert options.lr is not None
    assert options.head_lr is not None
    schedule = Schedule(
        epochs=options.epochs,
        batch_size=options.batch_size,
        optimizer="sgd",
        lr=options.lr,
        head_lr=options.head_lr,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
        schedule=options.schedule,
        seed=options.seed,
    )
    train_classifier(classifier, chosen, data, schedule, device, with_ending(stem, PROGRESS))
    if len(chosen) < len(train):
        _write_names(chosen, with_ending(stem, ".labels.txt"))
    return [{"labels": len(chosen), **predictions(classifier, val, data, device, options.chunk).row()}]


def _write_names(source: Source, file: Path) -> None:
    """Writes which images have labels, a line each, as `labels` reads them; an array's images have no names."""
    if source.paths is not None:
        names = [
            "/".join(os.fsencode(part).decode(errors="replace") for part in p.parts[-2:]) for p in source.paths
        ]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(names) + "\n", encoding="utf-8")


FINETUNE = dataclasses.replace(classification(FinetuneConfig, _judge), open=_open)
