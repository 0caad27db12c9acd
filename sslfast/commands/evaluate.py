"""`sslfast evaluate`: a checkpoint's encoder, beside the same one with random weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter
from torch import Tensor

from sslfast.config import DataConfig
from sslfast.config.settings import apply_overrides, nearest, validate
from sslfast.data import Source, open_source, split
from sslfast.device import choose_device
from sslfast.errors import UsageError
from sslfast.evaluate.features import labelled_features
from sslfast.evaluate.knn import KNNConfig, knn_accuracy
from sslfast.evaluate.linear import LinearConfig, linear_probe
from sslfast.evaluate.options import EvaluationConfig
from sslfast.evaluate.result import Evaluation
from sslfast.run.backbone import load_encoder, random_encoder

Labelled = tuple[Tensor, Tensor]  # features (N, D) and classes (N,)
VAL_FRACTION = 0.1  # held out where neither a setting nor the run tells


def evaluate(
    kind: str,
    checkpoint: Path,
    data: str,
    val: str | None = None,
    overrides: Sequence[str] = (),
    *,
    random_baseline: bool = True,
) -> Evaluation:
    """Evaluates a checkpoint and writes evaluation/<kind>-<data>.json into its run's directory.

    Without `val`, a fixed part of `data` is held out. On the data that the run was pre-trained on it is the part
    that pre-training held out, since `limit` and `val_fraction` are then the run's unless overridden; the result
    states both, and says where the parts are the same. On other data they are "all" and 0.1.

    Args:
        kind: a key of EVALUATIONS.
        checkpoint: a checkpoint's file or a run's directory.
        data: labelled images to train on, as `open_source` takes them.
        val: labelled images to test on; None: a part of `data`.
        overrides: "key=value" settings of the evaluation.
        random_baseline: evaluate the same architecture with the initial weights of the run's seed as well.

    Raises:
        UsageError: an unknown evaluation or setting, a bad checkpoint, data that cannot serve, or a result that
            cannot be written.
    """
    if kind not in EVALUATIONS:
        raise UsageError(f"evaluate {kind}: no such evaluation{nearest(kind, EVALUATIONS)}")
    schema, rows_of = EVALUATIONS[kind]
    options = validate(schema, apply_overrides(schema, {}, overrides), origin=f"evaluate {kind}")
    device = choose_device(options.device)
    encoder, recipe = load_encoder(checkpoint, device)
    own_data = val is None and _is_same_source(data, recipe.data.source)
    if val is None:
        options = _with_split(options, recipe.data if own_data else DataConfig())
    train, held_out = _open(data, val, options)

    encoders = {"pre-trained": encoder}
    if random_baseline:
        initial = random_encoder(recipe.encoder, recipe.data, recipe.train.seed)
        encoders["random initialisation"] = initial.to(device)
    rows = []
    for name, candidate in encoders.items():
        train_features, val_features = (
            labelled_features(candidate, source, recipe.data, device, batch_size=options.chunk)
            for source in (train, held_out)
        )
        found = rows_of(train_features, val_features, len(train.classes), options)
        rows += [{"encoder": name, **row} for row in found]

    labels = val_features[1]
    evaluation = Evaluation(
        kind=kind,
        checkpoint=str(checkpoint),
        data=data,
        val=val,
        options=TypeAdapter(schema).dump_python(options, mode="json"),
        train_images=len(train_features[1]),
        val_images=len(labels),
        classes=len(train.classes),
        chance=labels.bincount().max().item() / len(labels),
        rows=rows,
        own_split=own_data
        and (options.limit, options.val_fraction) == (recipe.data.limit, recipe.data.val_fraction),
    )
    evaluation.save(run_folder(checkpoint) / "evaluation")
    return evaluation


def run_folder(checkpoint: Path) -> Path:
    """The run's directory that a checkpoint belongs to; for a checkpoint elsewhere, the folder it lies in."""
    if checkpoint.is_dir():
        return checkpoint
    folder = checkpoint.resolve().parent
    return folder.parent if folder.name == "checkpoints" else folder


def _is_same_source(data: str, other: str) -> bool:
    """Whether two arguments of `open_source` mean one thing: the same name, or paths to the same place."""
    return Path(data).expanduser().resolve() == Path(other).expanduser().resolve()


def _with_split(options: EvaluationConfig, data: DataConfig) -> EvaluationConfig:
    """The options, with what they leave open about the split as pre-training has it."""
    return dataclasses.replace(
        options,
        limit=options.limit or data.limit,
        val_fraction=options.val_fraction or data.val_fraction or VAL_FRACTION,
    )


def _open(data: str, val: str | None, options: EvaluationConfig) -> tuple[Source, Source]:
    """Training and held-out images, labelled by the same classes."""
    source = open_source(data, limit=options.limit, max_bad=options.max_bad, on_error=options.on_error)
    _require_labels(source, "--data")
    if val is None:
        assert options.val_fraction is not None
        return split(source, options.val_fraction)
    held_out = open_source(val, limit=options.limit, max_bad=options.max_bad, on_error=options.on_error)
    _require_labels(held_out, "--val")
    return source, _relabelled(held_out, source)


def _require_labels(source: Source, argument: str) -> None:
    if source.labels is None:
        raise UsageError(
            f"{argument} {source.name}: has no labels, which an evaluation needs; "
            "put the images of each class into a subfolder of its own"
        )


def _relabelled(source: Source, like: Source) -> Source:
    """A source with the class numbers that another gives to the same names."""
    if unknown := sorted(set(source.classes) - set(like.classes)):
        raise UsageError(
            f"--val {source.name}: has classes that --data {like.name} lacks: {', '.join(unknown[:5])}"
            f"{', ...' if len(unknown) > 5 else ''}; give two parts of one data set"
        )
    assert source.labels is not None
    number = np.array([like.classes.index(name) for name in source.classes], dtype=np.int64)
    return Source(
        source.name,
        labels=number[source.labels],
        classes=like.classes,
        paths=source.paths,
        images=source.images,
        bad=source.bad,
    )


def _knn(train: Labelled, val: Labelled, classes: int, options: KNNConfig) -> list[dict[str, Any]]:
    # More neighbours than images is the vote of all images; the table shows how many voted.
    counts = dict.fromkeys(min(k, len(train[1])) for k in options.k)
    return [
        {"k": k, **knn_accuracy(*train, *val, k=k, temperature=options.temperature, classes=classes)}
        for k in counts
    ]


def _linear(train: Labelled, val: Labelled, classes: int, options: LinearConfig) -> list[dict[str, Any]]:
    return [linear_probe(*train, *val, config=options, classes=classes)]


EVALUATIONS: dict[str, tuple[type[EvaluationConfig], Any]] = {
    "knn": (KNNConfig, _knn),
    "linear": (LinearConfig, _linear),
}
