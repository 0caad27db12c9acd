"""The curves of a run, and the metrics that they are of."""

import re
from pathlib import Path

import pytest

from sslfast.report.curves import MOST_POINTS, draw_curves, series, shares, smoothed
from sslfast.run.metrics import read_metrics
from tests.report.markup import Markup


def test_half_a_line_and_values_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        '{"step": 1, "epoch": 0.5, "loss": 3.0}\n{"step": 2, "epoch": 1.0, "loss": NaN}\n'
        '"text"\n\0\0\n{"step": 3, "ep'
    )
    metrics = read_metrics(path)
    assert [line["step"] for line in metrics] == [1, 2]
    assert series(metrics, "loss") == ([0.5], [3.0])
    assert read_metrics(tmp_path / "none.jsonl") == []


def test_smoothing_follows_a_line_and_calms_noise() -> None:
    line = [3.0 - 0.1 * i for i in range(50)]
    assert smoothed(line, 10, range(50)) == pytest.approx(line)
    noise = [(-1.0) ** i for i in range(50)]
    assert max(map(abs, smoothed(noise, 10, range(10, 40)))) < 0.06


def lines(count: int) -> list[dict[str, float]]:
    return [
        {"step": 10 * i, "epoch": i / 100, "loss": 5 - 4 * i / count, "lr": 0.1, "images_per_second": 90.0}
        for i in range(1, count + 1)
    ]


def test_the_curves_of_a_long_run_are_short() -> None:
    loss, rate, speed = draw_curves(lines(30_000), 0, "initial weights")
    assert max(map(len, (loss, rate, speed))) < 20_000
    (mean,) = re.findall(r'class="mean" d="(M[^"]*)"/>\n', loss)
    assert MOST_POINTS / 2 < mean.count("L") <= MOST_POINTS
    assert Markup(loss).charts == [
        "Training loss. logged steps: 4.99987 at epoch 0.01, 1 at epoch 300. "
        "moving average: 4.99493 at epoch 0.38, 1.00493 at epoch 299.6."
    ]


def test_the_accuracy_stands_beside_random_weights_with_bands() -> None:
    knn = [{"step": i, "epoch": float(i), "knn_top1": 0.3 + i / 10, "knn_initial_top1": 0.3} for i in range(3)]
    loss, accuracy, *_ = draw_curves([*lines(10), *knn], 60, "initial weights")
    assert "kNN accuracy" in accuracy
    assert "moving average" in loss
    assert {*re.findall(r'class="([\w-]*band)"', accuracy)} == {"band", "random-band"}
    text = Markup(accuracy).text
    assert "The bands are 95% intervals of 60 images." in text
    assert "50.0% 37.7 to 62.3%" in text
    _, unknown, *_ = draw_curves([*lines(10), *knn], 0, "initial weights")
    assert 'band"' not in unknown
    assert "50.0%" in Markup(unknown).text


def test_what_is_no_accuracy_is_not_drawn() -> None:
    values = [0.5, -0.1, 1.5, float("nan"), "0.5", None, True, 1.0]
    metrics = [{"step": i, "epoch": float(i), "knn_top1": value} for i, value in enumerate(values)]
    assert shares([*metrics, {"step": 9, "epoch": "x", "knn_top1": 0.5}], "knn_top1") == ([0.0, 7.0], [0.5, 1.0])
