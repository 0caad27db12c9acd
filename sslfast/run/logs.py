"""The logs of a run: metrics.jsonl, TensorBoard's events, train.log."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sslfast.errors import PrintableFormatter, TrainingError
from sslfast.extras import install, missing
from sslfast.run.atomic import atomic_write
from sslfast.run.directory import RunDirectory
from sslfast.run.metrics import read_metrics

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

log = logging.getLogger(__name__)
step_log = logging.getLogger("sslfast.steps")  # of the lines of steps, which are many


class MetricsLog:
    """The metrics of a run, appended to metrics.jsonl and, where TensorBoard is installed, to its events.

    A line is {"step", "epoch", ...}; `step` counts the steps done. A resumed run takes back the lines past
    the step that it resumes from, so that no step stands there twice.

    Raises:
        TrainingError: from each method, where the files cannot be written, for example as the disk is full.
    """

    def __init__(self, run: RunDirectory, resumed_step: int) -> None:
        self._path = run.path
        lines = read_metrics(run.metrics) if resumed_step else []  # from step 0 on, all of it comes again
        lines = [line for line in lines if line["step"] <= resumed_step]
        self._at_resumed = {name for line in lines if line["step"] == resumed_step for name in line}
        self._resumed_step = resumed_step
        with self._writing():
            with atomic_write(run.metrics) as file:
                file.write("".join(json.dumps(line) + "\n" for line in lines).encode())
            self._file = run.metrics.open("a", encoding="utf-8")
            self._events = _tensorboard(run.path, purge_step=resumed_step + 1)

    def write(self, step: int, epoch: float, **values: float) -> None:
        """Writes a line of values by name, after `step` steps and `epoch` epochs."""
        with self._writing():
            self._file.write(json.dumps({"step": step, "epoch": round(epoch, 4), **values}) + "\n")
            self._file.flush()
            if self._events is not None:
                for name, value in values.items():
                    self._events.add_scalar(name, value, step)

    def had(self, name: str, step: int) -> bool:
        """Whether the lines of before the run was resumed have a value of this name at a step."""
        return step == self._resumed_step and name in self._at_resumed

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, *_: object) -> None:
        with self._writing():
            self._file.close()
            if self._events is not None:
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


def _tensorboard(folder: Path, purge_step: int) -> SummaryWriter | None:
    """A writer of TensorBoard's events; None, and a line that says so, where it is not installed."""
    if missing("logging"):
        log.info("no events for TensorBoard, which is not installed: %s", install("logging"))
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=purge_step)


class _LogFile(logging.FileHandler):
    """A log file that passes over a line for which a full disk has no room: the terminal shows it."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


@contextmanager
def log_to(path: Path, *, progress_bar: bool = False) -> Iterator[None]:
    """Sends the package's log, from INFO on, to a file as well.

    Args:
        path: the file.
        progress_bar: whether a bar in the terminal stands for the lines of `step_log`, which then go to the file
            alone.

    Raises:
        TrainingError: the file cannot be opened.
    """
    try:
        handler = _LogFile(path, encoding="utf-8")
    except OSError as error:
        raise TrainingError(f"{path}: cannot write the log: {error.strerror}") from error
    handler.setFormatter(PrintableFormatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("sslfast")
    level, to_file = logger.level, [logger, step_log] if progress_bar else [logger]
    for each in to_file:
        each.addHandler(handler)
    logger.setLevel(logging.INFO)
    step_log.propagate = not progress_bar
    try:
        yield
    finally:
        step_log.propagate = True
        logger.setLevel(level)
        for each in to_file:
            each.removeHandler(handler)
        handler.close()
