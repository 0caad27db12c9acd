"""The table of a sweep: a row for each combination of settings, with mean and deviation over the seeds."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from sslfast.evaluation.result import HEADINGS, Evaluation, shown
from sslfast.evaluation.seeds import Spread
from sslfast.report.comparison.grid import NOTHING, Grid, escaped
from sslfast.report.page import aside, page, preformatted, section
from sslfast.run.summary import RunSummary
from sslfast.sweep.grid import Cell

TRAINED = "pre-trained"  # the encoder of a result's rows that a run has trained
KNN = "knn_top1"
MEASURES = {**HEADINGS, KNN: "kNN while training"}
SETTINGS = ("encoder", "labels", "k", "temperature", "weight_decay", "train_top1")  # what judges no encoder
CAPTION = "Mean ± standard deviation over the seeds, in points."


@dataclass(frozen=True)
class Result:
    """What a finished cell has come to."""

    cell: Cell
    evaluation: Evaluation
    summary: RunSummary

    def measures(self) -> dict[str, float]:
        """Returns the measures of the trained encoder: the first row of the result, and kNN's accuracy."""
        row = next(row for row in self.evaluation.rows if row.get("encoder", TRAINED) == TRAINED)
        found = {name: row[name] for name in HEADINGS if name in row and name not in SETTINGS}
        return found if self.summary.knn_top1 is None else {**found, KNN: self.summary.knn_top1}


@dataclass(frozen=True)
class SweepRow:
    """A row of the table.

    Attributes:
        name: its settings.
        seeds: the number of finished runs.
        measures: the measures by their keys in MEASURES; a `Spread` where there are several runs.
        faults: the sentences of its runs that have learned nothing.
    """

    name: str
    seeds: int
    measures: dict[str, float | Spread]
    faults: list[str]


def rows(cells: Sequence[Cell], results: Mapping[str, Result]) -> list[SweepRow]:
    """Makes the rows of a sweep, those without a finished run too.

    Args:
        cells: its runs.
        results: those of the finished ones, by the cells' names.
    """
    found = []
    for name in dict.fromkeys(cell.row for cell in cells):
        mine = [results[cell.name] for cell in cells if cell.row == name and cell.name in results]
        measured = [result.measures() for result in mine]
        keys = dict.fromkeys(key for each in measured for key in each)
        faults = [fault.message for result in mine for fault in result.summary.faults]
        spread = {key: _spread([each[key] for each in measured if each.get(key) is not None]) for key in keys}
        found.append(SweepRow(name, len(mine), spread, faults))
    return found


def _spread(values: Sequence[float]) -> float | Spread:
    return Spread(fmean(values), stdev(values)) if len(values) > 1 else values[0]


def grid(table: Sequence[SweepRow]) -> Grid:
    """Makes the table to show."""
    keys = [key for key in MEASURES if any(key in row.measures for row in table)]
    cells = [
        [
            (row.name, row.faults[0] if row.faults else ""),
            (str(row.seeds), ""),
            *((shown(row.measures[key]), "") if key in row.measures else NOTHING for key in keys),
        ]
        for row in table
    ]
    return Grid(["row", "seeds", *(MEASURES[key] for key in keys)], cells)


def to_csv(table: Sequence[SweepRow]) -> str:
    """Writes a line a row: the number of seeds, the means of the measures, of several seeds their deviations."""
    lines = [dict(_line(row)) for row in table]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for line in lines for key in line)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _line(row: SweepRow) -> Iterator[tuple[str, Any]]:
    yield from (("row", row.name), ("seeds", row.seeds))
    for key, value in row.measures.items():
        yield key, value.mean if isinstance(value, Spread) else value
        if isinstance(value, Spread):
            yield f"{key} deviation", value.deviation


def to_markdown(title: str, table: Sequence[SweepRow]) -> str:
    """Writes the table as a Markdown file."""
    return f"# {escaped(title)}\n\n{grid(table).markdown()}\n\n{CAPTION}\n"


def to_html(title: str, lead: str, table: Sequence[SweepRow], commands: Sequence[str]) -> str:
    """Writes the table as a page, above the commands that make it."""
    body = [
        section("Table", grid(table).html(), aside(CAPTION)),
        section("Commands", preformatted("\n".join(commands))),
    ]
    return page(title, lead, body)
