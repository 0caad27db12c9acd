"""The picture of `make reproduce`: the accuracy of kNN over the epochs, a line a method."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from sslfast.benchmarks.reproduce.record import ReproducedRun
from sslfast.benchmarks.reproduce.tables import METHODS
from sslfast.benchmarks.style import BLUE, DPI, GRAY, GREEN, ORANGE, PURPLE, SKY, VERMILION, WIDTH, plain

COLORS = dict(zip(METHODS, (GRAY, SKY, ORANGE, PURPLE, GREEN, BLUE, VERMILION), strict=True))


def draw(record: dict[str, Any], path: Path) -> None:
    """Draws the means over the seeds of the methods of table 1, as far as they had held-out images."""
    runs = [ReproducedRun(**run) for run in record["runs"]]
    figure = Figure(figsize=(WIDTH, 4.0), layout="constrained")
    panel = figure.subplots()
    for method, color in COLORS.items():
        if mine := [run for run in runs if run.row == method and run.knn]:
            means = [fmean(values) for values in zip(*(run.knn for run in mine), strict=True)]
            panel.plot(mine[0].epochs, means, "o-", color=color, label=method, markersize=4, linewidth=1.6)
    panel.set_xlabel("epoch")
    panel.set_ylabel("kNN, held-out top-1")
    panel.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    plain(panel)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, dpi=DPI)
