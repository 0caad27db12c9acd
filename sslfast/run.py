"""A run directory: what a run is made of and what it leaves behind.

config.yaml         the resolved configuration
metrics.jsonl       one JSON object a line, see `MetricsLog`
train.log           what the terminal showed, less the progress bar
events.out.*        the metrics for TensorBoard
checkpoints/        last.pt and the latest few by step
backbone.safetensors, report/, evaluation/
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from torch.utils.tensorboard import SummaryWriter

from sslfast.atomic import atomic_write
from sslfast.config import Config, from_dict, to_dict, to_yaml
from sslfast.errors import TrainingError, UsageError

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
        """What a run left in the directory."""
        own = {path for name, path in vars(self).items() if name != "path"}
        return [path for path in self.path.iterdir() if path in own or _is_part(path)]

    def check(self, config: Config, *, resume: bool, overwrite: bool) -> None:
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
        before = read_config(self.config)
        if resume:
            check_same(config, before)
        elif not overwrite:
            raise UsageError(
                f"--out {self.path}: holds a run; continue it with --resume, or replace it with --overwrite"
            )

    def start(self, config: Config, *, resume: bool) -> None:
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
                file.write(to_yaml(config).encode())
        except OSError as error:
            raise UsageError(f"--out {self.path}: cannot write: {error.strerror}") from error


def _is_part(path: Path) -> bool:
    """TensorBoard's events, and what a killed process had not finished writing."""
    return path.name.startswith("events.out.") or path.suffix == ".tmp"


def read_config(path: Path) -> Config:
    """The configuration in a run's config.yaml. Raises UsageError if it is something else."""
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"{path}: not the configuration of a run: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path}: not the configuration of a run: a {type(values).__name__}, expected a mapping")
    return from_dict(values, origin=str(path))


def check_same(now: Config, before: Config) -> None:
    """Raises UsageError, which names them, if settings differ that a resumed run may not change."""

    def flat(config: Config) -> dict[str, Any]:
        values = to_dict(config)
        return {f"{section}.{key}": value for section in values for key, value in values[section].items()}

    old = flat(before)
    changed = [
        f"{key} was {old.get(key)!r} and is {value!r}"
        for key, value in flat(now).items()
        if key not in CHANGEABLE and old.get(key) != value
    ]
    if changed:
        raise UsageError(f"--resume: the run was started otherwise: {', '.join(changed)}; use another --out")


class MetricsLog:
    """Appends to metrics.jsonl and to TensorBoard's events.

    A line is {"step", "epoch", ...}; `step` counts the steps done. A resumed run takes back the lines past
    the step that it resumes from, so that no step stands there twice.

    Raises:
        TrainingError: from each method, where the files cannot be written, for example as the disk is full.
    """

    def __init__(self, run: RunDirectory, resumed_step: int) -> None:
        self._path = run.path
        lines = read_metrics(run.metrics) if resumed_step else []  # from step 0 on, all of it comes again
        with self._writing():
            with atomic_write(run.metrics) as file:
                kept = (json.dumps(line) + "\n" for line in lines if line["step"] <= resumed_step)
                file.write("".join(kept).encode())
            self._file = run.metrics.open("a")
            self._events = SummaryWriter(str(run.path), purge_step=resumed_step + 1)

    def write(self, step: int, epoch: float, **values: float) -> None:
        with self._writing():
            self._file.write(json.dumps({"step": step, "epoch": round(epoch, 4), **values}) + "\n")
            self._file.flush()
            for name, value in values.items():
                self._events.add_scalar(name, value, step)

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, *_: object) -> None:
        with self._writing():
            self._file.close()
            self._events.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:  # also that of TensorBoard's thread, which it raises here
            raise TrainingError(
                f"{self._path}: cannot write the metrics ({error.strerror}); the checkpoints are intact: "
                "make room, and continue with --resume"
            ) from error


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl; without what is none, as a run that was killed may leave half a line."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text(errors="replace").splitlines(keepends=True):
        try:
            values = json.loads(line) if line.endswith("\n") else None
        except ValueError:
            continue
        if isinstance(values, dict) and {"step", "epoch"} <= values.keys():
            found.append(values)
    return found


class _LogFile(logging.FileHandler):
    """Passes over a line that a full disk has no room for: the terminal shows it."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


@contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Sends the package's log, from INFO on, to a file as well."""
    handler = _LogFile(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("sslfast")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
        handler.close()
