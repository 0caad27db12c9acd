"""The runs in a table: what each is, and what it has come to."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from sslfast.data.sources.names import joined
from sslfast.report.comparison.grid import NOTHING, Grid
from sslfast.report.comparison.run import ComparedRun
from sslfast.report.curves import series, shares
from sslfast.report.numbers import duration
from sslfast.report.page import Cell
from sslfast.report.summary import figures, sentence, training_seconds, verdict
from sslfast.run.backbone import initial_name


def overview(runs: Sequence[ComparedRun]) -> Grid:
    """Makes a row for each run: its method, encoder, images and latest figures."""
    rows = [dict(_row(run)) for run in runs]
    columns = dict.fromkeys(column for row in rows for column in row)
    cells = [
        [(run.name, ""), *(row.get(column, NOTHING) for column in columns)]
        for run, row in zip(runs, rows, strict=True)
    ]
    return Grid(["run", *columns], cells)


def _row(run: ComparedRun) -> Iterator[tuple[str, Cell]]:
    recipe = run.recipe
    yield "method", (recipe.method.name, "")
    yield "encoder", (recipe.encoder.name, "" if recipe.encoder.width == 1 else f"width {recipe.encoder.width:g}")
    yield "images", (joined(recipe.data.source), f"at {recipe.data.size} pixels")
    for name, (text, below) in figures(recipe, run.metrics, run.held_out_images):
        yield name, (text, "" if name == "loss" else below)
    if seconds := training_seconds(recipe, run.metrics):
        yield "training", (duration(seconds), "")
    if speeds := series(run.metrics, "images_per_second")[1]:
        yield "images/s", (f"{statistics.median(speeds):.4g}", "")


def verdicts(runs: Sequence[ComparedRun]) -> Iterator[tuple[str, list[str]]]:
    """Says by name what runs have come to: a sentence on kNN, and one on each sign that nothing is learned."""
    for run in runs:
        knn = (
            [verdict(run.metrics, run.held_out_images, initial_name(run.recipe.encoder))]
            if any(shares(run.metrics, "knn_top1"))
            else []
        )
        faults = [sentence(fault.message) for fault in run.summary.faults] if run.summary else []
        yield run.name, [*knn, *faults] or ["No kNN accuracy is logged."]
