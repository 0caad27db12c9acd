"""The memory, file descriptors and threads of a long run."""

from __future__ import annotations

import os
import time
from pathlib import Path

from sslfast.benchmarks.soak.job import SECONDS, Job, metrics

WARM = 0.25  # share of the steps before the first sample
PAGE = os.sysconf("SC_PAGE_SIZE")


def sample(pid: int) -> dict[str, int]:
    """Reads the resident bytes, file descriptors and threads of a process."""
    process = Path("/proc") / str(pid)
    return {
        "bytes": int((process / "statm").read_text().split()[1]) * PAGE,
        "file descriptors": len(list((process / "fd").iterdir())),
        "threads": len(list((process / "task").iterdir())),
    }


def watch(folder: Path, steps: int) -> dict[str, list[int]]:
    """Trains for so many steps in one process; what it holds after WARM of them, and near the end.

    Raises:
        AssertionError: the run fails.
        TimeoutError: no step for long.
    """
    job = Job(folder, 1, steps)
    pid, samples = job.ranks[0].pid or 0, []
    for share in (WARM, 0.95):
        until = time.monotonic() + SECONDS + steps
        while (lines := metrics(job.run)) == [] or lines[-1]["step"] < share * steps:
            if time.monotonic() > until or not job.ranks[0].is_alive():
                raise TimeoutError(f"{job.run}: no step {share * steps:.0f}: {job.said(0).read_text()}")
            time.sleep(0.02)
        samples.append(sample(pid))
    assert job.end() == [0], job.said(0).read_text()
    return {name: [each[name] for each in samples] for name in samples[0]}


def is_flat(held: dict[str, list[int]], growth: float = 0.02) -> bool:
    """Tells whether nothing grows: descriptors and threads not at all, memory by at most this share."""
    return all(last <= first * (1 + growth * (name == "bytes")) for name, (first, last) in held.items())
