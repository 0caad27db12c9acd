"""The picture of `make bench-train`: other packages' rates beside ours, and our overhead."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from sslfast.benchmarks.style import BLUE, DPI, GRAY, ROW, VERMILION, WIDTH, plain
from sslfast.benchmarks.train.record import OURS, TrainResult

# A pipeline's color, marker and place within its method's row, so that equal rates do not hide one another.
STYLES = {OURS: (BLUE, "o", 0.0), "lightly": (VERMILION, "s", -0.28), "solo-learn": (GRAY, "^", 0.28)}


def draw(results: Sequence[TrainResult], path: Path) -> None:
    """Writes the `picture` of the results as a PNG."""
    picture(results).savefig(path, dpi=DPI)


def picture(results: Sequence[TrainResult]) -> Figure:
    """Draws a row of panels for each case, with a line for each method.

    The panels show the pipelines' rates, and the share of our step outside the networks.
    """
    by_case = {case: [r for r in results if r.case == case] for case in dict.fromkeys(r.case for r in results)}
    heights = [1.3 + ROW * len({r.method for r in of_case}) for of_case in by_case.values()]
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08)
    figure = Figure(figsize=(WIDTH, 0.5 + sum(heights)), layout=layout)
    rows = figure.subplots(len(by_case), 2, squeeze=False, height_ratios=heights)
    for (rates, shares), (case, of_case) in zip(rows, by_case.items(), strict=True):
        methods = sorted({r.method for r in of_case})
        for pipeline, (color, marker, offset) in STYLES.items():
            known = [r for r in of_case if r.pipeline == pipeline and r.images_per_second is not None]
            places = [methods.index(r.method) + offset for r in known]
            speeds = [r.images_per_second for r in known]
            rates.plot(speeds, places, marker, color=color, markersize=4, label=pipeline)
        overheads = {methods.index(r.method): 100 * r.overhead for r in of_case if r.overhead is not None}
        shares.barh(list(overheads), list(overheads.values()), color=BLUE, height=0.6)
        rates.set_title(f"{case}, batches of {of_case[0].batch}", loc="left", fontsize=11)
        rates.set_xlabel("images per second of training", fontsize=9)
        rates.set_xlim(left=0, right=1.05 * rates.get_xlim()[1])
        shares.set_xlabel("overhead, % of our step", fontsize=9)
        for panel in (rates, shares):
            panel.set_yticks(range(len(methods)), methods if panel is rates else [], fontsize=8)
            panel.set_ylim(len(methods) - 0.4, -0.6)  # the first method on top
            panel.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
            panel.tick_params(axis="x", labelsize=8)
            plain(panel)
    handles = rows[0][0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure
