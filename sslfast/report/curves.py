"""The curves of a run, out of its metrics.jsonl."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from statistics import fmean
from typing import Any, TypeGuard

from sslfast.evaluation.interval import wilson_interval
from sslfast.report.chart import MOST_POINTS, Line, chart
from sslfast.report.numbers import accuracy
from sslfast.report.page import folded, table

Metrics = list[dict[str, Any]]
SMOOTHING = 1 / 30  # of the curve, on each side; neighboring steps differ by their images more than by progress


def series(metrics: Metrics, name: str) -> tuple[list[float], list[float]]:
    """Returns the (epochs, values) of the lines that have a finite value of that name."""
    points = [(line["epoch"], line.get(name)) for line in metrics]
    finite = [(epoch, value) for epoch, value in points if is_finite(epoch) and is_finite(value)]
    return [epoch for epoch, _ in finite], [value for _, value in finite]


def shares(metrics: Metrics, name: str) -> tuple[list[float], list[float]]:
    """Returns the `series` of a share, without values outside [0, 1], which no accuracy has."""
    points = [(epoch, value) for epoch, value in zip(*series(metrics, name), strict=True) if 0 <= value <= 1]
    return [epoch for epoch, _ in points], [value for _, value in points]


def is_finite(value: Any) -> TypeGuard[float]:
    """Tells whether a value of a damaged or foreign record is a finite number."""
    return type(value) in (int, float) and math.isfinite(value)


def smoothed(values: list[float], radius: int, places: Iterable[int]) -> list[float]:
    """Computes the moving average at some places: of up to `radius` neighbors on each side, as many on both."""
    means = []
    for i in places:
        reach = min(radius, i, len(values) - 1 - i)
        means.append(fmean(values[i - reach : i + reach + 1]))
    return means


def draw_curves(metrics: Metrics, held_out_images: int, initial: str) -> Iterator[str]:
    """Draws the loss, the kNN accuracy, the learning rate and the speed, those that have values, as figures.

    Args:
        metrics: the lines of metrics.jsonl.
        held_out_images: the number of images that the kNN accuracy is of; 0: unknown.
        initial: what the weights are called that the run started from.
    """
    loss, rate, speed = (series(metrics, name) for name in ("loss", "lr", "images_per_second"))
    if any(loss):
        yield _loss(*loss)
    if any(shares(metrics, "knn_top1")):
        yield _knn(metrics, held_out_images, initial)
    if any(rate):
        yield _learning_rate(*rate)
    if any(speed):
        yield _speed(*speed)


def moving_average(epochs: list[float], values: list[float]) -> tuple[list[float], list[float]]:
    """Returns the (epochs, means) of the moving average of logged values, of which there is one."""
    # At as many places as can be seen: at all, the work would grow with the square of a run's length.
    stride = math.ceil(len(values) / MOST_POINTS)
    places = range(stride // 2, len(values), stride)
    means = smoothed(values, round(SMOOTHING * len(values)), places)
    return [epochs[place] for place in places], means


def smoothed_lines(epochs: list[float], values: list[float]) -> list[Line]:
    """Makes lines of the logged values, and their moving average."""
    return [
        Line("logged steps", "steps", epochs, values),
        Line("moving average", "mean", *moving_average(epochs, values)),
    ]


def _loss(epochs: list[float], values: list[float]) -> str:
    return chart(
        "Training loss",
        smoothed_lines(epochs, values),
        lambda value: f"{value:.6g}",
        "Good: it falls, then levels off. Flat from the start, nothing is learned. Its height says nothing by "
        "itself: methods have losses of their own.",
    )


def _learning_rate(epochs: list[float], values: list[float]) -> str:
    return chart(
        "Learning rate",
        [Line("learning rate", "values", epochs, values)],
        lambda value: f"{value:.3g}",
        "Good: as the recipe plans it, up during the warm-up, if there is one, then down by optim.schedule.",
        from_zero=True,
    )


def _speed(epochs: list[float], values: list[float]) -> str:
    return chart(
        "Training speed, images per second",
        smoothed_lines(epochs, values),
        lambda value: f"{value:.6g}",
        "Good: level. A dip means that the machine did something else, or that images came too slowly.",
        from_zero=True,
    )


def _knn(metrics: Metrics, held_out_images: int, initial: str) -> str:
    """Draws the kNN accuracy beside that of the initial weights, with the bands of their 95% intervals."""
    epochs, values = shares(metrics, "knn_top1")
    lines = [Line("pre-trained", "values", epochs, values, _band(values, held_out_images), marked=True)]
    _, before = shares(metrics, "knn_initial_top1")
    if before:
        ends, both = [0.0, epochs[-1] or 1.0], [before[-1]] * 2
        lines.append(Line(initial, "random", ends, both, _band(both, held_out_images)))
    bands = f" The bands are 95% intervals of {held_out_images:,} images." if held_out_images else ""
    rows = [
        ((f"{epoch:.4g}", ""), accuracy(value, held_out_images))
        for epoch, value in zip(epochs, values, strict=True)
    ]
    return chart(
        "kNN accuracy on held-out images",
        lines,
        lambda value: f"{100 * value:.4g}%",
        f"Good: it rises above that of the {initial}, by more than the bands are wide." + bands,
        more=folded("As a table", table(["epoch", "kNN top-1"], rows)),
    )


def _band(values: list[float], num_images: int) -> list[tuple[float, float]]:
    return [wilson_interval(value, num_images) for value in values] if num_images else []
