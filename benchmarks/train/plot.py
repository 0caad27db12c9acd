"""The picture of `make bench-train`: other packages' rates beside ours, and our overhead."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sslfast.benchmarks.train.record import OURS, TrainResult
from sslfast.report.style import BLUE, DPI, GRAY, VERMILION, WIDTH

STYLES = {OURS: (BLUE, "o"), "lightly": (VERMILION, "s"), "solo-learn": (GRAY, "^")}


def draw(results: Sequence[TrainResult], path: Path) -> None:
    """Draws a row of panels for each case, with a line for each method.

    The panels show the pipelines' rates, and the share of our step outside the networks.
    """
    by_case = {case: [r for r in results if r.case == case] for case in dict.fromkeys(r.case for r in results)}
    heights = [1.2 + 0.2 * len({r.method for r in of_case}) for of_case in by_case.values()]
    figure = Figure(figsize=(WIDTH, 0.5 + sum(heights)), layout="constrained")
    rows = figure.subplots(len(by_case), 2, sharey="row", squeeze=False, height_ratios=heights)
    for (rates, shares), (case, of_case) in zip(rows, by_case.items(), strict=True):
        methods = sorted({r.method for r in of_case}, reverse=True)
        for pipeline, (color, marker) in STYLES.items():
            known = [r for r in of_case if r.pipeline == pipeline and r.images_per_second is not None]
            places = [methods.index(r.method) for r in known]
            speeds = [r.images_per_second for r in known]
            fill, size = ("full", 5) if pipeline == OURS else ("none", 7)  # equal rates do not hide one another
            rates.plot(speeds, places, marker, color=color, fillstyle=fill, markersize=size, label=pipeline)
        overheads = {methods.index(r.method): 100 * r.overhead for r in of_case if r.overhead is not None}
        shares.barh(list(overheads), list(overheads.values()), color=BLUE, height=0.6)
        rates.set_title(f"{case}, batches of {of_case[0].batch}", loc="left", fontsize=11)
        rates.set_xlabel("images per second of training")
        rates.set_xlim(left=0)
        rates.set_ylim(-1, len(methods))
        rates.set_yticks(range(len(methods)), methods, fontsize=8)
        shares.set_xlabel("overhead, % of our step")
        for panel in (rates, shares):
            _plain(panel)
    figure.legend(*rows[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, dpi=DPI)


def _plain(panel: Axes) -> None:
    panel.grid(color="#e4e4e4", linewidth=0.8)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
