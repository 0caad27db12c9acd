"""The lines that a run says of itself, in train.log and, without a terminal, on standard error."""

import logging
import os
import re
import signal

import numpy as np
import pytest
import torch

from sslfast.cli import main
from sslfast.commands import pretrain as command
from sslfast.commands.pretrain import pretrain
from sslfast.data import Source
from sslfast.errors import PrintableFormatter
from sslfast.evaluation.linear import probe
from sslfast.methods import METHODS
from sslfast.methods.moco_v2 import MoCoV2
from sslfast.run.directory import RunDirectory
from sslfast.run.logs import log_to, step_log
from sslfast.run.summary import RunSummary
from sslfast.train import verdict
from sslfast.train.clock import Lap
from sslfast.train.messages import footer, header, step_line, stopped
from sslfast.train.step import build_step
from tests.train.runs import TINY, tiny

SUMMARY = RunSummary(
    steps=15,
    epochs=3,
    skipped_steps=0,
    loss=3.0,
    chance_loss=4.2,
    std=None,
    even_std=None,
    knn_top1=0.5,
    knn_initial_top1=0.25,
    val_images=18,
    judged=True,
    faults=[],
)


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """Makes a run from the command line without a terminal: its directory, and what it said."""
    folder, lines = tmp_path_factory.mktemp("runs"), []

    class Said(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    handler = Said()
    logging.getLogger().addHandler(handler)
    try:
        settings = {**dict(setting.split("=") for setting in TINY), "train.epochs": 2, "train.log_every": 4}
        words = [f"{key}={value}" for key, value in {**settings, "train.knn_every": 1}.items()]
        assert main(["pretrain", "moco_v2_shapes", "--out", str(folder / "my run"), *words]) == 0
    finally:
        logging.getLogger().removeHandler(handler)
    return folder / "my run", lines


def test_a_run_without_a_terminal_says_what_it_does(said):
    run, lines = said
    expected = [
        r"device: cpu \(threads: 1\), fp32",
        r"data: shapes, 162 images of 10 classes, 18 held out",
        r"pipeline: resident",
        r"method: moco_v2",
        r"encoder: resnet18, 0\.18 M parameters; with all that is trained 0\.18 M",
        r"training: 10 steps, 2 epochs of 5 batches of 32 images",
        rf"weights: will be in {run}/backbone\.safetensors",
        r"epoch 0: kNN top-1 of 18 held-out images .*%\), effective rank .* of 64 features",
        r"step 4/10, epoch 0\.80, loss \d.*, accuracy .*, lr .*, \d+ images/s, \d+% waiting for images, 0:.* left",
        r"epoch 1: kNN top-1 of 18 held-out images .*%\), effective rank .* of 64 features",
        r"step 8/10, epoch 1\.60, .*",
        r"step 10/10, epoch 2\.00, .*, 0:00:00 left",
        r"epoch 2: kNN top-1 of 18 held-out images .*%\), effective rank .* of 64 features",
        r"finished: 10 steps",
        r"kNN top-1 of 18 held-out images: .*%, random initialization .*%",
        r"whether it has learned is not judged by the loss: too short a run",
        rf"weights: {run}/backbone\.safetensors",
        rf"next: sslfast report '{run}'",
        rf"next: sslfast evaluate linear '{run}' --data shapes --random-baseline",
        rf"next: sslfast embed '{run}' --data shapes --out '{run}/embeddings\.npz'",
    ]
    assert len(lines) == len(expected)
    for line, pattern in zip(lines, expected, strict=True):
        assert re.fullmatch(pattern, line), (pattern, line)


def test_the_log_file_has_the_same_lines(said):
    run, lines = said
    logged = (run / "train.log").read_text().splitlines()
    assert [line.split(" INFO ")[1] for line in logged[: len(lines)]] == lines


def test_a_resumed_run_says_where_it_goes_on(said):
    run, _ = said
    assert main(["pretrain", "--resume", str(run)]) == 0
    assert "resumed at step 10 of 10" in (run / "train.log").read_text()


def test_ctrl_c_ends_a_linear_probe_at_once(said, monkeypatch, capsys):
    """Nothing is left of it, as there is nothing to go on from."""
    run, _ = said
    steps, cross_entropy = [], probe.F.cross_entropy

    def interrupted(*args):
        steps.append(args)
        if len(steps) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return cross_entropy(*args)

    monkeypatch.setattr(probe.F, "cross_entropy", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        assert main(["evaluate", "linear", str(run), "--data", "shapes", "limit=60"]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(steps) == 3
    assert "sslfast: interrupted" in capsys.readouterr().err
    assert not (run / "evaluation").exists()


def test_beside_a_progress_bar_the_lines_of_steps_go_to_the_file_alone(tmp_path, caplog):
    for progress_bar in (True, False):
        caplog.clear()
        path = tmp_path / f"{progress_bar}.log"
        with log_to(path, progress_bar=progress_bar):
            step_log.info("a step")
            logging.getLogger("sslfast.train").info("an epoch")
        step_log.info("after the run")
        assert [line.split(" INFO ")[1] for line in path.read_text().splitlines()] == ["a step", "an epoch"]
        shown = ["an epoch"] if progress_bar else ["a step", "an epoch"]
        assert [message for message in caplog.messages if message != "after the run"] == shown


def test_a_name_cannot_break_a_line(tmp_path):
    """Names of data are anybody's."""
    recipe, run = tiny(), RunDirectory(tmp_path / "run")
    source = Source("a\nb\x1b[31m", images=np.zeros((64, 32, 32, 3), np.uint8))
    train_step, _ = build_step(recipe, source, torch.device("cpu"))
    lines = list(header(recipe, run, train_step, source, None))
    record = logging.LogRecord("sslfast", logging.INFO, "", 0, "%s", (lines[1],), None)
    shown = PrintableFormatter("%(message)s").format(record)
    assert shown == r"data: a\nb\x1b[31m, 64 images, no labels, 0 held out"
    assert not any("\n" in line for line in lines if line != lines[1])


def test_the_line_of_a_step():
    values = {"loss": 5.23456, "accuracy": 0.3125}
    line = step_line(120, 800, 2.4, 0.0281, Lap(0.25, 0.034), 256, values)
    assert line == (
        "step 120/800, epoch 2.40, loss 5.235, accuracy 0.3125, lr 0.0281, 1024 images/s, 3% waiting for images, "
        "0:02:50 left"
    )


def test_the_commands_to_type_next(tmp_path):
    recipe, run = tiny("data.source=my photos"), RunDirectory(tmp_path / "a run")
    lines = list(footer(recipe, run, SUMMARY, labeled=True))
    assert f"next: sslfast evaluate linear '{run.path}' --data 'my photos' --random-baseline" in lines
    assert "kNN top-1 of 18 held-out images: 50.0%, random initialization 25.0%" in lines
    assert not any("judged" in line for line in lines)
    embed = f"next: sslfast embed '{run.path}' --data 'my photos' --out '{run.path}/embeddings.npz'"
    assert lines[-1] == embed
    unlabeled = list(footer(recipe, run, SUMMARY, labeled=False))
    assert f"next: sslfast evaluate linear '{run.path}' --data LABELED_IMAGES --random-baseline" in unlabeled
    assert unlabeled[-1] == embed
    given = list(footer(tiny("data.source=python:Photos-1a2b"), run, SUMMARY, labeled=True))
    assert given[-1] == 'next, of the run that sslfast.pretrain returned: run.report(), run.evaluate("linear")'
    resume = f"go on with: sslfast pretrain --resume '{run.path}'"
    assert stopped(signal.SIGTERM.name, 3, 15, run) == f"SIGTERM: saved at step 3 of 15; {resume}"


def test_a_run_that_learned_nothing_says_so(tmp_path, monkeypatch, caplog):
    """In the log, last, and in the summary; the exit code is that of a run that is done."""

    class Untaught(MoCoV2):
        def loss(self, batch):
            loss, values, kept = super().loss(batch)
            return loss + 5, values, kept

    monkeypatch.setitem(METHODS, "moco_v2", Untaught)
    monkeypatch.setattr(command, "open_data", lambda data: Source("noise", images=noise(64)))
    monkeypatch.setattr(verdict, "STEPS_TO_JUDGE", 4)
    pretrain(tiny("train.epochs=2"), tmp_path / "run")
    summary = RunSummary.load(tmp_path / "run" / "summary.json")
    assert [fault.kind for fault in summary.faults] == ["loss_at_chance"]
    assert summary.chance_loss == pytest.approx(np.log(65))
    message = f"a sign that this run has learned nothing: {summary.faults[0].message}"
    assert (tmp_path / "run" / "train.log").read_text().endswith(f" WARNING {message}\n")
    assert (caplog.records[-1].levelname, caplog.messages[-1]) == ("WARNING", message)


def noise(count):
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
