"""Tests the plots and the CSV file of a benchmark's results."""

import csv

import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from sslfast.benchmarks.ops import benchmark as ops_benchmark
from sslfast.benchmarks.ops import plots
from sslfast.benchmarks.ops.benchmark import OURS, OpResult, run
from tests.benchmarks.ops.tiny import Tiny
from tests.benchmarks.texts import check_texts

CASES = ["64x4096x128 float32", "256x4096x128 float32", "256x4096x256 float32 nhwc", "odd"]
PROVIDERS = ["eager", "compiled", "another", "cpp", "auto"]


def result(case, pass_name, provider, milliseconds):
    return OpResult("info_nce", case, {}, pass_name, provider, milliseconds, *[None] * 8)


def results(passes=("forward", "backward", "forward+backward"), scale=1.0):
    """Makes times of every provider in every case; eager has no memory for the last one."""
    return [
        result(case, name, provider, None if provider == "eager" and case == "odd" else scale * 2**place * number)
        for name in passes
        for place, case in enumerate(CASES)
        for number, provider in enumerate(PROVIDERS, start=1)
    ]


def points(figure: Figure) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Returns the points of a picture by their panel's title, and their markers' color and shape."""
    found = {}
    for panel in figure.axes:
        lines = [line for line in panel.lines if len(line.get_xdata())]
        found[panel.get_title(loc="left")] = {
            f"{line.get_color()} {line.get_marker()}": sorted(zip(line.get_ydata(), line.get_xdata(), strict=True))
            for line in lines
        }
    return found


def test_csv_and_plots(tmp_path, monkeypatch):
    monkeypatch.setattr(ops_benchmark, "find", lambda op: [Tiny()])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    results = run(csv_path=tmp_path / "results.csv", plots=tmp_path / "plots")
    rows = list(csv.DictReader((tmp_path / "results.csv").open()))
    assert [(row["case"], row["provider"]) for row in rows] == [(r.case, r.provider) for r in results]
    assert [float(row["milliseconds"]) for row in rows] == [r.milliseconds for r in results]
    assert Image.open(tmp_path / "plots" / "info_nce.png").width > 400


def test_every_case_is_drawn_and_ours_once(tmp_path):
    figure = plots.picture("info_nce", plots.rivals(results()))
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == CASES
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["eager", "compiled", "another", "sslfast", "out of memory"]
    for of_panel in points(figure).values():
        times = [drawn for key, drawn in of_panel.items() if not key.endswith(" x")]
        assert [len(drawn) for drawn in times] == [3, 4, 4, 4]
        assert times[-1] == [(place, 5 * 2.0**place) for place in range(4)]
        (cross,) = [drawn for key, drawn in of_panel.items() if key.endswith(" x")]
        assert [place for place, _ in cross] == [3]
    assert len(points(figure)) == 3
    assert [path.name for path in plots.draw(results(), tmp_path)] == ["info_nce.png"]


def test_a_provider_has_one_color_in_a_plot():
    """A provider keeps its color even where a panel lacks the one before it."""
    lacking = [r for r in results() if not (r.provider == "eager" and r.pass_name == "backward")]
    panels = points(plots.picture("info_nce", plots.rivals(lacking)))
    times = [{key for key in of_panel if not key.endswith(" x")} for of_panel in panels.values()]
    assert times[0] == times[2]
    assert times[1] < times[0]


@pytest.mark.parametrize("passes", [("update",), ("forward",), ("forward", "backward", "forward+backward")])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_no_text_covers_another(passes, scale):
    check_texts(plots.picture("info_nce", plots.rivals(results(passes, scale))))


def test_ours_are_those_that_auto_chooses_from():
    assert {r.provider for r in plots.rivals(results())} & {*OURS} == {"auto"}
