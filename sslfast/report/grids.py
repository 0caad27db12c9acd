"""Grids of images and of those that the encoder takes for like them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from torch import Tensor

from sslfast.data import Source
from sslfast.data.sources.subset import balanced_subset
from sslfast.report.style import BLUE, GRAY, VERMILION, WIDTH, save, shortened

QUERIES, NEIGHBORS = 8, 5


def draw_neighbors(bank: Source, queries: Source, bank_x: Tensor, query_x: Tensor, path: Path) -> Path:
    """Draws some queries, each beside the images of the bank whose features are nearest by cosine.

    Where there are labels a frame tells whether a neighbour is of the query's class.

    Args:
        bank: N images.
        queries: M images.
        bank_x: (N, D) features of unit norm.
        query_x: (M, D) features of unit norm.
        path: the PNG to write.
    """
    shown = balanced_subset(queries.labels, len(queries), QUERIES)
    count = min(NEIGHBORS, len(bank))
    nearest = (query_x[torch.from_numpy(shown)] @ bank_x.T).topk(count).indices.tolist()

    labeled = queries.labels is not None
    height = WIDTH / (1.2 + count) * (1.18 if labeled else 1) * len(shown) + (0.4 if labeled else 0)
    figure = Figure(figsize=(WIDTH, height), layout=ConstrainedLayoutEngine(w_pad=0.05, h_pad=0.05))
    # An empty column sets the queries apart.
    grid = figure.subplots(len(shown), 2 + count, squeeze=False, width_ratios=[1, 0.2, *[1] * count])
    for row, (query, neighbors) in enumerate(zip(shown.tolist(), nearest, strict=True)):
        grid[row, 1].set_axis_off()
        _show(grid[row, 0], queries.image(query), _class_name(queries, query))
        for plot, neighbor in zip(grid[row, 2:], neighbors, strict=True):
            _show(plot, bank.image(neighbor), _class_name(bank, neighbor))
            if labeled:
                right = queries.labels[query] == bank.labels[neighbor]  # type: ignore[index]
                _frame(plot, BLUE if right else VERMILION, width=3)
    grid[0, 0].set_title("query", fontsize=9)
    grid[0, 2].set_title("nearest" if count == 1 else "nearest first", fontsize=9)
    if labeled:
        figure.legend(
            handles=[
                Line2D([], [], color=BLUE, linewidth=3, label="same class as the query"),
                Line2D([], [], color=VERMILION, linewidth=3, label="another class"),
            ],
            loc="outside upper center",
            ncols=2,
            frameon=False,
            fontsize=9,
        )
    return save(figure, path)


def _show(plot: Axes, image: Any, caption: str = "") -> None:
    plot.imshow(image)
    plot.set_xticks([])
    plot.set_yticks([])
    _frame(plot, GRAY, width=0.5)
    plot.set_xlabel(caption, fontsize=8, labelpad=2)


def _frame(plot: Axes, color: str, width: float) -> None:
    for spine in plot.spines.values():
        spine.set(color=color, linewidth=width)


def _class_name(source: Source, index: int) -> str:
    return "" if source.labels is None else shortened(source.classes[source.labels[index]], 16)
