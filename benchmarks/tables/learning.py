"""Writes the tables of what the methods learn, as evaluations measured it."""

from collections.abc import Iterator
from typing import Any

from sslfast.benchmarks.downstream.check import ENCODERS, MEASURES, best
from sslfast.benchmarks.methods.published import PUBLISHED
from sslfast.benchmarks.methods.record import SCORES, Run, summarize
from sslfast.benchmarks.reproduce.record import rows as reproduced_rows
from sslfast.benchmarks.tables.records import by_machine


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
