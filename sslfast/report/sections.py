"""The sections of a report that need no checkpoint: a summary, the curves, the evaluations, the views."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import torch

from sslfast.config import Recipe
from sslfast.data import Source
from sslfast.evaluation.result import Evaluation
from sslfast.report.curves import Metrics, draw_curves, series
from sslfast.report.page import paragraph, picture, section, table
from sslfast.report.sheet import draw_views

CURVES = {
    "loss.png": "Training loss by epoch",
    "learning_rate.png": "Learning rate by epoch",
    "knn.png": "Held-out kNN accuracy by epoch, beside that of a random initialisation",
}


def summary(recipe: Recipe, metrics: Metrics) -> Iterator[str]:
    """The method, the images and the progress of a run, and a table of its latest metrics."""
    epoch = metrics[-1]["epoch"] if metrics else 0
    yield paragraph(
        f"{recipe.method.name}, {recipe.encoder.name}, {recipe.data.source} at {recipe.data.size} pixels, "
        f"{epoch:g} of {recipe.train.epochs} epochs."
    )
    columns = {"loss": ("loss", "{:.3f}"), "images_per_second": ("images/s", "{:.0f}")}
    columns |= {"knn_top1": ("kNN top-1", "{:.1%}"), "knn_random_top1": ("kNN, random initialisation", "{:.1%}")}
    latest = {name: series(metrics, name)[1][-1:] for name in columns}
    cells = [(heading, shape.format(*latest[name])) for name, (heading, shape) in columns.items() if latest[name]]
    if cells:
        headings, values = zip(*cells, strict=True)
        yield table([["", *headings], ["latest", *values]])


def training(metrics: Metrics, folder: Path) -> Iterator[str]:
    """The curves of the run, which are drawn into a folder."""
    curves = draw_curves(metrics, folder)
    if not curves:
        yield section("Training", paragraph("The run has logged nothing yet."))
        return
    yield section("Training", *(picture(path.name, CURVES[path.name]) for path in curves))


def evaluations(folder: Path) -> Iterator[str]:
    """A table for each evaluation that stands in a folder.

    Raises:
        UsageError: a file there is no evaluation.
    """
    for path in sorted(folder.glob("*.json")):
        evaluation = Evaluation.load(path)
        yield section(
            f"Evaluation: {evaluation.kind} on {evaluation.data}",
            paragraph(evaluation.caption()),
            table(evaluation.cells()),
            paragraph(f"Settings: {evaluation.settings()}"),
        )


def views(source: Source, recipe: Recipe, folder: Path) -> str:
    """A contact sheet of the run's views, which is drawn into a folder."""
    # As the resident pipeline makes them, which needs no DALI: of an elongated image the ends do not show.
    resident = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, pipeline="resident"))
    sheet = draw_views(source, resident, torch.device("cpu"), folder / "views.png")
    return section(
        "Augmented views",
        paragraph("Images, and views of them as training brings them together."),
        picture(sheet.name, "A grid of images and their augmented views"),
    )
