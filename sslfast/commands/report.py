"""`sslfast report`: from a run's directory to its report/."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from sslfast.config import Recipe
from sslfast.data import Source, open_source, split
from sslfast.data.sources.subset import balanced_subset
from sslfast.device import choose_device
from sslfast.encoders import Encoder
from sslfast.errors import UsageError
from sslfast.evaluate.features import features
from sslfast.evaluate.result import Evaluation
from sslfast.report.curves import Metrics, draw_curves, series
from sslfast.report.embedding import draw_embedding
from sslfast.report.grids import draw_neighbours
from sslfast.report.page import page, paragraph, picture, preformatted, section, table
from sslfast.report.sheet import draw_views
from sslfast.run.backbone import load_encoder
from sslfast.run.directory import RunDirectory, read_recipe
from sslfast.run.logs import read_metrics

log = logging.getLogger(__name__)

# Images whose features are computed: a report is to take a minute on a CPU, not to measure anything.
BANK, HELD_OUT = 4000, 1000

CURVES = {
    "loss.png": "Training loss by epoch",
    "learning_rate.png": "Learning rate by epoch",
    "knn.png": "Held-out kNN accuracy by epoch, beside that of a random initialisation",
}


def write_report(run_dir: Path, data: str | None = None) -> Path:
    """Draws a run, finished or not, into its report/ and returns the page, report/index.html.

    What the run does not have yet, or what its data does not allow, the page says instead.

    Args:
        run_dir: a run's directory.
        data: the images to show, as `open_source` takes them; None: those that the run was trained on.

    Raises:
        UsageError: the directory holds no run, `data` cannot be opened, or the report cannot be written.
    """
    run = RunDirectory(run_dir)
    if not run.config.is_file():
        raise UsageError(
            f"{run_dir}: holds no run of sslfast (no {run.config.name}); give the --out of a pretrain"
        )
    folder = run_dir / "report"
    try:
        return _write(run, data, folder)
    except OSError as error:
        where = error.filename or folder
        raise UsageError(f"{where}: cannot draw the report: {error.strerror or error}") from error


def _write(run: RunDirectory, data: str | None, folder: Path) -> Path:
    recipe = read_recipe(run.config)
    folder.mkdir(exist_ok=True)
    metrics = read_metrics(run.metrics)

    sections = [
        *_summary(recipe, metrics),
        *_curves(metrics, folder),
        *_evaluations(run.path / "evaluation"),
        *_pictures(run, recipe, data, folder),
        section("Configuration", preformatted(run.config.read_text())),
    ]
    index = folder / "index.html"
    index.write_text(page(f"sslfast: {run.path.resolve().name}", sections), encoding="utf-8")
    return index


def _summary(recipe: Recipe, metrics: Metrics) -> Iterator[str]:
    epoch = metrics[-1]["epoch"] if metrics else 0
    yield paragraph(
        f"{recipe.method.name}, {recipe.encoder.name}, {recipe.data.source} at {recipe.data.size} pixels, "
        f"{epoch:g} of {recipe.train.epochs} epochs."
    )
    columns = {"loss": ("loss", "{:.3f}"), "images_per_second": ("images/s", "{:.0f}")}
    columns |= {"knn_top1": ("kNN top-1", "{:.1%}"), "knn_random_top1": ("kNN, random initialisation", "{:.1%}")}
    latest = {name: series(metrics, name)[1][-1:] for name in columns}
    shown = [(heading, shape.format(*latest[name])) for name, (heading, shape) in columns.items() if latest[name]]
    if shown:
        headings, values = zip(*shown, strict=True)
        yield table([["", *headings], ["latest", *values]])


def _curves(metrics: Metrics, folder: Path) -> Iterator[str]:
    drawn = draw_curves(metrics, folder)
    if not drawn:
        yield section("Training", paragraph("The run has logged nothing yet."))
        return
    yield section("Training", *(picture(path.name, CURVES[path.name]) for path in drawn))


def _evaluations(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*.json")):
        evaluation = Evaluation.load(path)
        yield section(
            f"Evaluation: {evaluation.kind} on {evaluation.data}",
            paragraph(evaluation.caption()),
            table(evaluation.cells()),
            paragraph(f"Settings: {evaluation.settings()}"),
        )


def _pictures(run: RunDirectory, recipe: Recipe, data: str | None, folder: Path) -> Iterator[str]:
    try:
        source = open_source(data or recipe.data.source, limit=recipe.data.limit, max_bad=recipe.data.max_bad)
    except UsageError as error:
        if data:
            raise
        log.warning("report: no pictures of images: %s; give --data", error)
        yield section("Images", paragraph(f"Not shown: {error}. Give --data."))
        return
    # As the resident pipeline makes them, which needs no DALI: of an elongated image the ends do not show.
    resident = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, pipeline="resident"))
    views = draw_views(source, resident, torch.device("cpu"), folder / "views.png")
    yield section(
        "Augmented views",
        paragraph("Images, and views of them as training brings them together."),
        picture(views.name, "A grid of images and their augmented views"),
    )
    if not run.checkpoints.is_dir() or not any(run.checkpoints.glob("*.pt")):
        yield section("Features", paragraph("The run has no checkpoint yet."))
        return
    yield from _features(run.path, source, recipe, folder, own_data=data is None)


def _features(run_dir: Path, source: Source, recipe: Recipe, folder: Path, *, own_data: bool) -> Iterator[str]:
    """What the latest checkpoint makes of held-out images."""
    device = choose_device("auto")
    encoder, _ = load_encoder(run_dir, device)
    bank, held_out = (
        part.subset(balanced_subset(part.labels, len(part), most))
        for part, most in zip(split(source, recipe.data.val_fraction or 0.1), (BANK, HELD_OUT), strict=True)
    )
    bank, bank_x = _unit_features(encoder, bank, recipe, device)
    held_out, held_out_x = _unit_features(encoder, held_out, recipe, device)
    neighbours = draw_neighbours(bank, held_out, bank_x, held_out_x, folder / "neighbours.png")
    seen = source.labels is None or not recipe.data.val_fraction  # else training leaves out the same split
    note = "The run trained on all of them." if seen else "The run did not train on the queries."
    yield section(
        "Nearest neighbours",
        paragraph(f"Images, each beside the nearest of {len(bank)} others by the cosine of their features."),
        *([paragraph(note)] if own_data else []),
        picture(neighbours.name, "A grid of images and their nearest neighbours"),
    )
    embedding = draw_embedding(held_out_x.numpy(), held_out.labels, held_out.classes, folder / "embedding.png")
    if embedding is None:
        yield section("Embedding", paragraph(f"{len(held_out)} held-out images are too few for one."))
        return
    yield section(
        "Embedding",
        paragraph("Near points have like features; distances between groups mean nothing."),
        picture(embedding.name, "A two-dimensional embedding of held-out images"),
    )


def _unit_features(
    encoder: Encoder, source: Source, recipe: Recipe, device: torch.device
) -> tuple[Source, Tensor]:
    """The images that can be read, and their features at unit norm (N, D), on the CPU."""
    x, kept = features(encoder, source, recipe.data, device)
    return source.subset(kept.numpy()), F.normalize(x, dim=1).cpu()
