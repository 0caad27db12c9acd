"""A run of several processes that can be killed, from outside or in the middle of a checkpoint."""

from __future__ import annotations

import json
import multiprocessing
import os
import runpy
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from sslfast.distributed import ranks
from sslfast.run import checkpoint
from sslfast.run.atomic import atomic_write

# One process imports what they need, and each is forked from it: imports take longer than the runs.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["sslfast.cli", "sslfast.commands.pretrain"])

STEPS_PER_EPOCH = 2
SETTINGS = [
    "data.limit=16",
    "data.val_fraction=0",
    "data.batch_size=8",
    "data.size=8",
    "encoder.width=0.03",
    "method.dim=4",
    "method.hidden=4",
    "method.queue_size=8",
    "optim.warmup_epochs=0",
    "train.device=cpu",
    "train.threads=1",
    "train.log_every=1",
    "train.knn_every=0",
    "train.rank_timeout=60",
]
SECONDS = 120.0  # that a process may take to start, or to end


class Job:
    """A run, started or resumed, in processes of its own.

    Args:
        folder: for the run, `run`, and for what its processes say.
        count: of processes.
        steps: of the whole training.
        killed_at: the byte of the first checkpoint at which rank 0 is killed; None: none is.
        more: further settings.
    """

    def __init__(self, folder: Path, count: int, steps: int, killed_at: int | None = None, *more: str) -> None:
        self.folder, self.run = folder, folder / "run"
        self.starts = self._starts()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        argv = ["pretrain", "moco_v2_shapes", f"--out={self.run}", "--resume", *SETTINGS, *more]
        argv.append(f"train.epochs={steps // STEPS_PER_EPOCH}")
        folder.mkdir(exist_ok=True)
        self.ranks = [
            processes.Process(target=_work, args=(rank, count, port, self.said(rank), argv, killed_at))
            for rank in range(count)
        ]
        for process in self.ranks:
            process.start()

    def said(self, rank: int) -> Path:
        """Names the file of what a rank writes to standard error."""
        return self.folder / f"{rank}.txt"

    def wait_for_step(self, count: int) -> None:
        """Waits until so many steps are done since it started, or it has ended."""
        until, first = time.monotonic() + SECONDS, None
        while any(process.is_alive() for process in self.ranks):
            if time.monotonic() > until:
                raise TimeoutError(f"{self.run}: no step in {SECONDS:.0f} seconds")
            if self._starts() > self.starts:
                steps = metrics(self.run)
                first = (steps[-1]["step"] if steps else 0) if first is None else first
                if steps and steps[-1]["step"] >= first + count:
                    return
            time.sleep(0.005)

    def kill(self, numbers: list[int]) -> None:
        """Kills these ranks, at once."""
        for number in numbers:
            self.ranks[number].kill()

    def end(self) -> list[int | None]:
        """Waits for all processes; their exit codes. Raises TimeoutError where one hangs."""
        for process in self.ranks:
            process.join(SECONDS)
        codes = [process.exitcode for process in self.ranks]
        self.kill(list(range(len(self.ranks))))
        if None in codes:
            raise TimeoutError(f"{self.run}: a process was still there after {SECONDS:.0f} seconds")
        return codes

    def _starts(self) -> int:
        path = self.run / "environment.jsonl"
        return path.read_text().count("\n") if path.exists() else 0


def metrics(run: Path) -> list[dict[str, Any]]:
    """Reads the whole lines of a run's metrics.jsonl."""
    path = run / "metrics.jsonl"
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]


def _work(rank: int, count: int, port: int, said: Path, argv: list[str], killed_at: int | None) -> None:
    """Does what `sslfast pretrain` does as one of the processes that torchrun, or another launcher, started."""
    here = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in here.items()})
    os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), sys.stderr.fileno())
    ranks.PERIOD, ranks.PATIENCE = 0.2, 2.0  # of seconds: a lost rank is named sooner
    if killed_at is not None:

        @contextmanager
        def write(path: Path) -> Iterator[BinaryIO]:
            with atomic_write(path) as file:
                yield _Deadly(file, killed_at)  # type: ignore[misc]

        checkpoint.atomic_write = write
    sys.argv[1:] = argv
    runpy.run_module("sslfast", run_name="__main__")


class _Deadly:
    """A file whose writer is killed at a byte."""

    def __init__(self, file: BinaryIO, at: int) -> None:
        self.file, self.left = file, at

    def write(self, data: bytes) -> int:
        if len(data) > self.left:
            self.file.write(memoryview(data)[: self.left])
            self.file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= len(data)
        return self.file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)
