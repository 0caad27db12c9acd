"""The tables of README.md that are generated: `make readme` writes them, and a test holds README.md to them.

Which implementations an op has, and what a recorded run of the benchmarks measured; each stands between a line
`<!-- NAME -->` and a line `<!-- /NAME -->`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sslfast.benchmarks.common import find
from sslfast.kernels import _library as lib

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
RESULTS = HERE / "results"
NOT_OURS = ("eager", "compiled")
OURS = ("cpp", "triton", "cuda")


def recorded() -> dict[str, dict[str, Any]]:
    """What each results file holds, by the name of its machine."""
    return {path.parent.name: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*/ops.json"))}


def implementations() -> str:
    """The table of ops by implementation."""
    on_gpu = {
        (result["op"], result["provider"])
        for content in recorded().values()
        if "GPU" in content["header"]
        for result in content["results"]
    }
    lines = ["| op | reference | C++ (CPU) | Triton | CUDA C++ |", "|---|---|---|---|---|"]
    for name, op in sorted(lib.OPS.items()):
        cells = ["yes", "yes" if "cpp" in op.impls else ""]
        for impl, unproven in (("triton", "compiled and interpreted only"), ("cuda", "compiled only")):
            status = "yes" if (name, impl) in on_gpu else unproven
            cells.append(status if impl in op.impls else "")
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def figures(machine: str) -> str:
    """A machine's measurements: each op's last pass, case by case."""
    yardsticks = {(benchmark.op, name) for benchmark in find(None) for name in benchmark.yardsticks}
    results = [r for r in recorded()[machine]["results"] if (r["op"], r["provider"]) not in yardsticks]
    last = {result["op"]: result["pass_name"] for result in results}
    lines = [
        "| op | case | eager | compiled | best other | ours | extra memory, eager | ours |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for op, case in dict.fromkeys((result["op"], result["case"]) for result in results):
        rows = [r for r in results if (r["op"], r["case"], r["pass_name"]) == (op, case, last[op])]
        lines.append(figure(op, case, {row["provider"]: row for row in rows}))
    return "\n".join(lines)


def figure(op: str, case: str, rows: dict[str, dict[str, Any]]) -> str:
    eager, ours = rows["eager"], best(rows[name] for name in rows if name in OURS)
    other = best(rows[name] for name in rows if name not in (*OURS, *NOT_OURS))
    cells = [
        f"`{op}`",
        case,
        milliseconds(eager),
        ratio(rows.get("compiled")),
        f"{ratio(other)} ({other['provider']})" if other else "",
        f"**{ratio(ours)}**" if ours else "",
        mebibytes(eager),
        mebibytes(ours) if ours else "",
    ]
    return f"| {' | '.join(cells)} |"


def best(rows: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """The fastest; None if none ran."""
    ran = [row for row in rows if row["milliseconds"] is not None]
    return min(ran, key=lambda row: float(row["milliseconds"]), default=None)


def milliseconds(row: dict[str, Any]) -> str:
    return "out of memory" if row["milliseconds"] is None else f"{row['milliseconds']:.3g} ms"


def ratio(row: dict[str, Any] | None) -> str:
    return "" if row is None or row["speedup"] is None else f"{row['speedup']:.2f}x"


def mebibytes(row: dict[str, Any]) -> str:
    return "" if row["extra_bytes"] is None else f"{row['extra_bytes'] / 2**20:.1f} MiB"


def generate(text: str) -> str:
    """README's text with its tables made anew."""
    tables = {"implementations": implementations(), **{f"figures {name}": figures(name) for name in recorded()}}
    for name, table in tables.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        if begin in text:
            head, rest = text.split(begin, 1)
            text = f"{head}{begin}{table}\n{end}{rest.split(end, 1)[1]}"
    return text


if __name__ == "__main__":
    README.write_text(generate(README.read_text()))
