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
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from torch.utils.tensorboard import SummaryWriter

from sslfast.config import Config, from_dict, to_dict, to_yaml
from sslfast.errors import UsageError

# Settings that a resumed run may change, since no weight depends on them up to the step it resumes from.
CHANGEABLE = {
    "data.source",
    "data.workers",
    "data.prefetch",
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


def open_run(path: Path, config: Config, *, resume: bool, overwrite: bool) -> RunDirectory:
    """Prepares the directory of a new run, or checks that of one to resume.

    Raises:
        UsageError: the directory holds something and neither `resume` nor `overwrite` is set, or holds
            something else than a run, or the run to resume had another configuration.
    """
    run = RunDirectory(path)
    occupied = path.exists() and (not path.is_dir() or any(path.iterdir()))
    if occupied and not run.config.is_file():
        raise UsageError(f"--out {path}: holds files that are no run of sslfast; choose another directory")
    if occupied and overwrite:
        shutil.rmtree(path)
    elif occupied and not resume:
        raise UsageError(f"--out {path}: holds a run; continue it with --resume, or replace it with --overwrite")
    elif occupied:
        _check_same(config, _read_config(run.config))
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    run.config.write_text(to_yaml(config))
    return run


def _read_config(path: Path) -> Config:
    return from_dict(yaml.safe_load(path.read_text()), origin=str(path))


def _check_same(now: Config, before: Config) -> None:
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
    """

    def __init__(self, run: RunDirectory, resumed_step: int) -> None:
        kept = [line for line in _lines(run.metrics) if json.loads(line)["step"] <= resumed_step]
        temporary = run.metrics.with_suffix(".tmp")
        temporary.write_text("".join(f"{line}\n" for line in kept))
        os.replace(temporary, run.metrics)
        self._file = run.metrics.open("a")
        self._events = SummaryWriter(str(run.path), purge_step=resumed_step + 1)

    def write(self, step: int, epoch: float, **values: float) -> None:
        self._file.write(json.dumps({"step": step, "epoch": round(epoch, 4), **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._events.add_scalar(name, value, step)

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._events.close()


def _lines(path: Path) -> list[str]:
    """The whole lines of a file: a killed run may have left half a one at the end."""
    if not path.exists():
        return []
    return [line[:-1] for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


@contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Sends the package's log, from INFO on, to a file as well."""
    handler = logging.FileHandler(path)
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
