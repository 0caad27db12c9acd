"""A run in MLflow."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sslfast.errors import UsageError

EXPERIMENT = "sslfast"  # where MLFLOW_EXPERIMENT_NAME names none
PARAMS = 100  # that MLflow takes at a time


class MLflowLogger:
    """Sends the metrics to MLflow.

    Its own environment variables say where: MLFLOW_TRACKING_URI, a server or a file, and MLFLOW_EXPERIMENT_NAME. A
    resumed run goes on under the same id.

    Args:
        folder: the run's directory, whose name the run gets.
        settings: the run's, by their whole keys.
        id: that of the run, if it was begun there; None: it begins.

    Raises:
        UsageError: it cannot begin, for example as no server answers.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], id: str | None) -> None:
        from mlflow.entities import Param
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        try:
            self._client = MlflowClient()
            if id is None:
                name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
                known = self._client.get_experiment_by_name(name)
                experiment = known.experiment_id if known else self._client.create_experiment(name)
                id = self._client.create_run(experiment, run_name=folder.name).info.run_id
                params = [Param(key, str(value)) for key, value in settings.items()]
                for start in range(0, len(params), PARAMS):
                    self._client.log_batch(id, params=params[start : start + PARAMS])
            else:
                self._client.update_run(id, status="RUNNING")
        except MlflowException as error:
            raise UsageError(f"train.loggers=[mlflow]: {error}; see MLFLOW_TRACKING_URI") from error
        self.id: str = id

    def write(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = time.time_ns() // 10**6  # ms
        metrics = [Metric(name, value, now, step) for name, value in {"epoch": epoch, **values}.items()]
        self._client.log_batch(self.id, metrics=metrics)

    def close(self, *, failed: bool) -> None:
        self._client.set_terminated(self.id, "FAILED" if failed else "FINISHED")
