"""Everything a machine with a GPU can say about the kernels, in one command: `make gpu-check`.

Builds, runs the tests of the ops on the GPU, their benchmarks, training and the other tests that need a GPU, as
that no method's step waits for it, and the ops' tests again under compute-sanitizer where it is installed; writes
what each step said, and how to redo it, to benchmarks/results/<gpu>/. It takes 12 minutes at most: steps go from
the most to the least important, and each is stopped at its limit or when the time is over; what it has found until
then stays. Called again on the same sources, it goes on with the steps that have not come to their end.
`--dry-run` does the same on the CPU with few tests and one op, to try the command itself.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from sslfast.benchmarks.measure.machine import RESULTS, describe, machine_name
from sslfast.benchmarks.ops.benchmark import FIRST, find

HERE = Path(__file__).resolve().parents[1]
MINUTES = 12
PROCESSES = 12  # of tests at a time, each of which takes half a GiB or more of the GPU's memory
GRACE = 10  # seconds that a stopped step has to say what it has found
STOPPED, NOT_RUN = 124, None  # exit codes
KERNELS = ("tests/kernels", "tests/random", "tests/data/draws")  # tests of what has Triton, C++ or CUDA kernels
# What needs the GPU: not the C++ kernels, nor what stands in for a GPU, nor what compilers say of the others. The
# kernels with TMA, whose warps wait for one another, have steps of their own: one that does not end stops no other
# step.
ON_GPU = " and ".join(
    f"not {name}" for name in ("cpp", "emulator", "launcher", "ahead_of_time", "without_spills", "triton_tma")
)
TRAINED = ("moco_v2", "simclr", "byol", "swav")  # negatives in a queue and in the batch, none, codes
# What compute-sanitizer repeats.
SANITIZED = "not cpp and not triton_tma and (test_no_worse_than_eager or test_any_memory_layout)"
SOURCES = ("setup.py", "kernels/**/*.py", "csrc/**/*.*", "sslfast/**/*.py", "benchmarks/**/*.py", "tests/**/*.*")


@dataclass(frozen=True)
class Step:
    """A command of the check, and the seconds that it may take."""

    name: str
    command: list[str]
    limit: int
    every_time: bool = False  # also where an earlier call has done it: what it makes may be gone


def steps(results: Path, *, dry_run: bool) -> list[Step]:
    """Lists the steps to run, the most important first."""
    python, tests = sys.executable, [sys.executable, "-m", "pytest", "-q", *KERNELS]
    # What takes the time is to compile some thousand forms of the kernels, on the CPU.
    parallel = ["--numprocesses", str(min(PROCESSES, len(os.sched_getaffinity(0))))]
    others = ["-m", "gpu", *gpu_tests()]

    def benchmark(op: str) -> Step:
        # A process an op: after one that faults, a process gets nothing more from its GPU.
        command = [python, "-m", "sslfast", "bench", "--op", op, "--json", str(results / "ops")]
        return Step(f"bench-{op.strip('_')}", command, limit=MINUTES * 60 if dry_run else 60)

    def train(method: str) -> Step:  # a process a method: a step that is stopped begins anew at the next call
        return Step(f"train-{method}", [*measured("train", results), "--method", method], limit=90)

    command = [*only_for_these_gpus(), python, "setup.py", "-q", "build_ext", "--inplace"]
    build = Step("build", command, limit=120, every_time=True)
    info = Step("info", [python, "-m", "sslfast", "info"], limit=30, every_time=True)
    if dry_run:
        few = Step("tests", [*tests, "-k", "test_contract and info_nce and reference"], limit=MINUTES * 60)
        return [build, info, few, benchmark("enqueue_")]
    ops = [found.op for found in find(None)]
    todo = [
        build,
        info,
        Step("tests", [*tests, *parallel, "-k", ON_GPU], limit=200),
        *(benchmark(op) for op in FIRST),
        train(TRAINED[0]),
        Step("tma", [*tests, *parallel, "-k", "triton_tma"], limit=60),
        Step(
            "tma-times",
            [python, "-m", "sslfast.benchmarks.ops.tma", "--json", str(results / "tma.json")],
            limit=60,
        ),
        *(benchmark(op) for op in ops if op not in FIRST),
        Step("others", [python, "-m", "pytest", "-q", *others, *parallel], limit=60),
        *map(train, TRAINED[1:]),
        Step("views", measured("views", results), limit=90),
    ]
    if sanitizer := shutil.which("compute-sanitizer"):
        for tool in ("memcheck", "racecheck"):
            command = [sanitizer, "--tool", tool, "--error-exitcode", "9", *tests, "-k", SANITIZED]
            todo.append(Step(tool, command, limit=60))
    return todo


def only_for_these_gpus() -> list[str]:
    """Returns the beginning of a command that compiles for the GPUs here, unless others are asked for.

    For all architectures, and without ninja one file after another, it would take longer than the step may.
    """
    if "TORCH_CUDA_ARCH_LIST" in os.environ:
        return []
    found = {torch.cuda.get_device_capability(number) for number in range(torch.cuda.device_count())}
    names = ";".join(f"{major}.{minor}" for major, minor in sorted(found))
    return ["env", f"TORCH_CUDA_ARCH_LIST={names}"] if names else []


def gpu_tests() -> list[str]:
    """Lists the files beside those of KERNELS that have tests for a GPU.

    To collect all files would take every process the better part of the step's time, and one that needs a package
    which the machine lacks would stop the rest.
    """
    files = (path for path in sorted((HERE / "tests").rglob("test_*.py")) if "mark.gpu" in path.read_text())
    kernels = [HERE / folder for folder in KERNELS]
    return [str(path.relative_to(HERE)) for path in files if not any(map(path.is_relative_to, kernels))]


def measured(name: str, results: Path) -> list[str]:
    """Returns the command that measures whole training steps or input pipelines."""
    program = [sys.executable, "-m", f"sslfast.benchmarks.{name}.bench"]
    return [*program, "--seconds", "1", "--json", str(results / f"{name}.json")]


def sources() -> str:
    """Computes a digest of what the steps run: under another one, their outcomes are of other sources."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in SOURCES for path in HERE.glob(pattern) if path.is_file()}):
        if path.suffix != ".so" and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(HERE)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


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
    return run_all(steps(results, dry_run=args.dry_run), results, device)


def run_all(todo: Sequence[Step], results: Path, device: torch.device, seconds: float = MINUTES * 60) -> int:
    """Runs the steps, each with a log, for so many seconds in all, and writes check.json after each.

    A step that an earlier call brought to its end on the same sources is not run again.

    Returns 0 if all succeeded, else 1.
    """
    header, end = {**describe(device), "sources": sources()}, time.monotonic() + seconds
    ended = earlier(results, header["sources"])
    outcome: dict[str, dict[str, Any]] = {}
    for step in todo:
        if step.name in ended and not step.every_time:
            outcome[step.name] = ended[step.name]
            print(f"{step.name}: an earlier call did it, exit code {ended[step.name]['exit_code']}", flush=True)
            continue
        print(f"{step.name}: {' '.join(step.command)}", flush=True)
        start, log = time.monotonic(), results / f"{step.name}.log"
        limit = min(step.limit, end - start)
        code = run(step.command, log, limit) if limit > 0 else NOT_RUN
        took = round(time.monotonic() - start, 1)
        words = {0: "done", STOPPED: f"stopped, see {log},", NOT_RUN: "not run: no time is left,"}
        print(f"  {words.get(code, f'failed ({code}), see {log},')} after {took} s", flush=True)
        outcome[step.name] = {**asdict(step), "exit_code": code, "seconds": took}
        kept = {name: step for name, step in ended.items() if name not in outcome}
        content = {"header": header, "steps": [*outcome.values(), *kept.values()]}
        (results / "check.json").write_text(json.dumps(content, indent=1) + "\n")
    return int(any(step["exit_code"] != 0 for step in outcome.values()))


def earlier(results: Path, digest: str) -> Mapping[str, dict[str, Any]]:
    """Reads the steps that an earlier call on these sources brought to their end, by their names."""
    path = results / "check.json"
    content = json.loads(path.read_text()) if path.exists() else {"header": {}, "steps": []}
    if content["header"].get("sources") != digest:
        return {}
    return {step["name"]: step for step in content["steps"] if step["exit_code"] not in (STOPPED, NOT_RUN)}


def run(command: Sequence[str], log: Path, seconds: float) -> int:
    """Runs a command that writes to a log; returns its exit code, or STOPPED.

    GRACE before the seconds are over, it and what it started are interrupted, as by Ctrl-C; then killed.
    """
    # A shell's background jobs, and what they start, ignore Ctrl-C unless they ask for it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with log.open("w") as file:
        process = subprocess.Popen(
            command, cwd=HERE, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        return process.wait(max(0, seconds - GRACE))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
        return STOPPED
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what is left of it
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
