"""Processes of a run that are started, stopped and killed."""

import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sslfast.cli import main
from sslfast.distributed import ranks

# One process imports what they need, and each is forked from it: imports take longer than the runs.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload([__name__, "sslfast.commands.pretrain"])

SETTINGS = [
    "train.rank_timeout=5",
    "train.epochs=100000",
    "train.log_every=1",
    "train.knn_every=0",
    "train.threads=1",
    "data.batch_size=8",
    "data.size=8",
    "data.pipeline=resident",
    "encoder.stem=cifar",
    "encoder.width=0.03",
    "method.dim=4",
    "method.hidden=4",
    "method.queue_size=8",
    "optim.warmup_epochs=0",
]


def write_images(folder: Path) -> None:
    """Writes 16 images without labels: two steps an epoch."""
    folder.mkdir()
    chance = np.random.default_rng(0)
    for i in range(16):
        Image.fromarray(chance.integers(0, 255, (8, 8, 3), np.uint8)).save(folder / f"{i}.png")


class Pair:
    """A run of two processes in a folder, which holds the images.

    Args:
        folder: the folder.
        data: each rank's argument of the images, if not those.
    """

    def __init__(self, folder: Path, data: Sequence[str] | None = None) -> None:
        self.folder = folder
        data = data or [f"--data={folder}/images"] * 2  # of each rank
        write_images(folder / "images")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.ranks = [processes.Process(target=work, args=(rank, port, folder, data[rank])) for rank in range(2)]
        for process in self.ranks:
            process.start()

    def wait_for_steps(self, count: int) -> None:
        """Waits until so many steps are logged."""
        metrics, until = self.folder / "run" / "metrics.jsonl", time.monotonic() + 100
        while not metrics.exists() or metrics.read_text().count("\n") < count:
            assert all(process.is_alive() for process in self.ranks), self.said(0) + self.said(1)
            assert time.monotonic() < until, "no step"
            time.sleep(0.05)

    def said(self, rank: int) -> str:
        """Reads what a rank has written to standard error."""
        return (self.folder / f"{rank}.txt").read_text()

    def sentence(self, rank: int) -> str:
        """Finds the one line of ours that a rank ended with, without a traceback."""
        said = self.said(rank)
        assert "Traceback" not in said
        (sentence,) = (line for line in said.splitlines() if line.startswith("sslfast: "))
        return sentence

    def end(self) -> None:
        for process in self.ranks:
            process.kill()
            process.join()


def work(rank: int, port: int, folder: Path, data: str) -> None:
    """Does what `sslfast pretrain` does as one of two processes that torchrun, or another launcher, started."""
    here = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in here.items()})
    output = os.open(folder / f"{rank}.txt", os.O_WRONLY | os.O_CREAT)
    os.dup2(output, sys.stderr.fileno())
    ranks.PERIOD, ranks.PATIENCE = 0.2, 2.0  # of seconds, so that the test is quick
    argv = ["pretrain", "moco_v2_shapes", data, f"--out={folder}/run", *SETTINGS]
    sys.exit(main(argv))


def send(pair: Pair, rank: int, number: signal.Signals) -> None:
    """Sends a signal to a rank."""
    os.kill(pair.ranks[rank].pid or 0, number)
