"""`sslfast report`: from a run or another encoder to a page."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from sslfast.commands.evaluate import results_folder
from sslfast.config import Recipe
from sslfast.config.paths import user_path
from sslfast.data import Source, open_data, split
from sslfast.data.sources.names import Names, one_or_list
from sslfast.device import choose_device
from sslfast.errors import UsageError
from sslfast.report.alignment_maps import alignment_maps
from sslfast.report.evaluations import evaluations
from sslfast.report.features import feature_sections
from sslfast.report.page import folded, page, paragraph, preformatted, section
from sslfast.report.sections import training, views
from sslfast.report.summary import lead, summary
from sslfast.run.atomic import atomic_write
from sslfast.run.backbone import initial_name
from sslfast.run.directory import RunDirectory, existing_run, read_recipe
from sslfast.run.environment import Start, read_starts
from sslfast.run.inventory import read_inventory
from sslfast.run.metrics import read_metrics
from sslfast.run.summary import finished
from sslfast.weights import NamedEncoder, find_encoder
from sslfast.weights.digest import weights_digest
from sslfast.weights.named import check_unasked

log = logging.getLogger(__name__)


def write_report(
    encoder: str | Path, data: Names | None = None, *, architecture: str | None = None, partial: bool = False
) -> Path:
    """Draws a run, finished or not, or another encoder, as one HTML file, which it returns.

    Of a run's directory it is report/index.html there; where the run has nothing to show yet, or its data does not
    allow a picture, the page says so. Of another encoder the page, report/<its name>.html beside the folder of its
    evaluations, has what needs no run: these, its neighbors and its embedding.

    Args:
        encoder: a run's directory, or what `sslfast.load_encoder` takes.
        data: the images to show, as `open_source` takes them; None: those that the run was trained on.
        architecture, partial: as `sslfast.load_encoder` takes them.

    Raises:
        UsageError: the directory holds no run, there is no such encoder, `data` cannot be opened or an encoder
            lacks it, or the report cannot be written.
    """
    path = user_path(str(encoder))
    try:
        if path.is_dir():
            check_unasked(str(encoder), architecture, partial)
            return _of_run(path, data)
        found = find_encoder(encoder, choose_device("auto"), architecture=architecture, partial=partial)
        if data is None:
            raise UsageError(f"{encoder}: no run's directory, which tells the images to show; give --data")
        return _of_encoder(found, data)
    except OSError as error:
        raise UsageError(
            f"{error.filename or encoder}: cannot draw the report: {error.strerror or error}"
        ) from error


def overview(path: str | Path) -> str:
    """Writes the head of a run's report, its figures and curves, as a whole document, as quickly as they are read.

    Raises:
        UsageError: the directory holds no run.
    """
    run = existing_run(path)
    recipe = read_recipe(run.config)
    metrics, starts = read_metrics(run.metrics), read_starts(run.environment)
    held_out_images, ended = _held_out_images(starts, recipe, None), finished(run.summary, recipe.train.epochs)
    body = [
        *summary(recipe, metrics, starts, held_out_images, ended.faults if ended else ()),
        training(metrics, held_out_images, initial_name(recipe.encoder)),
    ]
    return page(run.path.resolve().name, lead(recipe), body)


def _of_encoder(found: NamedEncoder, data: Names) -> Path:
    folder = results_folder(found.file)
    name = re.sub(r"[^\w.-]+", "_", found.name) if found.file is None else Path(found.name).name
    shown = dataclasses.replace(found.data, source=one_or_list(data), classes=None)
    body = [
        *evaluations(folder, weights_digest(found.encoder)),
        *feature_sections(found, open_data(shown), is_run_data=False),
    ]
    about = f"{found.config.name}, {found.encoder.feature_dim} features, images of {found.data.size} pixels"
    return _save(page(found.name, about, body), folder.parent / "report" / f"{name}.html")


def _save(html: str, path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    with atomic_write(path) as file:
        file.write(html.encode())
    return path


def _of_run(path: Path, data: Names | None) -> Path:
    run = existing_run(path)
    recipe = read_recipe(run.config)
    metrics, starts = read_metrics(run.metrics), read_starts(run.environment)
    source, ended = _images(run, recipe, data), finished(run.summary, recipe.train.epochs)
    held_out_images = _held_out_images(starts, recipe, None if data else source)
    body = [
        *summary(recipe, metrics, starts, held_out_images, ended.faults if ended else ()),
        training(metrics, held_out_images, initial_name(recipe.encoder)),
        *evaluations(run.evaluation),
        *_image_sections(run, recipe, source, is_run_data=data is None),
        section("Configuration", folded(run.config.name, preformatted(run.config.read_text(encoding="utf-8")))),
    ]
    return _save(page(run.path.resolve().name, lead(recipe), body), run.report / "index.html")


def _images(run: RunDirectory, recipe: Recipe, data: Names | None) -> Source | UsageError:
    """Opens the images to show; returns the reason where the run's own are not there any more."""
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
    """Counts the images that the run's kNN accuracies are of: as recorded, else by its data; 0: unknown."""
    if starts:
        return starts[-1].held_out_images
    if isinstance(source, Source) and source.labels is not None and recipe.data.val_fraction:
        return len(split(source, recipe.data.val_fraction)[1])
    return 0


def _image_sections(
    run: RunDirectory, recipe: Recipe, source: Source | UsageError, *, is_run_data: bool
) -> Iterator[str]:
    """Yields the sections that show images; without images, one that says so."""
    if isinstance(source, UsageError):
        yield section("Images", paragraph(f"Not shown: {source}. Give --data."))
        return
    if run.has_checkpoint():
        found = find_encoder(run.path, choose_device("auto"))
        yield from feature_sections(found, source, is_run_data=is_run_data)
        yield from alignment_maps(run.path, recipe, source, is_run_data=is_run_data)
    else:
        yield section("Features", paragraph("The run has no checkpoint yet."))
    yield views(source, recipe)
