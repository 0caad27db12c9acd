"""The linear probe as a protocol."""

from __future__ import annotations

from pathlib import Path

import torch

from sslfast.config import DataConfig
from sslfast.data import Source
from sslfast.device import choose_device
from sslfast.encoders import Encoder
from sslfast.evaluation.classification import classification
from sslfast.evaluation.classifier import Classifier, linear_head
from sslfast.evaluation.features import train_val_features
from sslfast.evaluation.linear.config import FAST, PUBLISHED, LinearConfig
from sslfast.evaluation.linear.logistic import fast_probe
from sslfast.evaluation.linear.probe import linear_probe, warn_of_short_lars
from sslfast.evaluation.name import with_ending
from sslfast.evaluation.progress import PROGRESS
from sslfast.evaluation.protocol import Row
from sslfast.evaluation.training import Schedule, predictions, train_classifier


def _judge(
    encoder: Encoder, train: Source, val: Source, data: DataConfig, options: LinearConfig, stem: Path
) -> list[Row]:
    classes = len(train.classes)
    if options.protocol not in PUBLISHED:
        features = train_val_features(encoder, train, val, data, options)
        probe = fast_probe if options.protocol == FAST else linear_probe
        return [probe(*features, config=options, num_classes=classes)]
    warn_of_short_lars(options, len(train))
    device = choose_device(options.device)
    generator = torch.Generator().manual_seed(options.seed)
    head = linear_head(encoder.feature_dim, classes, generator, standardize=bool(options.standardize))
    classifier = Classifier(encoder, head, "all").to(device)
    schedule = Schedule(
        epochs=options.epochs,
        batch_size=options.batch_size,
        optimizer=options.form or "sgd",
        lr=0.0,
        head_lr=options.lr,
        momentum=options.momentum,
        weight_decay=options.weight_decay or 0.0,
        schedule="cosine" if options.form == "lars" else "steps",
        seed=options.seed,
    )
    train_classifier(classifier, train, data, schedule, device, with_ending(stem, PROGRESS))
    return [predictions(classifier, val, data, device, options.chunk).row()]


LINEAR = classification(LinearConfig, _judge)
