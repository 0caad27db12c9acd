"""The curves of a run, and the metrics that they are of."""

from pathlib import Path

import pytest

from sslfast.report.curves import series, smoothed
from sslfast.run.metrics import read_metrics


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
    assert smoothed(line, 10) == pytest.approx(line)
    noise = [(-1.0) ** i for i in range(50)]
    assert max(map(abs, smoothed(noise, 10)[10:40])) < 0.06
