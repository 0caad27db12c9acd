"""`sslfast report`: from a run's directory to the page in its report/."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path

from sslfast.config import Recipe
from sslfast.config.paths import existing_path
from sslfast.data import open_data
from sslfast.errors import UsageError
from sslfast.report import sections
from sslfast.report.features import feature_sections
from sslfast.report.page import page, paragraph, preformatted, section
from sslfast.run.directory import RunDirectory, read_recipe
from sslfast.run.metrics import read_metrics

log = logging.getLogger(__name__)


def write_report(run_dir: str | Path, data: str | None = None) -> Path:
    """Draws a run, finished or not, into its report/ and returns the page, report/index.html.

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
    body = [
        *sections.summary(recipe, metrics),
        *sections.training(metrics, folder),
        *sections.evaluations(run.path / "evaluation"),
        *_image_sections(run, recipe, data, folder),
        section("Configuration", preformatted(run.config.read_text())),
    ]
    index = folder / "index.html"
    index.write_text(page(f"sslfast: {run.path.resolve().name}", body), encoding="utf-8")
    return index


def _image_sections(run: RunDirectory, recipe: Recipe, data: str | None, folder: Path) -> Iterator[str]:
    """The sections that show images; without the run's own images, one that says so."""
    try:
        source = open_data(dataclasses.replace(recipe.data, source=data or recipe.data.source))
    except UsageError as error:
        if data:
            raise
        log.warning("report: no pictures of images: %s; give --data", error)
        yield section("Images", paragraph(f"Not shown: {error}. Give --data."))
        return
    yield sections.views(source, recipe, folder)
    if not run.checkpoints.is_dir() or not any(run.checkpoints.glob("*.pt")):
        yield section("Features", paragraph("The run has no checkpoint yet."))
        return
    yield from feature_sections(run.path, source, recipe, folder, is_run_data=data is None)
