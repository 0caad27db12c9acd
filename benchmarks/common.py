"""What the benchmarks of the ops share: how they are timed, how memory is measured, how results are shown.

A provider is a way to compute an op: `eager` (the reference in plain PyTorch), `compiled` (torch.compile of it),
or one of our implementations. Providers of a case take turns, call by call and each round from another one on, so
that what else the machine does falls on all alike, and the median call is reported with its ratio to eager. A
provider that a GPU has no memory for is reported as OOM.

Time is a call's, by the wall clock on the CPU; on a GPU by events around it, after its L2 cache was overwritten.
Memory is what one call takes beyond what was there before it, at its peak: on the CPU resident memory (Linux's
VmHWM, after freed memory was given back to the system), on a GPU what PyTorch's allocator gave out.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import importlib
import json
import pkgutil
import platform
import statistics
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from sslfast.errors import UsageError
from sslfast.kernels import available_impls

Step = Callable[[], object]
SECONDS = 2.0  # to spend on the timing of a case, about
MIN_CALLS, MAX_CALLS = 5, 200  # of each provider


class Benchmark(ABC):
    """The benchmark of one op; `bench_<op>.py` has one as BENCHMARK."""

    op: str
    passes: Sequence[str]  # "forward", "forward+backward", "update"

    @abstractmethod
    def cases(self, device: torch.device) -> list[Any]:
        """What is computed; str() of a case is its name."""

    @abstractmethod
    def step(self, case: Any, provider: str, pass_name: str, device: torch.device) -> Step:
        """One call of the op, with inputs that are the same for every provider."""

    def providers(self, device: torch.device) -> list[str]:
        ours = [impl for impl in available_impls(self.op, device) if impl != "reference"]
        if device.type == "cpu":
            ours = [impl for impl in ours if impl != "triton"]  # interpreted
        return ["eager", "compiled", *ours]


def bind(op: Callable[..., Any], provider: str) -> Callable[..., Any]:
    """The op as a provider computes it."""
    if provider == "eager":
        return functools.partial(op, impl="reference")
    if provider == "compiled":
        return torch.compile(functools.partial(op, impl="reference"), dynamic=False)
    return functools.partial(op, impl=provider)


@dataclass(frozen=True)
class Result:
    op: str
    case: str
    pass_name: str
    provider: str
    milliseconds: float | None  # the median call; None: out of memory
    speedup: float | None  # eager's time / this; None: either is out of memory
    calls: int
    extra_bytes: int | None  # at the peak; None: not known on this system, or out of memory


def run(op: str | None = None, json_path: str | Path | None = None) -> list[Result]:
    """Benchmarks one op, or all; prints a table and, if asked to, writes a JSON file.

    Raises:
        UsageError: no op of that name has a benchmark, or the file cannot be written.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    benchmarks = find(op)
    if json_path is not None and not Path(json_path).absolute().parent.is_dir():
        raise UsageError(f"--json {json_path}: expected a file in a folder that exists")
    header = describe(device)
    print("\n".join(f"{key}: {value}" for key, value in header.items()))
    results = []
    for benchmark in benchmarks:
        results += measure(benchmark, device)
    if json_path is not None:
        content = {"header": header, "results": [asdict(result) for result in results]}
        Path(json_path).write_text(json.dumps(content, indent=1) + "\n")
    return results


def find(op: str | None) -> list[Benchmark]:
    """The benchmarks of one op, or of all."""
    import sslfast.benchmarks as package

    names = sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.name.startswith("bench_"))
    benchmarks = [importlib.import_module(f"{package.__name__}.{name}").BENCHMARK for name in names]
    if op is None:
        return benchmarks
    chosen = [benchmark for benchmark in benchmarks if benchmark.op == op]
    if not chosen:
        raise UsageError(f"--op {op}: expected one of {', '.join(b.op for b in benchmarks)}")
    return chosen


def measure(benchmark: Benchmark, device: torch.device) -> list[Result]:
    """Times every case of a benchmark with every provider, and prints a table as it goes."""
    providers = benchmark.providers(device)
    results: list[Result] = []
    print(f"\n{benchmark.op}: median ms a call (times faster than eager) | peak extra memory, MiB\n")
    print_row("case", "pass", providers, providers)
    for case in benchmark.cases(device):
        for pass_name in benchmark.passes:
            torch.compiler.reset()  # each case is compiled for its own shape
            steps = {name: benchmark.step(case, name, pass_name, device) for name in providers}
            times = take_turns(steps, device)
            medians = {name: statistics.median(samples) for name, samples in times.items() if samples}
            row = [
                Result(
                    op=benchmark.op,
                    case=str(case),
                    pass_name=pass_name,
                    provider=name,
                    milliseconds=medians.get(name),
                    speedup=medians["eager"] / medians[name] if {"eager", name} <= medians.keys() else None,
                    calls=len(times[name]),
                    extra_bytes=extra_memory(step, device) if name in medians else None,
                )
                for name, step in steps.items()
            ]
            print_row(
                str(case),
                pass_name,
                [time_cell(r) for r in row],
                ["?" if r.extra_bytes is None else f"{r.extra_bytes / 2**20:.1f}" for r in row],
            )
            results += row
    return results


def print_row(case: str, pass_name: str, times: Sequence[str], memory: Sequence[str]) -> None:
    cells = "".join(f"{cell:>18}" for cell in times) + "  |" + "".join(f"{cell:>10}" for cell in memory)
    print(f"{case:<24}{pass_name:<18}{cells}", flush=True)


def time_cell(result: Result) -> str:
    if result.milliseconds is None:
        return "OOM"
    ratio = "" if result.speedup is None else f" ({result.speedup:.2f}x)"
    return f"{result.milliseconds:.3f}{ratio}"


def take_turns(steps: dict[str, Step], device: torch.device) -> dict[str, list[float]]:
    """Milliseconds of each call; the providers' calls alternate. None of a provider that is out of memory."""
    timer = time_on_gpu if device.type == "cuda" else time_on_cpu
    round_ms, names = 0.0, []
    for name, step in steps.items():
        try:
            for _ in range(3):  # compile, fill caches
                last = timer(step)
        except torch.OutOfMemoryError:
            continue
        round_ms += last
        names.append(name)
    calls = int(min(MAX_CALLS, max(MIN_CALLS, SECONDS * 1e3 / round_ms))) if names else 0
    samples: dict[str, list[float]] = {name: [] for name in steps}
    for i in range(calls):
        turn = i % len(names)
        for name in names[turn:] + names[:turn]:
            samples[name].append(timer(steps[name]))
    return samples


def time_on_cpu(step: Step) -> float:
    start = time.perf_counter()
    step()
    return (time.perf_counter() - start) * 1e3


@functools.cache
def l2_cache() -> torch.Tensor:
    return torch.empty(2**28, dtype=torch.int8, device="cuda")  # larger than any L2 cache


def time_on_gpu(step: Step) -> float:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    l2_cache().zero_()
    start.record()
    step()
    end.record()
    end.synchronize()
    return start.elapsed_time(end)


def extra_memory(step: Step, device: torch.device) -> int | None:
    """Bytes that one call takes at its peak beyond what is there before it."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    if sys.platform != "linux":
        return None
    ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM, the peak, to the present VmRSS
    except OSError:  # not for every container
        return None
    before = resident("VmRSS")
    step()
    return max(0, resident("VmHWM") - before)


def resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def describe(device: torch.device) -> dict[str, str]:
    """What results depend on: hardware, versions, commit, threads."""
    versions = [f"python {platform.python_version()}", f"torch {torch.__version__}"]
    versions += [f"{name} {metadata.version(name)}" for name in ("triton", "sslfast") if installed(name)]
    description = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "CPU": f"{cpu_name()}, {torch.get_num_threads()} threads",
        "versions": ", ".join(versions),
        "commit": commit(),
    }
    if device.type == "cuda":
        description["GPU"] = f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
    return description


def installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def cpu_name() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":")[1].strip()
    return platform.processor() or platform.machine()


def commit() -> str:
    """The commit of the source tree, where the package runs from one."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
