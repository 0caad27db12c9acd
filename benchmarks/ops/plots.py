"""Plots of benchmark results: a panel a pass, a row a case, a point a provider."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from sslfast.benchmarks.ops.result import OURS, OpResult
from sslfast.benchmarks.style import BLUE, DPI, GRAY, GREEN, ORANGE, PURPLE, ROW, SKY, VERMILION, plain

CHOSEN = "auto"  # of ours: what a user gets; the implementations that it chooses from are no rivals of it
LABELS = {CHOSEN: "sslfast"}
PANEL, CHARACTER, EDGE, LEGEND = 2.7, 0.075, 0.3, 1.3  # inches: a panel, a case's letter, the margin, a label
HEADS = 1.5  # inches: titles and the axis
FEW_DECADES = 100  # from the shortest time to the longest, below which decades alone are too few labels
STYLES = [(GRAY, "s"), (ORANGE, "D"), (VERMILION, "^"), (GREEN, "v"), (PURPLE, "P"), (SKY, "<")]
Styles = Mapping[str, tuple[str, str]]  # a provider's color and marker


def draw(results: Sequence[OpResult], folder: Path) -> list[Path]:
    """Writes one PNG an op into the folder; returns their paths.

    Every case is drawn, and every provider, of ours the one that `auto` chooses. A cross beyond the right edge is
    a provider that had no memory for a case.
    """
    paths = []
    for op in dict.fromkeys(result.op for result in results):
        paths.append(folder / f"{op.strip('_')}.png")
        picture(op, rivals([result for result in results if result.op == op])).savefig(paths[-1], dpi=DPI)
    return paths


def rivals(results: Sequence[OpResult]) -> list[OpResult]:
    """Returns the results without those of the implementations that `auto` chooses from."""
    return [result for result in results if result.provider == CHOSEN or result.provider not in OURS]


def picture(op: str, results: Sequence[OpResult]) -> Figure:
    """Draws the results of an op."""
    cases = list(dict.fromkeys(result.case for result in results))
    passes = list(dict.fromkeys(result.pass_name for result in results))
    others = [provider for provider in dict.fromkeys(r.provider for r in results) if provider != CHOSEN]
    styles = {**dict(zip(others, cycle(STYLES), strict=False)), CHOSEN: (BLUE, "o")}
    handles = [Line2D([], [], label=LABELS.get(name, name), **_look(styles, name)) for name in styles]
    if any(result.milliseconds is None for result in results):
        handles.append(Line2D([], [], color="black", marker="x", linestyle="", label="out of memory"))
    width = EDGE + CHARACTER * max(map(len, cases)) + PANEL * len(passes)
    columns = min(len(handles), int(width / LEGEND))
    height = HEADS + ROW * (len(cases) + math.ceil(len(handles) / columns))
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(op, x=0.01, ha="left", fontsize=11)
    panels = figure.subplots(1, len(passes), sharey=True, squeeze=False)[0]
    for panel, pass_name in zip(panels, passes, strict=True):
        _draw_times(panel, cases, [result for result in results if result.pass_name == pass_name], styles)
        panel.set_title(pass_name, loc="left", fontsize=10)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
    return figure


def _draw_times(panel: Axes, cases: Sequence[str], results: Sequence[OpResult], styles: Styles) -> None:
    for number, (provider, (color, _)) in enumerate(styles.items()):
        times = {cases.index(r.case): r.milliseconds for r in results if r.provider == provider}
        known = {place: time for place, time in times.items() if time is not None}
        without_memory = [place for place in times if place not in known]
        panel.plot(list(known.values()), list(known), **_look(styles, provider))
        for place in without_memory:
            edge = 1 + 0.04 * number  # of the panel's width
            panel.plot(edge, place, "x", color=color, transform=panel.get_yaxis_transform(), clip_on=False)
    panel.set_yticks(range(len(cases)), cases, fontsize=8)
    panel.set_ylim(len(cases) - 0.5, -0.5)  # the first case on top
    panel.set_xscale("log")
    low, high = panel.get_xlim()
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < FEW_DECADES * low else (1,)))
    panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.tick_params(axis="x", which="both", labelsize=8)
    panel.set_xlabel("milliseconds", fontsize=9)
    plain(panel)


def _look(styles: Styles, provider: str) -> dict[str, Any]:
    """Chooses the look of a provider's points; ours alone are full, as equal times would hide one another."""
    color, marker = styles[provider]
    fill = "full" if provider == CHOSEN else "none"
    return {"color": color, "marker": marker, "fillstyle": fill, "linestyle": ""}
