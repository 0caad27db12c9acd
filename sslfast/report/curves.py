"""The curves of a run, out of its metrics.jsonl."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.ticker import MaxNLocator, PercentFormatter

from sslfast.report.style import BLUE, GRAY, axes, save

Metrics = list[dict[str, Any]]
SMOOTHING = 1 / 30  # of the curve, on each side; neighbouring steps differ by their images more than by progress


def series(metrics: Metrics, name: str) -> tuple[list[float], list[float]]:
    """The (epochs, values) of the lines that have a finite value of that name."""
    lines = [line for line in metrics if math.isfinite(line.get(name, math.nan))]
    return [line["epoch"] for line in lines], [line[name] for line in lines]


def draw_curves(metrics: Metrics, folder: Path) -> list[Path]:
    """Draws loss.png, learning_rate.png and knn.png, those that have values; returns their paths."""
    paths = []
    if any("loss" in line for line in metrics):
        paths += [_loss(metrics, folder / "loss.png"), _learning_rate(metrics, folder / "learning_rate.png")]
    if any("knn_top1" in line for line in metrics):
        paths.append(_knn(metrics, folder / "knn.png"))
    return paths


def _loss(metrics: Metrics, path: Path) -> Path:
    figure, plot = axes(3.2, "Training loss", "epoch", "loss")
    epochs, values = series(metrics, "loss")
    plot.plot(epochs, values, color=BLUE, alpha=0.3, linewidth=1, marker=".", markersize=2, label="a step")
    plot.plot(
        epochs, smoothed(values, round(SMOOTHING * len(values))), color=BLUE, linewidth=2, label="moving average"
    )
    plot.legend(frameon=False)
    return save(figure, path)


def smoothed(values: list[float], radius: int) -> list[float]:
    """The moving average: each value's mean with up to `radius` neighbours on each side, as many on both."""
    means = []
    for i in range(len(values)):
        reach = min(radius, i, len(values) - 1 - i)
        means.append(fmean(values[i - reach : i + reach + 1]))
    return means


def _learning_rate(metrics: Metrics, path: Path) -> Path:
    figure, plot = axes(2.6, "Learning rate", "epoch", "learning rate")
    plot.plot(*series(metrics, "lr"), color=BLUE, linewidth=2)
    plot.set_ylim(bottom=0)
    return save(figure, path)


def _knn(metrics: Metrics, path: Path) -> Path:
    figure, plot = axes(3.2, "kNN accuracy on held-out images", "epoch", "top-1")
    epochs, values = series(metrics, "knn_top1")
    plot.plot(epochs, values, "o-", color=BLUE, linewidth=2, markersize=4, label="pre-trained")
    _, random = series(metrics, "knn_random_top1")
    if random:
        plot.axhline(random[-1], color=GRAY, linestyle="--", linewidth=1.5, label="random initialisation")
    plot.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=1))
    plot.xaxis.set_major_locator(MaxNLocator(integer=True))
    plot.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    plot.legend(frameon=False)
    return save(figure, path)
