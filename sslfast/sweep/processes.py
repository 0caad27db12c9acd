"""The processes of a sweep: two for each cell, one after the other, on each device one at a time."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from sslfast.errors import printable
from sslfast.sweep.commands import Commands

log = logging.getLogger(__name__)

CPU = "cpu"
ALIVE = 0.2  # seconds between two looks at the processes, at which signals are taken


def program(arguments: Sequence[str]) -> list[str]:
    """Returns the command that runs sslfast with some arguments."""
    return [sys.executable, "-m", "sslfast", *arguments]


class Workers:
    """Makes cells on devices, each device's one after another.

    Args:
        devices: what to run on, "0" or "cpu", one process each; CPU processes share the cores.
    """

    def __init__(self, devices: Sequence[str]) -> None:
        self.devices = devices
        self.failed: dict[str, str] = {}
        self._waiting: deque[tuple[str, Commands]] = deque()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopping = False

    def run(self, cells: Mapping[str, Commands]) -> None:
        """Makes the cells; `failed` then has the reasons of those that could not be made, by name.

        Raises:
            SystemExit: 143 after SIGTERM, 130 after SIGINT: the runs have saved, and go on when made again.
        """
        self._waiting.extend(cells.items())
        self._total = len(cells)
        threads = [threading.Thread(target=self._work, args=(device,)) for device in self.devices]
        with _signals() as received:
            try:
                for thread in threads:
                    thread.start()
                while not received and any(thread.is_alive() for thread in threads):
                    time.sleep(ALIVE)
            finally:
                self._stop()
                for thread in threads:
                    thread.join()
        if received:
            raise SystemExit(128 + received[0])

    def _stop(self) -> None:
        with self._lock:
            self._stopping = True
            for process in self._running:
                process.terminate()  # a run saves, and ends

    def _work(self, device: str) -> None:
        while not self._stopping:
            try:
                name, cell = self._waiting.popleft()
            except IndexError:
                return
            place = f" on {device}" if device else ""
            log.info("%d of %d: %s%s", self._total - len(self._waiting), self._total, name, place)
            if (reason := self._make(cell, device)) is not None and not self._stopping:
                self.failed[name] = reason
                log.warning("%s: %s", name, reason)

    def _make(self, cell: Commands, device: str) -> str | None:
        """Runs the commands of a cell. Returns None, or the reason why one failed."""
        record = cell.run.parent / f"{cell.run.name}.log"
        try:
            return self._call(cell.pretrain, device, record) or self._call(cell.evaluate, device, record)
        except OSError as error:
            return f"{error.filename or record}: {error.strerror or error}"

    def _call(self, arguments: Sequence[str], device: str, record: Path) -> str | None:
        """Runs a command, whose output goes into a file. Returns None, or the reason why it failed."""
        record.parent.mkdir(parents=True, exist_ok=True)
        with record.open("ab") as file:
            start = file.tell()
            with self._lock:
                if self._stopping:
                    return "stopped"
                process = subprocess.Popen(
                    program(arguments),
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    env=self._environment(device),
                    start_new_session=True,  # a terminal's Ctrl-C reaches it once, through this process
                )
                self._running.add(process)
            code = process.wait()
            with self._lock:
                self._running.discard(process)
        if not code:
            return None
        with record.open("rb") as file:
            file.seek(start)
            lines = file.read().decode(errors="replace").split("\n")
        said = next((line for line in reversed(lines) if line.strip()), f"exit code {code}")
        return printable(f"{arguments[0]}: {said.removeprefix('sslfast: ')} ({record})")

    def _environment(self, device: str) -> dict[str, str]:
        environment = {**os.environ, "TQDM_DISABLE": "1"}
        if device == CPU:
            shared = max(1, len(os.sched_getaffinity(0)) // self.devices.count(CPU))
            return {"OMP_NUM_THREADS": str(shared), **environment, "CUDA_VISIBLE_DEVICES": ""}
        return environment if not device else {**environment, "CUDA_VISIBLE_DEVICES": device}


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects the SIGTERM and SIGINT that come, in the main thread: Python takes them in no other.

    They raise nothing: an exception within `Thread.join` makes it take the thread for one that has ended.
    """
    received: list[int] = []

    def take(number: int, frame: FrameType | None) -> None:
        received.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.signal(number, take) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
