"""A run's logs: the metrics of a run that was resumed, and what a full disk costs."""

import errno
import json
import logging
import os

import pytest

from sslfast.errors import TrainingError, UsageError
from sslfast.run.directory import RunDirectory
from sslfast.run.loggers.tensorboard import TensorBoardLogger
from sslfast.run.logs import MetricsLog, log_to
from sslfast.run.metrics import read_metrics


def full(*args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def losses(run):
    return {line["step"]: line["loss"] for line in read_metrics(run.metrics)}


def test_lines_come_back(tmp_path):
    run = RunDirectory(tmp_path)
    assert read_metrics(run.metrics) == []
    with MetricsLog(run, 0) as metrics:
        metrics.write(1, 0.123456, loss=0.5, lr=0.1)
    assert read_metrics(run.metrics) == [{"step": 1, "epoch": 0.1235, "loss": 0.5, "lr": 0.1}]


@pytest.mark.parametrize("resumed", [0, 2, 5])
def test_a_resumed_run_takes_back_the_lines_past_its_step(tmp_path, resumed):
    run = RunDirectory(tmp_path)
    with MetricsLog(run, 0) as metrics:
        for step in (1, 2, 3):
            metrics.write(step, step, loss=1.0)
    with MetricsLog(run, resumed) as metrics:
        metrics.write(resumed + 1, 1.0, loss=2.0)
    assert losses(run) == {**{step: 1.0 for step in (1, 2, 3) if step <= resumed}, resumed + 1: 2.0}


def test_the_values_that_the_resumed_step_has_are_known(tmp_path):
    run = RunDirectory(tmp_path)
    with MetricsLog(run, 0) as metrics:
        assert not metrics.had("knn_top1", 0)
        metrics.write(2, 1.0, loss=1.0)
        metrics.write(2, 1.0, knn_top1=0.5)
        metrics.write(4, 2.0, loss=1.0)
    with MetricsLog(run, 4) as metrics:
        assert metrics.had("loss", 4)
        assert not metrics.had("knn_top1", 4)
        assert not metrics.had("loss", 2)
    with MetricsLog(run, 2) as metrics:
        assert metrics.had("knn_top1", 2)


@pytest.mark.parametrize(
    "damaged",
    [
        *('{"step": 2, "ep', '{"step": 2, "ep\n', "[1, 2]\n", '{"loss": 1.0}\n', "\x00\xff\n", "[" * 5000 + "\n"),
        *('{"step": "x", "epoch": 1}\n', '{"step": 2, "epoch": null}\n', '{"step": 2, "epoch": 1, "loss": "x"}\n'),
        *('{"step": -2, "epoch": 1}\n', '{"step": 2.5, "epoch": 1}\n', f'{{"step": 2{"0" * 400}, "epoch": 1}}\n'),
    ],
)
def test_damaged_lines_are_passed_over(tmp_path, caplog, damaged):
    """Those that a killed run does not leave are counted."""
    run = RunDirectory(tmp_path)
    line = json.dumps({"step": 1, "epoch": 0.5, "loss": 1.0}) + "\n"
    run.metrics.write_text(line + damaged, encoding="latin-1")
    assert losses(run) == {1: 1.0}
    assert ("metrics.jsonl: passed over 1 of its 2 lines" in caplog.text) == damaged.endswith("\n")


def test_metrics_that_cannot_be_read_are_one_sentence(tmp_path):
    run = RunDirectory(tmp_path)
    run.metrics.mkdir()
    with pytest.raises(UsageError, match=r"metrics.jsonl: cannot read the metrics: Is a directory"):
        read_metrics(run.metrics)
    with pytest.raises(TrainingError, match=r"cannot write the metrics \(Is a directory\)"):
        MetricsLog(run, 0)


def test_a_log_that_cannot_be_opened_is_one_sentence(tmp_path):
    with (
        pytest.raises(TrainingError, match=r"train.log: cannot write the log: No such file"),
        log_to(tmp_path / "none" / "train.log"),
    ):
        pass


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    run, logger = RunDirectory(tmp_path), TensorBoardLogger(tmp_path, 0)
    with MetricsLog(run, 0, lambda: [logger]) as metrics, monkeypatch.context() as patch:
        patch.setattr(logger._writer, "add_scalar", full)
        with pytest.raises(
            TrainingError, match=r"cannot write the metrics \(No space left on device\); .* --resume"
        ):
            metrics.write(1, 1.0, loss=1.0)


def test_a_full_disk_costs_the_log_its_lines_alone(tmp_path, monkeypatch, capsys):
    with log_to(tmp_path / "train.log"), monkeypatch.context() as patch:
        patch.setattr(logging.FileHandler, "flush", full)
        logging.getLogger("sslfast.train").info("a line")
    assert capsys.readouterr().err == ""


def test_the_log_goes_to_the_file_while_it_is_open(tmp_path):
    log = logging.getLogger("sslfast.train")
    with log_to(tmp_path / "train.log"):
        log.info("the first line")
        log.debug("too much")
    log.warning("too late")
    (line,) = (tmp_path / "train.log").read_text().splitlines()
    assert line.endswith("INFO the first line")
