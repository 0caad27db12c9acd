"""Provides what the ops' benchmarks share: the providers that are compared, and how a case is measured.

A provider is a way to compute an op: `eager` (the reference in plain PyTorch), `compiled` (torch.compile of it),
another package's, one of our implementations, or `auto`, our choice. Providers of a case take turns, call by call
and each round in another order, so that what else the machine does falls on all alike, and the median call is
reported. A provider that a GPU has no memory for is reported as OOM. How far apart two equal providers would come
out, the noise, is estimated by eager's calls, which are split for it as if they were two providers'.

Time is a call's, by the wall clock on the CPU; on a GPU by events around it, after its L2 cache was overwritten.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import statistics
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sslfast.benchmarks.measure.machine import Ceilings, Work, describe
from sslfast.benchmarks.measure.memory import extra_memory
from sslfast.benchmarks.measure.noise import noise
from sslfast.benchmarks.measure.timing import Backward, Step, host_microseconds, launches, take_turns
from sslfast.benchmarks.ops import peers
from sslfast.benchmarks.ops.result import OURS, OpResult, parameters, write_csv, write_json
from sslfast.errors import UsageError
from sslfast.hints import nearest
from sslfast.kernels import available_impls

__all__ = ["OURS", "PASSES", "Benchmark", "OpResult", "Step", "Work", "bind", "find", "measure", "of_pass", "run"]

PASSES = ("forward", "backward", "forward+backward")
# What a run that is cut short should have: the ops that decide how fast a step is.
FIRST = ("info_nce", "nt_xent", "sinkhorn_knopp", "ema_update_", "nearest_neighbor", "aligned_pooling")


class Benchmark(ABC):
    """Describes the benchmark of one op; `bench_<op>.py` has one as BENCHMARK."""

    op: str
    passes: Sequence[str]  # PASSES of an op with a derivative; "forward"; "update"
    yardsticks: Sequence[str] = ()  # providers that compute something else, and are no rivals

    @abstractmethod
    def cases(self, device: torch.device) -> list[Any]:
        """Returns the cases to compute; str() of one is its name. It may have a `dtype`, else it is of fp32."""

    @abstractmethod
    def step(self, case: Any, provider: str, pass_name: str, device: torch.device) -> Step | None:
        """Returns one call of the op, with inputs alike for every provider; None: it cannot do this case."""

    def work(self, case: Any, pass_name: str) -> Work | None:
        """Returns the least work of a call, for the floor of its time; None: not given.

        It is not asked for a backward pass alone, whose work depends on what the forward pass has done of it.
        """
        return None

    def providers(self, device: torch.device) -> list[str]:
        return ["eager", "compiled", *peers.installed(self.op, device), *self.ours(device)]

    def ours(self, device: torch.device) -> list[str]:
        """Lists our implementations that run on the device; on a CPU not Triton's, which are interpreted there.

        "triton_tma" has a program of its own, `ops/tma.py`: were it not to end, the others would have no record.
        """
        left_out = {"reference", "triton_tma"} | (set() if device.type == "cuda" else {"triton"})
        return [*(impl for impl in available_impls(self.op, device) if impl not in left_out), "auto"]


def bind(op: Callable[..., Any], provider: str) -> Callable[..., Any]:
    """Returns the op as `eager`, `compiled`, another package or one of our implementations computes it."""
    if provider in peers.FORMS.get(op.__name__, {}):
        return peers.FORMS[op.__name__][provider]
    if provider == "eager":
        return functools.partial(op, impl="reference")
    if provider == "compiled":
        return torch.compile(functools.partial(op, impl="reference"), dynamic=False)
    return op if provider == "auto" else functools.partial(op, impl=provider)  # "auto" as it is called: by default


def of_pass(
    pass_name: str, forward: Callable[[], Tensor], inputs: Sequence[Tensor], gradient: Tensor | None = None
) -> Step:
    """Returns the step of one of PASSES: see Backward for the arguments."""
    if pass_name == "forward":
        return torch.no_grad()(forward)
    backward = Backward(forward, inputs, gradient)
    return backward if pass_name == "backward" else lambda: backward()


def run(
    op: str | None = None,
    *,
    json_path: Path | None = None,
    csv_path: Path | None = None,
    plots: Path | None = None,
) -> list[OpResult]:
    """Benchmarks one op, or all; prints a table and writes what is asked for.

    Args:
        op: its name; None: all.
        json_path: a file for the results and what they depend on; in a folder, a file an op.
        csv_path: a file for the results. Both are written after every case: an interrupted run leaves what it has.
        plots: a folder for plots, one an op.

    Raises:
        UsageError: no op of that name has a benchmark, or a file or folder cannot be written.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    benchmarks = find(op)
    for option, path in (("--json", json_path), ("--csv", csv_path), ("--plots", plots)):
        if path is not None and not path.absolute().parent.is_dir():
            raise UsageError(f"{option} {path}: expected a path in a folder that exists")
    header = describe(device)
    print("\n".join(f"{key}: {value}" for key, value in header.items()))
    ceilings = Ceilings(device)
    results: list[OpResult] = []
    for benchmark in benchmarks:
        for of_case in measure(benchmark, device, ceilings):
            results += of_case
            if json_path is not None:
                write_json(json_path, header, results)
            if csv_path is not None:
                write_csv(csv_path, results)
    if plots is not None:
        from sslfast.benchmarks.ops.plots import draw

        plots.mkdir(exist_ok=True)
        draw(results, plots)
    return results


def find(op: str | None) -> list[Benchmark]:
    """Returns the benchmark of one op, or all, those of FIRST before the others."""
    import sslfast.benchmarks.ops as package

    names = sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.name.startswith("bench_"))
    modules = [importlib.import_module(f"{package.__name__}.{name}") for name in names]
    benchmarks = [module.BENCHMARK for module in modules if hasattr(module, "BENCHMARK")]  # the rest: no ops
    if op is None:
        return sorted(benchmarks, key=lambda b: FIRST.index(b.op) if b.op in FIRST else len(FIRST))
    chosen = [benchmark for benchmark in benchmarks if benchmark.op == op]
    if not chosen:
        raise UsageError(f"--op {op}: no such op{nearest(op, (b.op for b in benchmarks), '`sslfast info`')}")
    return chosen


HEAD = (
    f"{'case':<32}{'pass':<18}{'provider':<14}"
    f"{'ms':>10}{'x eager':>9}{'noise':>7}{'x next':>9}{'floor':>7}{'MiB':>9}{'host us':>9}{'launches':>9}"
)


def measure(benchmark: Benchmark, device: torch.device, ceilings: Ceilings) -> Iterator[list[OpResult]]:
    """Times every case of a benchmark with every provider; yields a case's results when all its passes are timed.

    It prints a table as it goes. Its columns: the median call; eager's time over it; the noise, by which this
    ratio would differ from 1 between two equal providers; the best other provider's time over it; what share of it
    the least possible time is, by this machine's matrix products and copies; peak extra memory; and on a GPU how
    long the host is busy, and how many kernels are launched. A forward pass is timed without a gradient. What it
    does for one shows in both passes together: a backward pass alone may have little left to do.
    """
    print(f"\n{benchmark.op}\n{HEAD}", flush=True)
    for case in benchmark.cases(device):
        of_case: list[OpResult] = []
        for pass_name in benchmark.passes:
            rows = _measure(benchmark, case, pass_name, device, ceilings)
            for row in rows:
                print(_line(row), flush=True)
            of_case += rows
        yield of_case


def _measure(
    benchmark: Benchmark, case: Any, pass_name: str, device: torch.device, ceilings: Ceilings
) -> list[OpResult]:
    torch.compiler.reset()  # each case is compiled for its own shape
    asked = {name: benchmark.step(case, name, pass_name, device) for name in benchmark.providers(device)}
    steps = {name: step for name, step in asked.items() if step is not None}
    times = take_turns(steps, device)
    medians = {name: statistics.median(samples) for name, samples in times.items() if samples}
    work = None if pass_name == "backward" else benchmark.work(case, pass_name)
    least = ceilings.floor_ms(work, getattr(case, "dtype", torch.float32)) if work else None
    on_gpu = device.type == "cuda"
    of_equal = noise(times.get("eager", []))

    def result(name: str) -> OpResult:
        ms, step = medians.get(name), steps[name]
        itself = OURS if name in OURS else (name,)
        others = [medians[rival] for rival in medians.keys() - {*itself, *benchmark.yardsticks}]
        return OpResult(
            op=benchmark.op,
            case=str(case),
            parameters=parameters(case),
            pass_name=pass_name,
            provider=name,
            milliseconds=ms,
            speedup=medians["eager"] / ms if ms and "eager" in medians else None,
            noise=of_equal if ms else None,
            lead=min(others) / ms if ms and others else None,
            floor=least / ms if ms and least else None,
            calls=len(times[name]),
            extra_bytes=extra_memory(step, device) if ms else None,
            host_microseconds=host_microseconds(step) if ms and on_gpu else None,
            launches=launches(step) if ms and on_gpu else None,
        )

    return [result(name) for name in steps]


def _line(r: OpResult) -> str:
    def cell(value: float | None, form: str) -> str:
        return "-" if value is None else form.format(value)

    ms = "OOM" if r.milliseconds is None else f"{r.milliseconds:.3f}"
    mib = None if r.extra_bytes is None else r.extra_bytes / 2**20
    return (
        f"{r.case:<32}{r.pass_name:<18}{r.provider:<14}"
        f"{ms:>10}{cell(r.speedup, '{:.2f}'):>9}{cell(r.noise, '{:.1%}'):>7}{cell(r.lead, '{:.2f}'):>9}"
        f"{cell(r.floor, '{:.0%}'):>7}{cell(mib, '{:.1f}'):>9}{cell(r.host_microseconds, '{:.0f}'):>9}"
        f"{cell(r.launches, '{:d}'):>9}"
    )
