"""The machine that a benchmark runs on: what it is, and the rates that no op can exceed."""

import os
import platform
import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

import torch

from sslfast.benchmarks.measure.timing import Step, time_on_cpu, time_on_gpu
from sslfast.run import environment

RESULTS = Path(__file__).resolve().parents[1] / "results"


@dataclass(frozen=True)
class Work:
    """The least that an op must do, however it is written.

    Attributes:
        flops: floating-point operations of its matrix products, two for a multiplication and an addition.
        bytes: bytes read and written, each once.
    """

    flops: float
    bytes: float


class Ceilings:
    """The rates of this machine, measured when first asked for: matrix products in a dtype, and a copy."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._flops: dict[torch.dtype, float] = {}
        self._bytes: float | None = None

    def floor_ms(self, work: Work, dtype: torch.dtype) -> float:
        """Returns the least time that the work takes here, were products and memory traffic to overlap wholly."""
        return max(work.flops / self.flops(dtype), work.bytes / self.bytes()) * 1e3

    def flops(self, dtype: torch.dtype) -> float:
        """Measures the floating-point operations per second of a large square matrix product."""
        if dtype not in self._flops:
            size = 8192 if self.device.type == "cuda" else 1024
            a, b = (torch.randn(size, size, device=self.device).to(dtype) for _ in range(2))
            self._flops[dtype] = 2 * size**3 / self._seconds(lambda: a @ b)
        return self._flops[dtype]

    def bytes(self) -> float:
        """Measures the bytes read and written per second by a copy larger than any cache.

        A CPU also reads the lines that a copy overwrites, uncounted here: an update in place may pass this rate.
        """
        if self._bytes is None:
            source = torch.ones(2**28 if self.device.type == "cuda" else 2**25, device=self.device)
            target = torch.empty_like(source)
            self._bytes = 2 * source.nbytes / self._seconds(lambda: target.copy_(source))
        return self._bytes

    def _seconds(self, step: Step) -> float:
        timer = time_on_gpu if self.device.type == "cuda" else time_on_cpu
        return min(timer(step) for _ in range(10)) / 1e3


def describe(device: torch.device) -> dict[str, str]:
    """Describes the hardware, versions, commit, threads and command that results depend on."""
    versions = [f"python {platform.python_version()}", f"torch {torch.__version__}"]
    versions += [f"{name} {version(name)}" for name in ("triton", "sslfast") if version(name)]
    instructions = torch.backends.cpu.get_cpu_capability()  # as one name stands for many processors
    description = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "CPU": f"{environment.cpu_name()}, {instructions}, {torch.get_num_threads()} threads",
        "versions": ", ".join(versions),
        "commit": commit(),
        "command": " ".join(["sslfast", *sys.argv[1:]]),
    }
    if device.type == "cuda":
        description["GPU"] = f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
    return description


def machine_name(device: torch.device) -> str:
    """Returns the name of the folder in RESULTS for this machine's measurements."""
    if device.type == "cpu":
        return f"cpu-{len(os.sched_getaffinity(0))}-cores"
    return torch.cuda.get_device_name(device).removeprefix("NVIDIA ").replace(" ", "-").lower()


def wait_for(device: torch.device) -> None:
    """Waits until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def commit() -> str:
    """Finds the commit of the source tree, where there is one; "-dirty" where more than results differs."""
    return environment.commit(RESULTS.parent, apart_from=RESULTS.name) or "unknown"
