"""The curves of several runs over one another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sslfast.report.chart import Line, chart
from sslfast.report.comparison.run import ComparedRun
from sslfast.report.curves import moving_average, series, shares
from sslfast.report.page import COLORS

Points = tuple[list[float], list[float]]  # epochs and values


@dataclass(frozen=True)
class Curve:
    """What is drawn of every run in a chart.

    Attributes:
        title: the chart's.
        points: returns a run's.
        form: a value as text.
        note: how to read the chart.
        marked: whether the points are marked.
        from_zero: whether the axis of the values begins at 0.
    """

    title: str
    points: Callable[[ComparedRun], Points]
    form: Callable[[float], str]
    note: str
    marked: bool = False
    from_zero: bool = False

    def draw(self, runs: Mapping[int, ComparedRun]) -> Iterator[str]:
        """Draws a chart of the runs, each in the color of its number; none where there is nothing to draw."""
        lines = [
            Line(
                run.name,
                "values" if number < COLORS // 2 else "dashed",
                epochs,
                values,
                marked=self.marked,
                color=f"var(--class-{number})",
            )
            for number, run in runs.items()
            for epochs, values in [self.points(run)]
            if values
        ]
        if lines:
            yield chart(self.title, lines, self.form, self.note, from_zero=self.from_zero)


def _averages(name: str) -> Callable[[ComparedRun], Points]:
    """Makes the function that finds the moving averages of what is logged under a name."""

    def points(run: ComparedRun) -> Points:
        epochs, values = series(run.metrics, name)
        return moving_average(epochs, values) if values else ([], [])

    return points


LOSS = Curve(
    "Training loss",
    _averages("loss"),
    lambda value: f"{value:.6g}",
    "Moving averages. Losses of one method can be compared where its settings are the same: a temperature or a "
    "number of negatives shifts them.",
)
# Those that runs of all methods share.
SHARED = (
    Curve(
        "kNN accuracy on held-out images",
        lambda run: shares(run.metrics, "knn_top1"),
        lambda value: f"{100 * value:.4g}%",
        "Good: higher, by more than the intervals in the table of runs are wide, on the same images.",
        marked=True,
    ),
    Curve(
        "Effective rank of the features",
        lambda run: series(run.metrics, "feature_rank"),
        lambda value: f"{value:.4g}",
        "Good: it rises; below that of the initial weights features collapse. Encoders of as many features can be "
        "compared.",
        marked=True,
        from_zero=True,
    ),
    Curve(
        "Learning rate",
        lambda run: series(run.metrics, "lr"),
        lambda value: f"{value:.3g}",
        "As the optimizer had it: optim.lr scaled with the batch size.",
        from_zero=True,
    ),
    Curve(
        "Training speed, images per second",
        _averages("images_per_second"),
        lambda value: f"{value:.6g}",
        "Moving averages. Speeds can be compared where the machine was the same and did nothing else.",
        from_zero=True,
    ),
)


def comparison_curves(runs: Sequence[ComparedRun]) -> Iterator[str]:
    """Draws the losses of each method's runs, and of all the kNN accuracy, the rank, the learning rate, the speed.

    A run has the same color in all of them; beyond the first COLORS runs none is drawn.
    """
    drawn = dict(enumerate(runs[:COLORS]))
    methods = dict.fromkeys(run.recipe.method.name for run in runs)
    for method in methods:
        curve = LOSS if len(methods) == 1 else replace(LOSS, title=f"{LOSS.title} of {method}")
        yield from curve.draw({n: run for n, run in drawn.items() if run.recipe.method.name == method})
    for curve in SHARED:
        yield from curve.draw(drawn)
