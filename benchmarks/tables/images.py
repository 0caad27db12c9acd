"""Writes the tables of how many images a second the input pipelines and the encoders take."""

from collections.abc import Iterator
from typing import Any

from sslfast.benchmarks.tables.records import by_machine


def views() -> str:
    """Returns the table of the input pipelines, by what `make bench-views` recorded."""

    def rows(content: dict[str, Any]) -> Iterator[list[str]]:
        for r in content["results"]:
            rate = f"{r['images_per_second']:,.0f}"
            yield [f"{r['views']} of {r['recipe']}", r["pipeline"], rate, f"{r['ratio']:.2f}x"]

    return by_machine("views.json", ["machine", "views", "pipeline", "images/s", "x torchvision"], rows)


def input_share() -> str:
    """Returns the table of what training loses to its input, by what `make bench-views` recorded."""

    def rows(content: dict[str, Any]) -> Iterator[list[str]]:
        for r in content.get("training", ()):
            yield [r["case"], f"{r['images_per_second']:,.0f}", f"{r['lost']:.1%}"]

    return by_machine("views.json", ["machine", "training", "images/s", "lost to the input"], rows)


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
