"""A run's directory: its recipe, and all that it leaves behind.

config.yaml         the resolved configuration
metrics.jsonl       one JSON object a line, see `MetricsLog`
train.log           what the terminal showed, less the progress bar
events.out.*        the metrics for TensorBoard
checkpoints/        last.pt and the latest few by step
backbone.safetensors, report/, evaluation/
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from sslfast.config import Recipe
from sslfast.config.plain_yaml import read_yaml
from sslfast.errors import UsageError
from sslfast.recipes.load import from_stored, to_dict, to_yaml
from sslfast.run.atomic import atomic_write

# Settings that a resumed run may change, since no weight depends on them up to the step it resumes from.
CHANGEABLE = {
    "data.source",
    "data.workers",
    "data.prefetch",
    "data.on_error",
    "data.max_bad",
    "train.compile",
    "train.threads",
    "train.log_every",
    "train.knn_every",
    "train.knn_k",
    "train.checkpoint_every",
    "train.keep_checkpoints",
    "train.max_bad_steps",
}


class RunDirectory:
    """The paths in a run's directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.metrics = path / "metrics.jsonl"
        self.log = path / "train.log"
        self.checkpoints = path / "checkpoints"
        self.backbone = path / "backbone.safetensors"
        self.report = path / "report"
        self.evaluation = path / "evaluation"

    def contents(self) -> list[Path]:
        """The files and folders in the directory that a run left there."""
        parts = {path for name, path in vars(self).items() if name != "path"}
        return [path for path in self.path.iterdir() if path in parts or _is_part(path)]

    def check_usable(self, recipe: Recipe, *, resume: bool, overwrite: bool) -> None:
        """Refuses a directory that the run cannot have; changes nothing.

        Raises:
            UsageError: it holds something that is no run, or a run where neither `resume` nor `overwrite` is
                set, or a run to resume that has another configuration.
        """
        if not self.path.exists():
            return
        if not self.path.is_dir() or len(self.contents()) < len(list(self.path.iterdir())):
            raise UsageError(f"--out {self.path}: holds files that are no run's; choose another directory")
        if not self.config.exists():
            return
        before = read_recipe(self.config)
        if resume:
            check_same(recipe, before)
        elif not overwrite:
            raise UsageError(
                f"--out {self.path}: holds a run; continue it with --resume, or replace it with --overwrite"
            )

    def start(self, recipe: Recipe, *, resume: bool) -> None:
        """Makes the directory; unless to resume, empties it of the run that it holds.

        Raises:
            UsageError: it cannot be written to.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not resume:
                for path in self.contents():
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            with atomic_write(self.config) as file:
                file.write(to_yaml(recipe).encode())
        except OSError as error:
            raise UsageError(f"--out {self.path}: cannot write: {error.strerror}") from error


def _is_part(path: Path) -> bool:
    """Whether it is a file of TensorBoard's events, or one that a killed process had not finished writing."""
    return path.name.startswith("events.out.") or path.suffix == ".tmp"


def read_recipe(path: Path) -> Recipe:
    """The configuration in a run's config.yaml. Raises UsageError if it is something else."""
    try:
        values = read_yaml(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not the configuration of a run: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path}: not the configuration of a run: a {type(values).__name__}, expected a mapping")
    return from_stored(values, origin=str(path))


def check_same(now: Recipe, before: Recipe) -> None:
    """Raises UsageError, which names them, if settings differ that a resumed run may not change."""

    def flat(recipe: Recipe) -> dict[str, Any]:
        values = to_dict(recipe)
        return {f"{section}.{key}": value for section in values for key, value in values[section].items()}

    old = flat(before)
    changed = [
        f"{key} was {old.get(key)!r} and is {value!r}"
        for key, value in flat(now).items()
        if key not in CHANGEABLE and old.get(key) != value
    ]
    if changed:
        raise UsageError(f"--resume: the run was started otherwise: {', '.join(changed)}; use another --out")
