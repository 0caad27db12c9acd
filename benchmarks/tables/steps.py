"""Writes the tables of training steps: beside other packages', of several processes, and of many by formulas."""

from collections.abc import Iterator
from typing import Any

from sslfast.benchmarks.exchange import many_ranks
from sslfast.benchmarks.tables.records import by_machine
from sslfast.benchmarks.train.peers import MODULES as PACKAGES
from sslfast.benchmarks.train.record import IN_FP32, per_second


def train() -> str:
    """Returns the table of training steps, by what `make bench-train` recorded: a line a method."""

    def rows(content: dict[str, Any]) -> Iterator[list[str]]:
        results = {(r["case"], r["method"], r["pipeline"]): r for r in content["results"]}
        for (case, method, pipeline), r in results.items():
            if pipeline == "sslfast":
                rate = r["images_per_second"]
                in_fp32, *others = (results.get((case, method, name), {}) for name in (IN_FP32, *PACKAGES))
                yield [
                    case,
                    method,
                    per_second(rate) if rate else "out of memory",
                    *(times(rate, other.get("images_per_second")) for other in (in_fp32, *others)),
                    f"{round(r['overhead'], 2) + 0.0:.0%}" if r["overhead"] is not None else "",  # no minus zero
                    *(mebibytes(x.get("peak_bytes")) for x in (r, *others)),
                ]

    speeds, memory = ["x fp32", *(f"x {name}" for name in PACKAGES)], [f"{name}'s" for name in PACKAGES]
    columns = ["machine", "encoder", "method", "images/s", *speeds, "overhead", "peak memory", *memory]
    return by_machine("train.json", columns, rows)


def times(rate: float | None, other: float | None) -> str:
    return f"{rate / other:.2f}x" if rate and other else ""


def mebibytes(count: int | None) -> str:
    return "" if count is None else f"{count / 2**20:,.0f} MiB"


def exchange() -> str:
    """Returns the table of several ranks' steps beside plain DDP, by what `make bench-exchange` recorded."""

    def rows(content: dict[str, Any]) -> Iterator[list[str]]:
        for r in content["results"]:
            milliseconds = (f"{r['milliseconds'][name]:.1f}" for name in ("ours", "plain"))
            own, buffers = r["handed"]["ours"], r["handed"]["plain"].get("buffers", 0)
            counts = [own["gradients"], own.get("all_gather", 0) + own.get("reduce_scatter", 0)]
            counts += [own.get("all_reduce", 0), own.get("broadcast", 0), buffers]
            cells = [str(r["ranks"]), r["method"], *milliseconds, f"{r['ratio']:.2f}x"]
            yield [*cells, *(f"{count / 2**10:,.1f}" for count in counts)]

    kinds = ["gradients, KiB", "gathers", "all-reduces", "broadcasts", "plain's buffers"]
    columns = ["machine", "ranks", "method", "ms", "plain DDP", "x plain DDP", *kinds]
    return by_machine("exchange.json", columns, rows, devices=["CPU"])


def computed() -> str:
    """Returns the table of steps on many GPUs, by formulas."""
    head, *lines = (f"| {' | '.join(cells)} |" for cells in (many_ranks.COLUMNS, *many_ranks.rows()))
    return "\n".join([head, "|---" * len(many_ranks.COLUMNS) + "|", *lines])
