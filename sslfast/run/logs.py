"""The logs of a run: metrics.jsonl and what its lines go to beside, train.log."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sslfast.errors import PrintableFormatter, TrainingError
from sslfast.run.atomic import atomic_write
from sslfast.run.directory import RunDirectory
from sslfast.run.loggers import Logger
from sslfast.run.metrics import read_metrics

step_log = logging.getLogger("sslfast.steps")  # of the lines of steps, which are many


class MetricsLog:
    """The metrics of a run, appended to metrics.jsonl and given to loggers.

    A line is {"step", "epoch", ...}; `step` counts the steps done. A resumed run takes back the lines past
    the step that it resumes from, so that no step stands there twice.

    Args:
        run: the run's directory.
        resumed_step: the step that the run goes on from, or 0.
        open_loggers: returns what the lines go to, too.

    Raises:
        TrainingError: from each method, where the files cannot be written, for example as the disk is full.
    """

    def __init__(
        self, run: RunDirectory, resumed_step: int, open_loggers: Callable[[], Sequence[Logger]] = tuple
    ) -> None:
        self._path = run.path
        lines = read_metrics(run.metrics) if resumed_step else []  # from step 0 on, all of it comes again
        lines = [line for line in lines if line["step"] <= resumed_step]
        self._at_resumed = {name for line in lines if line["step"] == resumed_step for name in line}
        self._resumed_step = resumed_step
        with self._writing():
            with atomic_write(run.metrics) as file:
                file.write("".join(json.dumps(line) + "\n" for line in lines).encode())
            self._file = run.metrics.open("a", encoding="utf-8")
            self._loggers = open_loggers()

    def write(self, step: int, epoch: float, **values: float) -> None:
        """Writes a line of values by name, after `step` steps and `epoch` epochs."""
        with self._writing():
            self._file.write(json.dumps({"step": step, "epoch": round(epoch, 4), **values}) + "\n")
            self._file.flush()
            for logger in self._loggers:
                logger.write(step, epoch, values)

    def had(self, name: str, step: int) -> bool:
        """Tells whether the lines of before the run was resumed have a value of this name at a step."""
        return step == self._resumed_step and name in self._at_resumed

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        with self._writing():
            self._file.close()
            for logger in self._loggers:
                logger.close(failed=error is not None)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:  # also that of TensorBoard's thread, which it raises here
            raise TrainingError(
                f"{self._path}: cannot write the metrics ({error.strerror}); the checkpoints are intact: "
                "make room, and continue with --resume"
            ) from error


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
