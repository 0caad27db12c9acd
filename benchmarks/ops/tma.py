"""The kernels that copy tiles by TMA, beside the plain ones: first what they compute, then their time.

    python -m sslfast.benchmarks.ops.tma --json tma.json

`auto` does not choose them, nor are they among the providers of `sslfast bench`, before a run of this on a GPU
shows them right and faster. A case whose results differ is not timed, and fails the program.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from sslfast.benchmarks.measure.machine import describe
from sslfast.benchmarks.measure.timing import take_turns
from sslfast.benchmarks.ops.benchmark import Benchmark, find
from sslfast.kernels.common.op import OPS

OPS_WITH_TMA = ("info_nce", "nearest_neighbor")
PLAIN, TMA = "triton", "triton_tma"
MAX_D = 256  # what its kernels take
TOLERANCE = 0.02  # for sums over keys of weights rounded to bf16, which the two round relative to other maxima
HEAD = f"{'op':<20}{'case':<28}{'pass':<18}{'difference':>12}{'plain ms':>10}{'TMA ms':>10}{'x plain':>9}"


@dataclass(frozen=True)
class TMAResult:
    """One pass of one case in both forms. Times are None where the results differ."""

    op: str
    case: str
    pass_name: str
    difference: float  # the largest between two results, as a share of the largest value; of indices: the share
    plain_ms: float | None
    tma_ms: float | None


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m sslfast.benchmarks.ops.tma", description=__doc__)
    parser.add_argument("--json", type=Path, help="a file for the results")
    args = parser.parse_args(argv)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for op in OPS_WITH_TMA:
        if reason := OPS[op].why_not(TMA, device.type):
            print(f"{op}: impl={TMA!r} is not available: {reason}", file=sys.stderr)
            return 2
    header, results = describe(device), []
    print(HEAD)
    for benchmark in (found for op in OPS_WITH_TMA for found in find(op)):
        for result in measure(benchmark, benchmark.cases(device), device):
            print(line(result), flush=True)
            results.append(result)
            if args.json is not None:
                content = {"header": header, "results": [asdict(result) for result in results]}
                args.json.write_text(json.dumps(content, indent=1) + "\n")
    return int(any(result.tma_ms is None for result in results))


def measure(benchmark: Benchmark, cases: Sequence[Any], device: torch.device) -> Iterator[TMAResult]:
    """Compares and times the cases that the kernels with TMA take."""
    for case in cases:
        # What is left of a backward pass alone is the same in both forms.
        for pass_name in (name for name in benchmark.passes if name != "backward" and case.d <= MAX_D):
            asked = {impl: benchmark.step(case, impl, pass_name, device) for impl in (PLAIN, TMA)}
            steps = {impl: step for impl, step in asked.items() if step is not None}
            off = difference(*(tree_leaves(step()) for step in steps.values()))
            times = take_turns(steps, device) if off <= TOLERANCE else {}
            medians = [statistics.median(times[impl]) if times else None for impl in (PLAIN, TMA)]
            yield TMAResult(benchmark.op, str(case), pass_name, off, *medians)


def difference(plain: Sequence[Tensor], tma: Sequence[Tensor]) -> float:
    """Returns two results' largest difference, as a share of the largest value; of indices, the share of them."""
    shares = []
    for expected, got in zip(plain, tma, strict=True):
        if expected.is_floating_point():
            share = (got.double() - expected.double()).abs().max() / expected.double().abs().max()
        else:
            share = (got != expected).double().mean()
        shares.append(share.nan_to_num(nan=torch.inf).item())
    return max(shares)


def line(result: TMAResult) -> str:
    """Writes the line of a result, below HEAD."""
    first = f"{result.op:<20}{result.case:<28}{result.pass_name:<18}{result.difference:>12.2e}"
    if result.plain_ms is None or result.tma_ms is None:
        return f"{first}  the results differ: not timed"
    return f"{first}{result.plain_ms:>10.3f}{result.tma_ms:>10.3f}{result.plain_ms / result.tma_ms:>9.2f}"


if __name__ == "__main__":
    sys.exit(main())
