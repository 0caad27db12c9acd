"""The section of a report about what `sslfast evaluate` left in a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sslfast.data.sources.names import joined
from sslfast.errors import UsageError
from sslfast.evaluation.protocol import CONFUSION
from sslfast.evaluation.result import HEADINGS, Evaluation, load_results, shown
from sslfast.evaluation.seeds import Spread, over_seeds
from sslfast.report.confusion import commonest_confusions, draw_confusion
from sslfast.report.numbers import accuracy
from sslfast.report.page import Cell, aside, folded, pair, paragraph, section, subheading, table
from sslfast.report.pictures import draw_pictures

ACCURACIES = {"train_top1": "train_images", "top1": "val_images", "top5": "val_images"}  # and what they are of


def evaluations(folder: Path, weights: str | None = None) -> Iterator[str]:
    """Yields a section with the evaluations that stand in a folder; none where there is none.

    Args:
        folder: where they are.
        weights: show those of the encoder with this digest alone; None: all.

    Raises:
        UsageError: a file there is no evaluation, or a picture beside it cannot be read.
    """
    tables = [
        _evaluation(path, evaluation)
        for path, evaluation in load_results(folder).items()
        if weights is None or evaluation.weights == weights
    ]
    if not tables:
        return
    yield section(
        "Evaluations",
        paragraph(
            "Labels judge the encoder; below an accuracy stands its 95% interval. Good: pre-trained is "
            "above random initialization, the same network untrained, and their intervals do not overlap. A "
            "constant guess reaches chance. Of several seeds a figure is the mean ± the standard deviation."
        ),
        *tables,
    )


def _evaluation(path: Path, evaluation: Evaluation) -> str:
    try:
        judged = over_seeds(evaluation.rows)
        columns = [key for key in HEADINGS if any(key in row for row in judged)]
        rows = [[_cell(evaluation, row, key) for key in columns] for row in judged]
        return "\n".join(
            [
                subheading(f"{evaluation.kind} on {joined(evaluation.data)}"),
                table([_heading(evaluation, key) for key in columns], rows),
                aside(evaluation.caption()),
                *_confusion(evaluation, judged),
                *draw_pictures(path),
                folded("Settings", "\n".join(map(aside, [evaluation.settings(), *evaluation.making()]))),
            ]
        )
    except (TypeError, ValueError, LookupError, ArithmeticError) as error:  # numbers that are none
        raise UsageError(f"{path}: not an evaluation of sslfast; evaluate again, or remove it") from error


def _confusion(evaluation: Evaluation, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Shows what the first encoder's classifier takes for what, where that was counted."""
    confusion = rows[0].get(CONFUSION) if rows else None
    if confusion:
        classes = evaluation.class_names
        yield pair(
            draw_confusion(rows[0]["encoder"], confusion, classes),
            f"<div>{commonest_confusions(confusion, classes)}</div>",
        )


def _heading(evaluation: Evaluation, key: str) -> str:
    number = f" of {getattr(evaluation, ACCURACIES[key]):,}" if key in ACCURACIES else ""
    return f"{HEADINGS[key]}{number}"


def _cell(evaluation: Evaluation, row: Mapping[str, Any], key: str) -> Cell:
    value = row.get(key)
    if value is None or key not in ACCURACIES:
        return shown(value), ""
    mean = value.mean if isinstance(value, Spread) else value
    return shown(value), accuracy(mean, getattr(evaluation, ACCURACIES[key]))[1]
