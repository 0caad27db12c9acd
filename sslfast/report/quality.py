"""The curves of a run that need no labels: what collapse shows in, and the information that views share."""

from __future__ import annotations

from collections.abc import Iterator

from sslfast.report.chart import Line, chart
from sslfast.report.curves import Metrics, series, smoothed_lines


def draw_quality(metrics: Metrics) -> Iterator[str]:
    """Draws the figures of `sslfast.evaluation.quality` and the bound on the information, those that have values.

    Args:
        metrics: the lines of metrics.jsonl.
    """
    rank, std, alignment, uniformity, information = (
        series(metrics, name)
        for name in ("feature_rank", "feature_std", "feature_alignment", "feature_uniformity", "mi_bound")
    )
    if any(rank):
        yield chart(
            "Effective rank of the features",
            [Line("effective rank", "values", *rank, marked=True)],
            lambda value: f"{value:.4g}",
            "Good: it rises. How many directions the features use, at most as many as there are (RankMe). Where "
            "it falls below that of the initial weights, they collapse.",
            from_zero=True,
        )
    if any(std):
        yield chart(
            "Standard deviation of the features",
            [Line("standard deviation", "values", *std, marked=True)],
            lambda value: f"{value:.3g}",
            "Of features of length 1, the mean over their components. Good: well above 0, where all images have "
            "the same features.",
            from_zero=True,
        )
    if any(alignment) and any(uniformity):
        yield chart(
            "Alignment and uniformity of the features",
            [
                Line("alignment", "values", *alignment, marked=True),
                Line("uniformity", "dashed", *uniformity, marked=True),
            ],
            lambda value: f"{value:.3g}",
            "Good: both low. Alignment is the squared distance of an image's features from those of its mirror "
            "image; uniformity is 0 where all images have the same features, and about -4 at best.",
        )
    if any(information):
        yield chart(
            "Information that the views share, lower bound in nats",
            smoothed_lines(*information),
            lambda value: f"{value:.3g}",
            "log N - L, of the loss L of picking a view out of N. Good: it rises. It is at most log N: near that, "
            "more negatives make the task harder.",
            from_zero=True,
        )
