"""The loggers that a recipe names, and TensorBoard's where it is installed."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from sslfast.config import Recipe
from sslfast.config.settings import flat
from sslfast.extras import install, missing, require
from sslfast.recipes.load import to_dict
from sslfast.run.atomic import atomic_write
from sslfast.run.directory import RunDirectory
from sslfast.run.loggers.logger import Logger
from sslfast.run.loggers.mlflow import MLflowLogger
from sslfast.run.loggers.tensorboard import TensorBoardLogger
from sslfast.run.loggers.wandb import WandbLogger

log = logging.getLogger(__name__)

SERVICES: dict[str, Any] = {"wandb": WandbLogger, "mlflow": MLflowLogger}  # by the extra that brings it, too


def check_loggers(recipe: Recipe) -> None:
    """Checks that what the recipe's loggers need is installed.

    Raises:
        MissingPackageError: it is not.
    """
    for name in recipe.train.loggers:
        require(name, f"train.loggers=[{name}]")


def named_loggers(recipe: Recipe, run: RunDirectory, resumed_step: int) -> list[Logger]:
    """Begins, or of a resumed run goes on with, the loggers that a recipe names.

    Raises:
        UsageError: a service cannot be reached.
        OSError: a file cannot be written.
    """
    loggers: list[Logger] = []
    if missing("logging"):
        log.info("no events for TensorBoard, which is not installed: %s", install("logging"))
    else:
        loggers.append(TensorBoardLogger(run.path, resumed_step))
    ids = _read(run.loggers) if resumed_step else {}
    settings = dict(flat(to_dict(recipe)))
    for name in dict.fromkeys(recipe.train.loggers):
        service = SERVICES[name](run.path, settings, ids.get(name))
        ids[name] = service.id
        loggers.append(service)
    if ids:
        with atomic_write(run.loggers) as file:
            file.write(json.dumps(ids).encode())
    return loggers


def _read(path: Path) -> dict[str, str]:
    """Reads the ids under which the services know the run, by their names; none where the file cannot be read."""
    try:
        ids = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return {name: id for name, id in ids.items() if isinstance(id, str)} if isinstance(ids, dict) else {}
