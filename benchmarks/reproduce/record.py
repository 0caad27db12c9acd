"""The record of `make reproduce`: what each run came to, and the summary of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from sslfast.benchmarks.reproduce.tables import METHODS, PUBLISHED
from sslfast.report.curves import series, shares
from sslfast.report.summary import training_seconds
from sslfast.run.directory import RunDirectory, read_recipe
from sslfast.run.metrics import read_metrics
from sslfast.sweep.commands import Commands
from sslfast.sweep.grid import Cell


@dataclass(frozen=True)
class ReproducedRun:
    """A run of the tables.

    Attributes:
        row, seed: what it is.
        linear: linear top-1 on the held-out images, a share in [0, 1].
        epochs, knn: the epochs at which kNN was evaluated, and its top-1 there; none where nothing was held out.
        rank: the effective rank of the features at the end.
        minutes: the time of its steps.
    """

    row: str
    seed: int
    linear: float
    epochs: list[float]
    knn: list[float]
    rank: float
    minutes: float


def read_run(cell: Cell, commands: Commands) -> ReproducedRun | None:
    """Reads what a cell has left; None where it is not finished."""
    evaluation = commands.result()
    if evaluation is None:
        return None
    run = RunDirectory(commands.run)
    metrics = read_metrics(run.metrics)
    epochs, knn = shares(metrics, "knn_top1")
    return ReproducedRun(
        row=cell.row,
        seed=cell.seed,
        linear=evaluation.rows[0]["top1"],
        epochs=epochs,
        knn=knn,
        rank=round(series(metrics, "feature_rank")[1][-1], 2),
        minutes=round(training_seconds(read_recipe(run.config), metrics) / 60, 2),
    )


def content(
    header: dict[str, str],
    scale: dict[str, Any],
    runs: Sequence[ReproducedRun],
    earlier: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Makes the record, as its JSON file holds it.

    Args:
        header: what the runs depend on, see `machine.describe`.
        scale: the settings that they share.
        runs: what they came to.
        earlier: the record that they continue: their rows take the places of its own.
    """
    made = [asdict(run) for run in runs]
    if earlier is None:
        return {"header": header, "scale": scale, "runs": made}
    rows = {run.row for run in runs}
    kept = [run for run in earlier["runs"] if run["row"] not in rows]
    return {**earlier, "continued": header, "runs": [*kept, *made]}


def rows(record: dict[str, Any]) -> list[list[str]]:
    """Makes the cells of the table: each row's figures, and the places of the methods here and in the paper."""
    runs = [ReproducedRun(**run) for run in record["runs"]]
    found = {name: [run for run in runs if run.row == name] for name in PUBLISHED}
    mean = {name: fmean(run.linear for run in group) for name, group in found.items() if group}
    here, there = (_places({name: each[name] for name in METHODS if name in mean}) for each in (mean, PUBLISHED))
    return [
        [
            name,
            str(len(group)),
            f"{fmean(run.minutes for run in group):.1f}",
            _with_deviation([run.linear for run in group]),
            _with_deviation([run.knn[-1] for run in group if run.knn]),
            f"{fmean(run.rank for run in group):.1f}",
            here.get(name, ""),
            f"{PUBLISHED[name]:.2%}",
            there.get(name, ""),
        ]
        for name, group in found.items()
        if group
    ]


def _places(values: dict[str, float]) -> dict[str, str]:
    order = sorted(values, key=lambda name: -values[name])
    return {name: str(place) for place, name in enumerate(order, start=1)}


def _with_deviation(values: Sequence[float]) -> str:
    if not values:
        return ""
    deviation = f" ± {100 * stdev(values):.1f}" if len(values) > 1 else ""
    return f"{fmean(values):.1%}{deviation}"


def path_of(results: Path, machine: str, scale: str) -> Path:
    """Names the file of a machine's record."""
    return results / machine / f"reproduce-{scale}.json"
