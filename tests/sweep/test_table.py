"""The table of a sweep."""

import pytest

from sslfast.evaluation.result import Evaluation
from sslfast.evaluation.seeds import Spread
from sslfast.run.summary import Fault, RunSummary
from sslfast.sweep.grid import Cell
from sslfast.sweep.table import Result, grid, rows, to_csv, to_html, to_markdown
from tests.report.markup import Markup


def result(row, seed, top1, knn=None, faults=()):
    evaluation = Evaluation(
        kind="linear",
        checkpoint="x",
        data="CIFAR10",
        val=None,
        options={},
        train_images=90,
        val_images=10,
        classes=10,
        chance=0.1,
        rows=[{"encoder": "pre-trained", "seed": 0, "train_top1": 1.0, "top1": top1, "top5": 0.9}],
    )
    summary = RunSummary(
        steps=1,
        epochs=1,
        skipped_steps=0,
        loss=1.0,
        chance_loss=None,
        std=None,
        even_std=None,
        knn_top1=knn,
        knn_initial_top1=knn,
        val_images=10,
        judged=False,
        faults=[Fault("collapsed", message) for message in faults],
    )
    return Result(Cell(row, seed, "simclr", ()), evaluation, summary)


CELLS = [Cell(row, seed, "simclr", ()) for seed in range(2) for row in ("a", "b|c", "d")]
FOUND = [result("a", 0, 0.4), result("a", 1, 0.5), result("b|c", 0, 0.3, knn=0.2, faults=["it fell"])]
TABLE = rows(CELLS, {each.cell.name: each for each in FOUND})


def test_means_and_deviations_are_over_the_finished_seeds():
    a, b, d = TABLE
    assert (a.name, a.seeds) == ("a", 2)
    assert a.measures["top1"] == Spread(pytest.approx(0.45), pytest.approx(0.05 * 2**0.5))
    assert (b.seeds, b.measures, b.faults) == (1, {"top1": 0.3, "top5": 0.9, "knn_top1": 0.2}, ["it fell"])
    assert (d.seeds, d.measures) == (0, {})


def test_the_table_in_three_forms():
    head, first, *others = to_csv(TABLE).splitlines()
    assert head == "row,seeds,top1,top1 deviation,top5,top5 deviation,knn_top1"
    assert first.split(",")[:2] == ["a", "2"]
    assert [float(value) for value in first.split(",")[2:4]] == pytest.approx([0.45, 0.0707], abs=1e-4)
    assert others == ["b|c,1,0.3,,0.9,,0.2", "d,0,,,,,"]
    lines = to_markdown("x", TABLE).splitlines()
    assert lines[2] == "| row | seeds | held-out top-1 | held-out top-5 | kNN while training |"
    assert lines[4] == "| a | 2 | 45.0% ± 7.1 | 90.0% ± 0.0 | - |"
    assert lines[5] == "| b\\|c (it fell) | 1 | 30.0% | 90.0% | 20.0% |"
    text = Markup(to_html("x", "3 of 6 runs", TABLE, ["sslfast pretrain simclr"])).text
    assert "45.0% ± 7.1" in text
    assert "sslfast pretrain simclr" in text
    assert grid(TABLE[2:]).headings == ["row", "seeds"]
