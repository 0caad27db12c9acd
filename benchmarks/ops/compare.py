"""Compares the kernels of two commits: `make bench-compare BASE=<git ref> [OP=<op>]`.

Each tree is built and benchmarked in processes of its own, by turns, the order changing from round to round. Only
the command `sslfast bench` of a tree is used, so that one whose modules lie elsewhere can be compared too. What is
compared is a kernel's speed beside eager PyTorch's in the same process, so that a machine that is slower for a
while does not count against one of the two.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sslfast.benchmarks.ops.benchmark import OURS

HERE = Path(__file__).resolve().parents[2]
ROUNDS = 3


class Row(NamedTuple):
    """A case of an op, a pass and a provider, which a speed belongs to."""

    op: str
    case: str
    pass_name: str
    provider: str


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make bench-compare", description=__doc__)
    parser.add_argument("base", help="the git ref to compare the present tree with")
    parser.add_argument("--op", help="one op (default: all)")
    args = parser.parse_args(argv)
    try:
        with checkout(args.base) as base:
            build(base)
            print(table(*measure(base, HERE, args.op)))
    except subprocess.CalledProcessError as error:
        command = " ".join(str(word) for word in error.cmd)
        message = f"bench-compare: exit status {error.returncode} of {command}: see its message above"
        print(message, file=sys.stderr)
        return 2
    return 0


@contextmanager
def checkout(ref: str) -> Iterator[Path]:
    """Lays out the tree of a commit, as long as the context lasts."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "base"
        subprocess.run(["git", "-C", HERE, "worktree", "add", "--detach", tree, ref], check=True)
        try:
            yield tree
        finally:
            subprocess.run(["git", "-C", HERE, "worktree", "remove", "--force", tree], check=True)


def build(tree: Path) -> None:
    """Compiles the C++ and CUDA kernels of a tree."""
    subprocess.run([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], cwd=tree, check=True)


def measure(base: Path, head: Path, op: str | None) -> tuple[dict[Row, float], dict[Row, float]]:
    """Measures our implementations' speeds beside eager in the two trees: the median over the rounds."""
    samples: dict[Path, dict[Row, list[float]]] = {base: defaultdict(list), head: defaultdict(list)}
    for number in range(ROUNDS):
        for tree in (base, head) if number % 2 == 0 else (head, base):
            for row, speedup in speedups(benchmark(tree, op)):
                samples[tree][row].append(speedup)
    of_base, of_head = (
        {row: statistics.median(values) for row, values in samples[tree].items()} for tree in (base, head)
    )
    return of_base, of_head


def benchmark(tree: Path, op: str | None) -> list[dict[str, Any]]:
    """Returns the results of a tree's `sslfast bench`, as its JSON file has them."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.json"
        chosen = ["--op", op] if op else []
        command = [sys.executable, "-c", "import sys; from sslfast.cli import main; sys.exit(main())"]
        subprocess.run(
            [*command, "bench", *chosen, "--json", results],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree)},  # before the installed package
            stdout=subprocess.DEVNULL,
            check=True,
        )
        return list(json.loads(results.read_text())["results"])


def speedups(results: Iterable[dict[str, Any]]) -> Iterable[tuple[Row, float]]:
    """Returns the rows of our implementations, and their speeds beside eager."""
    for result in results:
        if result["provider"] in OURS and result["speedup"] is not None:
            yield Row(*(result[field] for field in Row._fields)), result["speedup"]


def table(base: dict[Row, float], head: dict[Row, float]) -> str:
    """Writes a line for each row that both have: its speeds beside eager, and the second over the first."""
    lines = [f"{'op':<24}{'case':<32}{'pass':<18}{'provider':<12}{'base':>8}{'head':>8}{'head/base':>11}"]
    lines += [
        f"{row.op:<24}{row.case:<32}{row.pass_name:<18}{row.provider:<12}"
        f"{base[row]:>8.2f}{head[row]:>8.2f}{head[row] / base[row]:>11.2f}"
        for row in head
        if row in base
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
