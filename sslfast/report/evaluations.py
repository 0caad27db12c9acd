"""The section of a report about what `sslfast evaluate` left in a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sslfast.errors import UsageError
from sslfast.evaluation.result import HEADINGS, Evaluation, shown
from sslfast.report.numbers import accuracy
from sslfast.report.page import Cell, aside, folded, paragraph, section, subheading, table

ACCURACIES = {"train_top1": "train_images", "top1": "val_images", "top5": "val_images"}  # and what they are of


def evaluations(folder: Path) -> Iterator[str]:
    """A section with a table for each evaluation that stands in a folder; none where there is none.

    Raises:
        UsageError: a file there is no evaluation.
    """
    tables = [_evaluation(path) for path in sorted(folder.glob("*.json"))]
    if not tables:
        return
    yield section(
        "Evaluations",
        paragraph(
            "Labels judge the encoder; below an accuracy stands its 95% interval. Good: pre-trained is "
            "above random initialisation, the same network before training, and their intervals do not overlap. A "
            "constant guess reaches chance."
        ),
        *tables,
    )


def _evaluation(path: Path) -> str:
    evaluation = Evaluation.load(path)
    columns = [key for key in HEADINGS if any(key in row for row in evaluation.rows)]
    try:
        rows = [[_cell(evaluation, row, key) for key in columns] for row in evaluation.rows]
        return "\n".join(
            [
                subheading(f"{evaluation.kind} on {evaluation.data}"),
                table([_heading(evaluation, key) for key in columns], rows),
                aside(evaluation.caption()),
                folded("Settings", aside(evaluation.settings())),
            ]
        )
    except (TypeError, ValueError) as error:  # numbers that are none
        raise UsageError(f"{path}: not an evaluation of sslfast; evaluate again, or remove it") from error


def _heading(evaluation: Evaluation, key: str) -> str:
    number = f" of {getattr(evaluation, ACCURACIES[key]):,}" if key in ACCURACIES else ""
    return f"{HEADINGS[key]}{number}"


def _cell(evaluation: Evaluation, row: Mapping[str, Any], key: str) -> Cell:
    value = row.get(key)
    if value is not None and key in ACCURACIES:
        return accuracy(value, getattr(evaluation, ACCURACIES[key]))
    return shown(value), ""
