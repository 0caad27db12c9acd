"""Plots of benchmark results: time against each dimension that the cases of an op vary alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from sslfast.benchmarks.ops.result import OpResult


def draw(results: Sequence[OpResult], folder: Path) -> list[Path]:
    """Writes one PNG an op into the folder, if its cases vary in a dimension; returns their paths.

    A row a pass, a column a dimension; a line a provider, through the cases that differ in that dimension only.
    """
    paths = []
    for op in dict.fromkeys(result.op for result in results):
        of_op = [result for result in results if result.op == op and result.milliseconds is not None]
        sweeps = [(name, sweep(of_op, name)) for name in dimensions(of_op)]
        sweeps = [(name, rows) for name, rows in sweeps if len(values(rows, name)) > 1]
        passes = list(dict.fromkeys(result.pass_name for result in of_op))
        if not sweeps:
            continue
        providers = dict.fromkeys(result.provider for result in of_op)
        colors = {provider: f"C{number}" for number, provider in enumerate(providers)}  # the same in every panel
        size = (1 + 4.5 * len(sweeps), 3.6 * len(passes))
        figure, axes = plt.subplots(len(passes), len(sweeps), figsize=size, squeeze=False, layout="constrained")
        for row, pass_name in zip(axes, passes, strict=True):
            for axis, (name, rows) in zip(row, sweeps, strict=True):
                draw_lines(axis, name, [result for result in rows if result.pass_name == pass_name], colors)
                axis.set_title(f"{op}, {pass_name}", fontsize=10)
        lines = [Line2D([], [], color=color, marker="o", markersize=4) for color in colors.values()]
        figure.legend(lines, colors, fontsize=8, loc="outside right upper")
        paths.append(folder / f"{op.strip('_')}.png")
        figure.savefig(paths[-1], dpi=120)
        plt.close(figure)
    return paths


def draw_lines(axis: Axes, name: str, results: Sequence[OpResult], colors: Mapping[str, str]) -> None:
    for provider in dict.fromkeys(result.provider for result in results):
        points = sorted((r.parameters[name], r.milliseconds) for r in results if r.provider == provider)
        axis.plot(*zip(*points, strict=True), marker="o", markersize=4, color=colors[provider])
    fixed = {key: value for key, value in results[0].parameters.items() if key != name}
    rest = ", ".join(f"{key}={value}" for key, value in fixed.items() if isinstance(value, int))
    axis.set_xlabel(f"{name}   ({rest})" if rest else name)
    axis.set_ylabel("milliseconds")
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.grid(alpha=0.3)


def dimensions(results: Sequence[OpResult]) -> list[str]:
    """The names of the cases' parameters that are whole numbers."""
    return list(
        dict.fromkeys(name for r in results for name, value in r.parameters.items() if isinstance(value, int))
    )


def values(results: Sequence[OpResult], name: str) -> set[int | str]:
    return {result.parameters[name] for result in results}


def sweep(results: Sequence[OpResult], name: str) -> list[OpResult]:
    """The largest group of results whose cases differ in the dimension `name` only."""
    groups: dict[tuple[tuple[str, int | str], ...], list[OpResult]] = defaultdict(list)
    for result in results:
        rest = tuple((key, value) for key, value in result.parameters.items() if key != name)
        groups[rest].append(result)
    return max(groups.values(), key=lambda group: len(values(group, name)))
