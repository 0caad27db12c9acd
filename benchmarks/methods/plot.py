"""The picture of `make methods-check`: each method between random initialization and the supervised run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from sslfast.benchmarks.methods.record import RANDOM, SUPERVISED, Summary
from sslfast.benchmarks.style import BLUE, DPI, GRAY, ROW, VERMILION, WIDTH, plain

PANELS = {"knn": "kNN", "linear": "linear probe"}
LINES = {RANDOM: (GRAY, "--"), SUPERVISED: (VERMILION, "-")}


def draw(summaries: Sequence[Summary], title: str, path: Path) -> None:
    """Draws a panel for each evaluation, with a line for each method.

    A blue point is at its mean, a bar goes from its lowest to its highest seed, a gray point is where it began.
    """
    methods = [s for s in summaries if s.method not in LINES]
    figure = Figure(figsize=(WIDTH, 1.6 + ROW * len(methods)), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for panel, (name, label) in zip(panels, PANELS.items(), strict=True):
        for line in (s for s in summaries if s.method in LINES):
            color, style = LINES[line.method]
            panel.axvline(line.scores[name].mean, color=color, linestyle=style, label=line.method)
        for row, s in enumerate(methods):
            score = s.scores[name]
            panel.plot(s.random[name], row, "o", color=GRAY, markersize=4, label="before" if not row else None)
            panel.plot([score.lowest, score.highest], [row, row], color=BLUE, linewidth=2)
            panel.plot(score.mean, row, "o", color=BLUE, markersize=6, label="after" if not row else None)
        panel.set_xlabel(f"{label}, held-out top-1")
        panel.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        plain(panel)
    panels[0].set_yticks(range(len(methods)), [s.method for s in methods])
    panels[0].set_ylim(-0.6, len(methods) - 0.4)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, dpi=DPI)
