"""Writes the tables of the ops: their implementations, and what was measured of them."""

import statistics
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sslfast.benchmarks.ops.benchmark import OURS, find
from sslfast.benchmarks.tables.records import by_machine, recorded
from sslfast.kernels.common.op import OPS


def implementations() -> str:
    """Returns the table of ops by implementation."""
    on_gpu = {
        (result["op"], result["provider"])
        for contents in recorded().values()
        for content in contents
        if "GPU" in content["header"]
        for result in content["results"]
    }
    lines = ["| op | reference | C++ (CPU) | Triton | CUDA C++ |", "|---|---|---|---|---|"]
    for name, op in sorted(OPS.items()):
        cells = ["yes", "yes" if "cpp" in op.impls else ""]
        for impl, unproven in (("triton", "compiled and interpreted only"), ("cuda", "compiled only")):
            status = "yes" if (name, impl) in on_gpu else unproven
            cells.append(status if impl in op.impls else "")
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def summary() -> str:
    """Returns the table of what was measured of the ops, a line a machine: geometric means over the ops."""
    lines = ["| machine | ops | x eager PyTorch | x the fastest other |", "|---" * 4 + "|"]
    missing = ["CPU", "GPU"]
    for machine, contents in recorded().items():
        ops = measured(machine).values()
        eager = statistics.geometric_mean(statistics.geometric_mean(speedups(op, ["auto"])) for op in ops)
        other = statistics.geometric_mean(map(lead, ops))
        lines.append(f"| {machine} | {len(ops)} | **{eager:.2f}x** | {other:.2f}x |")
        device = "GPU" if "GPU" in contents[0]["header"] else "CPU"
        missing = [kind for kind in missing if kind != device]
    return "\n".join([*lines, *(f"| {device} | not measured yet | | |" for device in missing)])


def figures(machine: str) -> str:
    """Returns the table of a machine's measurements: a line an op, for all cases of its last pass; and the mean.

    What ours is set beside is the fastest other provider of each case, eager among them. Where a record has the
    noise, two columns say how many cases are behind eager by more than it, and how large it is at most.
    """
    of_op = measured(machine)
    has_noise = any(result.get("noise") is not None for results in of_op.values() for result in results)
    columns = ["op", "cases", "x eager", "lowest", "highest", *(["behind eager", "noise"] if has_noise else [])]
    columns += ["x best other", "others", "most memory, eager", "ours"]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    means = []
    for op, results in of_op.items():
        ours = speedups(results, ["auto"])
        means.append(statistics.geometric_mean(ours))
        cells = [
            f"`{op}`",
            str(len({result["case"] for result in results})),
            f"**{means[-1]:.2f}x**",
            f"{min(ours):.2f}x",
            f"{max(ours):.2f}x",
            *(behind_eager(results) if has_noise else []),
            f"{lead(results):.2f}x",
            ", ".join(sorted({r["provider"] for r in results} - {"eager", *OURS})),
            most_memory(results, "eager"),
            most_memory(results, "auto"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    empty = " |" * (len(columns) - 3)
    lines.append(f"| all | | **{statistics.geometric_mean(means):.2f}x** |{empty}")
    return "\n".join(lines)


def measured(machine: str) -> dict[str, list[dict[str, Any]]]:
    """Returns a machine's measurements of each op's last pass, less those of what computes something else."""
    yardsticks = {(benchmark.op, name) for benchmark in find(None) for name in benchmark.yardsticks}
    of_op: dict[str, list[dict[str, Any]]] = {}
    for content in recorded()[machine]:
        for result in content["results"]:
            if (result["op"], result["provider"]) not in yardsticks:
                of_op.setdefault(result["op"], []).append(result)
    return {
        op: [result for result in results if result["pass_name"] == results[-1]["pass_name"]]
        for op, results in of_op.items()
    }


def lead(results: Sequence[dict[str, Any]]) -> float:
    """Returns how many times faster ours is than the fastest other provider: the mean over the cases of one."""
    leads = [result["lead"] for result in results if result["provider"] == "auto"]
    return statistics.geometric_mean(x for x in leads if x is not None)  # None: no other had the memory


def speedups(results: Sequence[dict[str, Any]], providers: Collection[str]) -> list[float]:
    """Returns each case's highest ratio to eager of these providers, where one ran."""
    best: dict[str, float] = {}
    for result in results:
        if result["provider"] in providers and result["speedup"] is not None:
            best[result["case"]] = max(result["speedup"], best.get(result["case"], 0.0))
    return list(best.values())


def behind_eager(results: Sequence[dict[str, Any]]) -> list[str]:
    """Returns an op's cells of the cases where ours is behind eager by more than the noise, and of the noise.

    Both are empty in a record that was made before the noise was estimated.
    """
    known = [(r["speedup"], r["noise"]) for r in results if r["provider"] == "auto" and r.get("noise") is not None]
    if not known:
        return ["", ""]
    behind = sum(speedup * (1 + noise) < 1 for speedup, noise in known)
    return [str(behind), f"{max(noise for _, noise in known):.1%}"]


def most_memory(results: Sequence[dict[str, Any]], provider: str) -> str:
    known = [r["extra_bytes"] for r in results if r["provider"] == provider and r["extra_bytes"] is not None]
    return f"{max(known) / 2**20:.1f} MiB" if known else ""


def host_time() -> str:
    """Returns the table of the host's time for small calls, by what `host_time` recorded."""

    def rows(content: dict[str, Any]) -> Iterator[list[str]]:
        for r in content["results"]:
            yield [f"`{r['op']}`", f"{r['ours']:.0f} us", f"{r['eager']:.0f} us", f"{r['ratio']:.2f}x"]

    return by_machine("host_time.json", ["machine", "op", "ours", "eager", "x eager's time"], rows)
