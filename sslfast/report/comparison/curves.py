"""The curves of several runs over one another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from sslfast.report.chart import Line, chart
from sslfast.report.comparison.run import ComparedRun
from sslfast.report.curves import moving_average, series, shares
from sslfast.report.page import COLORS

Points = tuple[list[float], list[float]]  # epochs and values


def comparison_curves(runs: Sequence[ComparedRun]) -> Iterator[str]:
    """Draws the losses of each method's runs, and of all the kNN accuracy, the learning rate and the speed.

    A run has the same color in all of them; beyond the first COLORS runs none is drawn.
    """
    methods = dict.fromkeys(run.recipe.method.name for run in runs)
    for method in methods:
        yield from _figure(
            "Training loss" if len(methods) == 1 else f"Training loss of {method}",
            {n: _average(run, "loss") for n, run in enumerate(runs) if run.recipe.method.name == method},
            runs,
            lambda value: f"{value:.6g}",
            "Moving averages. Losses of one method can be compared where its settings are the same: a temperature "
            "or a number of negatives shifts them.",
        )
    yield from _figure(
        "kNN accuracy on held-out images",
        {n: shares(run.metrics, "knn_top1") for n, run in enumerate(runs)},
        runs,
        lambda value: f"{100 * value:.4g}%",
        "Good: higher, by more than the intervals in the table of runs are wide, on the same images.",
        marked=True,
    )
    yield from _figure(
        "Learning rate",
        {n: series(run.metrics, "lr") for n, run in enumerate(runs)},
        runs,
        lambda value: f"{value:.3g}",
        "As the optimizer had it: optim.lr scaled with the batch size.",
        from_zero=True,
    )
    yield from _figure(
        "Training speed, images per second",
        {n: _average(run, "images_per_second") for n, run in enumerate(runs)},
        runs,
        lambda value: f"{value:.6g}",
        "Moving averages. Speeds can be compared where the machine was the same and did nothing else.",
        from_zero=True,
    )


def _average(run: ComparedRun, name: str) -> Points:
    epochs, values = series(run.metrics, name)
    return moving_average(epochs, values) if values else ([], [])


def _figure(
    title: str,
    points: dict[int, Points],
    runs: Sequence[ComparedRun],
    form: Callable[[float], str],
    note: str,
    *,
    marked: bool = False,
    from_zero: bool = False,
) -> Iterator[str]:
    """A chart of the runs' points, by the runs' numbers; none where there is nothing to draw."""
    lines = [
        Line(
            runs[number].name,
            "values" if number < COLORS // 2 else "dashed",
            epochs,
            values,
            marked=marked,
            color=f"var(--class-{number})",
        )
        for number, (epochs, values) in points.items()
        if values and number < COLORS
    ]
    if lines:
        yield chart(title, lines, form, note, from_zero=from_zero)
