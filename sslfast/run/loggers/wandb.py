"""A run in Weights & Biases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sslfast.errors import UsageError


class WandbLogger:
    """Sends the metrics to Weights & Biases, or with WANDB_MODE=offline keeps them for `wandb sync`.

    Its own environment variables say where: WANDB_PROJECT, WANDB_ENTITY, WANDB_API_KEY. Its files are in the run's
    directory, in wandb/. A resumed run goes on under the same id: lines that it repeats are left out there.

    Args:
        folder: the run's directory, whose name the run gets.
        settings: the run's, by their whole keys.
        id: that of the run, if it was begun there; None: it begins.

    Raises:
        UsageError: it cannot begin, for example as nobody is logged in.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], id: str | None) -> None:
        import wandb

        try:
            self._run = wandb.init(dir=folder, name=folder.name, config=settings, id=id, resume="allow")
        except wandb.Error as error:
            raise UsageError(
                f"train.loggers=[wandb]: {error}; `wandb login`, or set WANDB_MODE=offline"
            ) from error
        self.id: str = self._run.id

    def write(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        self._run.log({"epoch": epoch, **values}, step=step)

    def close(self, *, failed: bool) -> None:
        self._run.finish(exit_code=int(failed))
