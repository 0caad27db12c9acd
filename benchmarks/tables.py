"""Writes the generated tables of README.md and docs/; a test holds the pages to them.

They say which implementations an op has, and what recorded runs of the benchmarks measured. Each table stands
between a line `<!-- NAME -->` and a line `<!-- /NAME -->`.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sslfast.benchmarks.downstream.check import ENCODERS, MEASURES, best
from sslfast.benchmarks.exchange import many_ranks
from sslfast.benchmarks.measure.machine import RESULTS
from sslfast.benchmarks.methods.published import PUBLISHED
from sslfast.benchmarks.methods.record import SCORES, Run, summarize
from sslfast.benchmarks.ops.benchmark import OURS, find
from sslfast.benchmarks.reproduce.record import rows as reproduced_rows
from sslfast.benchmarks.train.peers import MODULES as PACKAGES
from sslfast.benchmarks.train.record import IN_FP32, per_second
from sslfast.kernels.common.op import OPS

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *(ROOT / "docs" / name for name in ("RESULTS.md", "kernels.md", "scaling.md"))]


def recorded() -> dict[str, list[dict[str, Any]]]:
    """Returns what the results files hold, one an op, by the name of their machine."""
    machines: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(RESULTS.glob("*/ops/*.json")):
        machines.setdefault(path.parents[1].name, []).append(json.loads(path.read_text()))
    return machines


def headers() -> str:
    """Returns the table of the records: when and on what each machine's were made."""
    records: dict[tuple[str, str], list[dict[str, str]]] = {}
    for path in sorted(RESULTS.rglob("*.json")):
        machine, record = path.relative_to(RESULTS).parts[:2]
        content = json.loads(path.read_text())
        for header in filter(None, (content.get("header"), content.get("continued"))):
            records.setdefault((machine, record.removesuffix(".json")), []).append(header)
    lines = ["| machine | record | date | device | versions |", "|---" * 5 + "|"]
    for (machine, record), found in sorted(records.items()):
        dates = sorted({header["date"][:10] for header in found})
        devices, versions = (
            ", ".join(dict.fromkeys(header[key] for key in keys for header in found if key in header))
            for keys in (("GPU", "CPU"), ("versions", "other versions"))
        )
        cells = [machine, record, " to ".join(dict.fromkeys([dates[0], dates[-1]])), devices, versions]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


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
    """Returns how many times faster ours is than the fastest other provider: the mean over the cases."""
    return statistics.geometric_mean(result["lead"] for result in results if result["provider"] == "auto")


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


def behind_eager(results: Sequence[dict[str, Any]]) -> list[str]:
    """Returns an op's cells of the cases where ours is behind eager by more than the noise, and of the noise.

    Both are empty in a record that was made before the noise was estimated.
    """
    known = [(r["speedup"], r["noise"]) for r in results if r["provider"] == "auto" and r.get("noise") is not None]
    if not known:
        return ["", ""]
    behind = sum(speedup * (1 + noise) < 1 for speedup, noise in known)
    return [str(behind), f"{max(noise for _, noise in known):.1%}"]


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


def by_machine(
    file: str,
    columns: Sequence[str],
    rows_of: Callable[[dict[str, Any]], Iterable[Sequence[str]]],
    devices: Sequence[str] = ("CPU", "GPU"),
) -> str:
    """Returns a table of what each machine's record in this file holds; it says where there is none.

    Args:
        columns: their heads, the machine's first.
        rows_of: the cells after the machine's, of a record.
        devices: on which it is meant to be made.
    """
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    missing = list(devices)
    for path in sorted(RESULTS.glob(f"*/{file}")):
        content = json.loads(path.read_text())
        device = "GPU" if "GPU" in content["header"] else "CPU"
        missing = [kind for kind in missing if kind != device]
        machine = path.relative_to(RESULTS).parts[0]
        lines += [f"| {' | '.join([machine, *cells])} |" for cells in rows_of(content)]
    empty = " |" * (len(columns) - 2)
    return "\n".join([*lines, *(f"| {device} | not measured yet |{empty}" for device in missing)])


def host_time() -> str:
    """Returns the table of the host's time for small calls, by what `host_time` recorded."""

    def rows(content: dict[str, Any]) -> Iterator[list[str]]:
        for r in content["results"]:
            yield [f"`{r['op']}`", f"{r['ours']:.0f} us", f"{r['eager']:.0f} us", f"{r['ratio']:.2f}x"]

    return by_machine("host_time.json", ["machine", "op", "ours", "eager", "x eager's time"], rows)


def views() -> str:
    """Returns the table of the input pipelines, by what `make bench-views` recorded."""

    def rows(content: dict[str, Any]) -> Iterator[list[str]]:
        for r in content["results"]:
            rate = f"{r['images_per_second']:,.0f}"
            yield [f"{r['views']} of {r['recipe']}", r["pipeline"], rate, f"{r['ratio']:.2f}x"]

    return by_machine("views.json", ["machine", "views", "pipeline", "images/s", "x torchvision"], rows)


def features() -> str:
    """Returns the table of the extraction of features, by what `make bench-features` recorded."""

    def rows(content: dict[str, Any]) -> Iterator[list[str]]:
        for r in content["results"]:
            shares = (f"{r['convolutions'][name]:.0%}" for name in ("ours", "reference"))
            ratios = (f"**{r['ratio']:.2f}x**", f"{r['processor_ratio']:.2f}x")
            yield [r["case"], r["precision"], f"{r['ours']:,.1f}", f"{r['reference']:,.1f}", *ratios, *shares]

    speeds = ["images/s", "reference", "x reference", "x processor time"]
    columns = ["images, encoder", "precision", *speeds, "in convolutions", "reference"]
    return by_machine("features.json", ["machine", *columns], rows, devices=["CPU"])


def input_share() -> str:
    """Returns the table of what training loses to its input, by what `make bench-views` recorded."""

    def rows(content: dict[str, Any]) -> Iterator[list[str]]:
        for r in content.get("training", ()):
            yield [r["case"], f"{r['images_per_second']:,.0f}", f"{r['lost']:.1%}"]

    return by_machine("views.json", ["machine", "training", "images/s", "lost to the input"], rows)


def methods() -> str:
    """Returns the table of what the methods learn, by what `make methods-check` recorded."""

    def rows(content: dict[str, Any]) -> Iterator[list[str]]:
        for s in summarize([Run(**run) for run in content["runs"]]):
            found = (cell for name in SCORES for cell in (f"{s.random[name]:.1%}", str(s.scores[name])))
            yield [s.method, str(s.seeds), str(s.epochs), f"{s.seconds / 60:.1f}", *found]

    scores = ["kNN before", "after", "linear probe before", "after"]
    return by_machine("methods/methods.json", ["machine", "method", "seeds", "epochs", "minutes", *scores], rows)


def published() -> str:
    """Returns the table of what whole recipes reach, by what `make methods-check ARGS=--published` recorded."""

    def rows(content: dict[str, Any]) -> Iterator[list[str]]:
        for s in summarize([Run(**run) for run in content["runs"]]):
            if s.method in PUBLISHED:
                found = (str(s.scores[name]) for name in SCORES)
                yield [s.method, str(s.epochs), f"{s.seconds / 60:.1f}", *found, f"{PUBLISHED[s.method]:.1%}"]

    columns = ["machine", "method", "epochs", "minutes", "kNN", "linear probe", "published"]
    return by_machine("published/methods.json", columns, rows, devices=["GPU"])


def reproduced(scale: str) -> str:
    """Returns the table of MNCL's tables, by what `make reproduce` recorded at a scale."""
    figures = ["linear probe", "kNN", "effective rank", "place", "published at full scale", "place there"]
    columns = ["machine", "row", "seeds", "minutes", *figures]
    devices = ["GPU"] if scale == "full" else ["CPU"]
    return by_machine(f"reproduce-{scale}.json", columns, reproduced_rows, devices=devices)


def downstream() -> str:
    """Returns the table of every protocol on one small encoder, by what `make downstream-check` recorded."""

    def rows(content: dict[str, Any]) -> Iterator[list[str]]:
        for r in content["results"]:
            settings = [word for word in r["command"].split() if "=" in word]
            yield [
                " ".join([r["kind"], *settings]),
                MEASURES[r["kind"]],
                *(f"{best(r, encoder):.1%}" for encoder in ENCODERS),
                f"{r['seconds'] / 60:.1f}",
            ]

    columns = ["machine", "protocol", "measure", *ENCODERS, "minutes"]
    return by_machine("downstream.json", columns, rows, devices=["CPU"])


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


def times(rate: float | None, other: float | None) -> str:
    return f"{rate / other:.2f}x" if rate and other else ""


def mebibytes(count: int | None) -> str:
    return "" if count is None else f"{count / 2**20:,.0f} MiB"


def speedups(results: Sequence[dict[str, Any]], providers: Collection[str]) -> list[float]:
    """Returns each case's highest ratio to eager of these providers, where one ran."""
    best: dict[str, float] = {}
    for result in results:
        if result["provider"] in providers and result["speedup"] is not None:
            best[result["case"]] = max(result["speedup"], best.get(result["case"], 0.0))
    return list(best.values())


def most_memory(results: Sequence[dict[str, Any]], provider: str) -> str:
    known = [r["extra_bytes"] for r in results if r["provider"] == provider and r["extra_bytes"] is not None]
    return f"{max(known) / 2**20:.1f} MiB" if known else ""


def generate(text: str) -> str:
    """Returns a page's text with its tables made anew."""
    tables: dict[str, Callable[[], str]] = {
        "summary": summary,
        "records": headers,
        "implementations": implementations,
        "host time": host_time,
        "views": views,
        "input": input_share,
        "features": features,
        "methods": methods,
        "downstream": downstream,
        "published": published,
        "reproduced": partial(reproduced, "small"),
        "reproduced in full": partial(reproduced, "full"),
        "train": train,
        "exchange": exchange,
        "computed": computed,
        **{f"figures {name}": partial(figures, name) for name in recorded()},
    }
    for name, table in tables.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        if begin in text:
            head, rest = text.split(begin, 1)
            text = f"{head}{begin}{table()}\n{end}{rest.split(end, 1)[1]}"
    return text


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(generate(page.read_text()))
