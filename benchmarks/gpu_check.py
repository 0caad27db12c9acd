"""Everything a machine with a GPU can say about the kernels, in one command: `make gpu-check`.

Builds, runs the tests of the ops on the GPU, again under compute-sanitizer where it is installed, and all
benchmarks; writes what each step said, and how to redo it, to benchmarks/results/<gpu>/. `--dry-run` does the
same on the CPU with few tests and one op, to try the command itself on a machine without a GPU.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from sslfast.benchmarks.machine import RESULTS, describe, machine_name

HERE = Path(__file__).resolve().parents[1]
SANITIZED = "test_no_worse_than_eager or test_any_memory_layout"  # the tests that compute-sanitizer repeats


@dataclass(frozen=True)
class Step:
    name: str
    command: list[str]


def steps(results: Path, *, dry_run: bool) -> list[Step]:
    python, tests = sys.executable, [sys.executable, "-m", "pytest", "-q", "tests/kernels"]
    ops = results / "ops"
    bench = [python, "-m", "sslfast", "bench", "--json", str(ops), "--csv", str(results / "ops.csv")]
    found = [
        Step("build", [python, "setup.py", "-q", "build_ext", "--inplace"]),
        Step("info", [python, "-m", "sslfast", "info"]),
        Step("tests", [*tests, "-k", "test_contract and info_nce" if dry_run else "not cpp"]),
    ]
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer and not dry_run:
        for tool in ("memcheck", "racecheck"):
            command = [sanitizer, "--tool", tool, "--error-exitcode", "9", *tests, "-k", SANITIZED]
            found.append(Step(tool, command))
    found.append(Step("benchmarks", [*bench, *(["--op", "ema_update_"] if dry_run else [])]))
    if not dry_run:
        for name in ("views", "train"):
            program = [python, "-m", f"sslfast.benchmarks.bench_{name}"]
            found.append(Step(name, [*program, "--json", str(results / f"{name}.json")]))
    return found


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make gpu-check", description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="a small check on the CPU")
    parser.add_argument("--out", type=Path, help="the folder for the results")
    args = parser.parse_args(argv)
    if not args.dry_run and not torch.cuda.is_available():
        print(
            "gpu-check: expected a CUDA device, found none; --dry-run tries the command without", file=sys.stderr
        )
        return 2
    device = torch.device("cpu" if args.dry_run else "cuda")
    folder = "dry-run" if args.dry_run else machine_name(device)
    results = (args.out or RESULTS / folder).resolve()
    (results / "ops").mkdir(parents=True, exist_ok=True)
    return check(steps(results, dry_run=args.dry_run), results, device)


def check(todo: Sequence[Step], results: Path, device: torch.device) -> int:
    """Runs the steps, each with a log; writes check.json; returns 1 if any failed."""
    outcome, header = [], describe(device)
    for step in todo:
        print(f"{step.name}: {' '.join(step.command)}", flush=True)
        start = time.perf_counter()
        log = results / f"{step.name}.log"
        with log.open("w") as file:
            done = subprocess.run(step.command, cwd=HERE, stdout=file, stderr=subprocess.STDOUT, check=False)
        code = done.returncode
        seconds = round(time.perf_counter() - start, 1)
        print(f"  {'done' if code == 0 else f'failed ({code}), see {log}'} in {seconds} s", flush=True)
        outcome.append({**asdict(step), "exit_code": code, "seconds": seconds})
    (results / "check.json").write_text(json.dumps({"header": header, "steps": outcome}, indent=1) + "\n")
    return int(any(step["exit_code"] != 0 for step in outcome))


if __name__ == "__main__":
    sys.exit(main())
