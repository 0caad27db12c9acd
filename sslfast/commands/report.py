"""`sslfast report`: from a run's directory to the page in its report/."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from sslfast.config import Recipe
from sslfast.config.paths import existing_path
from sslfast.data import Source, open_data, split
from sslfast.data.sources.names import Names, one_or_list
from sslfast.errors import UsageError
from sslfast.report.evaluations import evaluations
from sslfast.report.features import feature_sections
from sslfast.report.page import folded, page, paragraph, preformatted, section
from sslfast.report.sections import training, views
from sslfast.report.summary import lead, summary
from sslfast.run.atomic import atomic_write
from sslfast.run.backbone import initial_name
from sslfast.run.directory import RunDirectory, read_recipe
from sslfast.run.environment import Start, read_starts
from sslfast.run.inventory import read_inventory
from sslfast.run.metrics import read_metrics
from sslfast.run.summary import Fault, RunSummary

log = logging.getLogger(__name__)


def write_report(run_dir: str | Path, data: Names | None = None) -> Path:
    """Draws a run, finished or not, as one HTML file, report/index.html, which it returns.

    Where the run has nothing to show yet, or its data does not allow a picture, the page says so.

    Args:
        run_dir: a run's directory.
        data: the images to show, as `open_source` takes them; None: those that the run was trained on.

    Raises:
        UsageError: the directory holds no run, `data` cannot be opened, or the report cannot be written.
    """
    run_dir = existing_path(run_dir)
    run = RunDirectory(run_dir)
    if not run.config.is_file():
        raise UsageError(
            f"{run_dir}: holds no run of sslfast (no {run.config.name}); give the --out of a pretrain"
        )
    index = run.report / "index.html"
    try:
        return _write(run, data, index)
    except OSError as error:
        where = error.filename or index
        raise UsageError(f"{where}: cannot draw the report: {error.strerror or error}") from error


def _write(run: RunDirectory, data: Names | None, index: Path) -> Path:
    recipe = read_recipe(run.config)
    metrics, starts = read_metrics(run.metrics), read_starts(run.environment)
    source = _images(run, recipe, data)
    held_out_images = _held_out_images(starts, recipe, None if data else source)
    body = [
        *summary(recipe, metrics, starts, held_out_images, _faults(run, recipe)),
        training(metrics, held_out_images, initial_name(recipe.encoder)),
        *evaluations(run.evaluation),
        *_image_sections(run, recipe, source, is_run_data=data is None),
        section("Configuration", folded(run.config.name, preformatted(run.config.read_text(encoding="utf-8")))),
    ]
    index.parent.mkdir(exist_ok=True)
    with atomic_write(index) as file:
        file.write(page(run.path.resolve().name, lead(recipe), body).encode())
    return index


def _faults(run: RunDirectory, recipe: Recipe) -> list[Fault]:
    """The signs that a finished run has learned nothing; none of one that was extended and has not ended yet."""
    if not run.summary.exists():
        return []
    ended = RunSummary.load(run.summary)
    return ended.faults if ended.epochs == recipe.train.epochs else []


def _images(run: RunDirectory, recipe: Recipe, data: Names | None) -> Source | UsageError:
    """The images to show; of the run's own, if they are not there any more, the reason."""
    try:
        shown = recipe.data
        if data:
            shown = dataclasses.replace(shown, source=one_or_list(data), classes=None)  # which it may not have
        source = open_data(shown)
        inventory = None if data else read_inventory(run.images)  # to hold out what training did
        return source if inventory is None else inventory.find(source, limited=recipe.data.limit is not None)
    except UsageError as error:
        if data:
            raise
        log.warning("report: no pictures of images: %s; give --data", error)
        return error


def _held_out_images(starts: Sequence[Start], recipe: Recipe, source: Source | UsageError | None) -> int:
    """The number of images that the run's kNN accuracies are of: as recorded, else by its data; 0: unknown."""
    if starts:
        return starts[-1].held_out_images
    if isinstance(source, Source) and source.labels is not None and recipe.data.val_fraction:
        return len(split(source, recipe.data.val_fraction)[1])
    return 0


def _image_sections(
    run: RunDirectory, recipe: Recipe, source: Source | UsageError, *, is_run_data: bool
) -> Iterator[str]:
    """The sections that show images; without images, one that says so."""
    if isinstance(source, UsageError):
        yield section("Images", paragraph(f"Not shown: {source}. Give --data."))
        return
    if run.has_checkpoint():
        yield from feature_sections(run.path, source, recipe, is_run_data=is_run_data)
    else:
        yield section("Features", paragraph("The run has no checkpoint yet."))
    yield views(source, recipe)
