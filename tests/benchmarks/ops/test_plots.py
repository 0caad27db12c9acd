"""The plots and the CSV file of a benchmark's results."""

import csv
from dataclasses import dataclass

import torch
from matplotlib.axes import Axes
from PIL import Image

from sslfast.benchmarks.ops import benchmark as ops_benchmark
from sslfast.benchmarks.ops import plots
from sslfast.benchmarks.ops.benchmark import OpResult, run
from tests.benchmarks.ops.tiny import Tiny


@dataclass(frozen=True)
class Shape:
    n: int
    k: int
    kind: str = "plain"


def test_csv_and_plots(tmp_path, monkeypatch):
    class Sweep(Tiny):
        def cases(self, device):
            odd = [Shape(2, 8, "odd"), Shape(4, 16, "odd")]  # differ in two: no line
            return [Shape(2, 8), Shape(2, 16), Shape(4, 8), Shape(2, 32), *odd]

        def step(self, case, provider, pass_name, device):
            return super().step(case.n * case.k, provider, pass_name, device)

    monkeypatch.setattr(ops_benchmark, "find", lambda op: [Sweep()])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    results = run(csv_path=tmp_path / "results.csv", plots=tmp_path / "plots")
    rows = list(csv.DictReader((tmp_path / "results.csv").open()))
    assert [(row["case"], row["provider"]) for row in rows] == [(r.case, r.provider) for r in results]
    assert [float(row["milliseconds"]) for row in rows] == [r.milliseconds for r in results]
    assert Image.open(tmp_path / "plots" / "info_nce.png").width > 500
    assert {r.parameters["k"] for r in plots.sweep(results, "k")} == {8, 16, 32}
    assert {r.parameters["n"] for r in plots.sweep(results, "n")} == {2, 4}
    assert {r.parameters["kind"] for r in plots.sweep(results, "n")} == {"plain"}


def test_a_provider_has_one_color_in_a_plot(tmp_path, monkeypatch):
    """A provider keeps its color even where a panel lacks the one before it."""
    drawn = []
    monkeypatch.setattr(Axes, "plot", lambda self, *points, color, **_: drawn.append((len(points[0]), color)))

    def result(provider, **parameters):
        return OpResult("info_nce", str(parameters), parameters, "forward", provider, 1.0, *[None] * 7)

    eager = [result("eager", n=n, k=8) for n in (2, 4, 8)]
    ours = [result("ours", n=32, k=k) for k in (8, 16, 32, 64)]  # alone in the panel of k
    plots.draw([*eager, *ours], tmp_path)
    assert sorted(drawn) == [(1, "C1"), (3, "C0"), (4, "C1")]
