"""`sslfast sweep`: from a recipe and lists of values to runs, their evaluations and one table."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from sslfast.commands.compare import compare
from sslfast.config.paths import user_path
from sslfast.data.sources.classes import names_in_short
from sslfast.data.sources.names import Names, listed
from sslfast.errors import TrainingError, UsageError
from sslfast.run.atomic import atomic_write
from sslfast.run.directory import RunDirectory
from sslfast.sweep.commands import Commands, commands
from sslfast.sweep.grid import Cell, Sweep, cells, read_sweep
from sslfast.sweep.processes import Workers
from sslfast.sweep.table import CAPTION, Result, grid, rows, to_csv, to_html, to_markdown

log = logging.getLogger(__name__)


def sweep(
    name: str | Sweep,
    out: str | Path,
    overrides: Sequence[str] = (),
    *,
    data: Names | None = None,
    val: Names | None = None,
    seeds: int | None = None,
    evaluate: str | None = None,
    devices: Sequence[str] = ("",),
    dry_run: bool = False,
) -> str:
    """Runs a sweep, and leaves sweep.html, sweep.md and sweep.csv beside its runs; returns the table as text.

    A run that is finished and evaluated is not made again; one that was interrupted goes on. With `dry_run`
    nothing is run or written, and the commands are returned, in the order in which they would run.

    Args:
        name: an ablation of the package, a YAML file, a recipe, as `read_sweep` takes it, or a sweep that is read.
        out: the folder of the runs.
        overrides: settings and lists of values, see `read_sweep`.
        data: the images, in place of the recipes'.
        val: images to test on, as `sslfast.evaluate` takes them.
        seeds, evaluate: in place of the sweep's own.
        devices: what to run on, one run at a time each: numbers of GPUs, or "cpu"; "": where a run goes by itself.

    Raises:
        UsageError: no such sweep, settings that cannot work, or runs in `out` that have others.
        TrainingError: some runs have failed; the table has the others.
        SystemExit: 143 after SIGTERM, 130 after SIGINT: all runs have saved, and the same command goes on.
    """
    chosen = read_sweep(name, overrides, seeds=seeds, evaluate=evaluate)
    folder, wanted = user_path(out), cells(chosen)
    if RunDirectory(folder).config.exists():
        raise UsageError(f"--out {folder}: is a run's directory; choose another folder")
    every = {cell.name: commands(cell, folder, _named(data), _named(val), chosen.evaluate) for cell in wanted}
    lines = [line for each in every.values() for line in each.lines()]
    if dry_run:
        return "\n".join(lines)
    lacking = {name: each for name, each in every.items() if each.result() is None}
    log.info("%d runs, %d of them finished before", len(every), len(every) - len(lacking))
    workers = Workers(devices)
    workers.run(lacking)
    found = _results(wanted, every)
    table = rows(wanted, found)
    title = f"{name if isinstance(name, str) else folder.name}: {chosen.evaluate}"
    _write(
        folder,
        {
            "html": to_html(title, f"{len(found)} of {len(wanted)} runs", table, lines),
            "md": to_markdown(title, table),
            "csv": to_csv(table),
        },
    )
    if len(found) > 1:
        compare([every[name].run for name in found], folder)
    if missing := [name for name in every if name not in found]:
        raise TrainingError(
            f"sweep: {len(missing)} of {len(every)} runs have no result: {names_in_short(missing)}; "
            f"{folder / 'sweep.html'} has the others, and the same command makes these again"
        )
    return f"{grid(table).markdown()}\n{CAPTION}\n{folder / 'sweep.html'}"


def _named(names: Names | None) -> list[str]:
    return [] if names is None else listed(names)


def _results(wanted: Sequence[Cell], every: dict[str, Commands]) -> dict[str, Result]:
    """Collects the results of the finished cells, by their names."""
    found = {}
    for cell in wanted:
        if (evaluation := every[cell.name].result()) is not None:
            found[cell.name] = Result(cell, evaluation, every[cell.name].summary())
    return found


def _write(folder: Path, texts: dict[str, str]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for suffix, text in texts.items():
            with atomic_write(folder / f"sweep.{suffix}") as file:
                file.write(text.encode())
    except OSError as error:
        raise UsageError(f"--out {folder}: cannot write the table: {error.strerror or error}") from error
