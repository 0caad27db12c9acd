"""A run that is compared with others: what it left, and what it is called among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sslfast.config import Recipe
from sslfast.errors import UsageError, printable
from sslfast.evaluation.result import Evaluation, load_results
from sslfast.run.directory import existing_run, read_recipe
from sslfast.run.environment import read_starts
from sslfast.run.metrics import read_metrics
from sslfast.run.summary import RunSummary, finished


@dataclass(frozen=True)
class ComparedRun:
    """What a run has left by now.

    Attributes:
        name: tells it from the others, `printable`.
        recipe: its settings.
        metrics: the lines of its metrics.jsonl.
        summary: its last figures; None: it is not finished.
        held_out_images: the number of images that its kNN accuracies are of; 0: unknown.
        evaluations: the results of `sslfast evaluate`, as `load_results` has them.
    """

    name: str
    recipe: Recipe
    metrics: list[dict[str, Any]]
    summary: RunSummary | None
    held_out_images: int
    evaluations: dict[Path, Evaluation]


def read_runs(paths: Sequence[Path]) -> list[ComparedRun]:
    """Reads the runs in some directories.

    Raises:
        UsageError: fewer than two, one of them twice, no run where one should be, or a file of one is damaged.
    """
    if len(paths) < 2:
        raise UsageError(f"compare: expected two runs or more, got {len(paths)}; give their directories")
    before: dict[Path, Path] = {}
    for path in paths:
        if (place := existing_run(path).path.resolve()) in before:
            raise UsageError(f"compare: {before[place]} and {path} are the same run; give each run once")
        before[place] = path
    return [_read(path, name) for path, name in zip(paths, names(list(before)), strict=True)]


def names(places: Sequence[Path]) -> list[str]:
    """Finds the ends of paths that are all different, of as many parts as tell them apart, `printable`."""
    depth = 1
    while len({place.parts[-depth:] for place in places}) < len(places):
        depth += 1
    return [printable("/".join(place.parts[-depth:])) for place in places]


def _read(path: Path, name: str) -> ComparedRun:
    run = existing_run(path)
    recipe, starts = read_recipe(run.config), read_starts(run.environment)
    summary = finished(run.summary, recipe.train.epochs)
    recorded = starts[-1].held_out_images if starts else 0
    return ComparedRun(
        name=name,
        recipe=recipe,
        metrics=read_metrics(run.metrics),
        summary=summary,
        held_out_images=recorded or (summary.val_images if summary else 0),
        evaluations=load_results(run.evaluation),
    )
