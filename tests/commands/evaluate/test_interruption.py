"""Evaluations that are killed and go on, and two at once."""

import dataclasses
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from sslfast.cli import main
from sslfast.commands import evaluate as command
from sslfast.commands.evaluate import evaluate
from sslfast.errors import UsageError
from sslfast.evaluation import judgement
from sslfast.evaluation.protocol import Row
from sslfast.evaluation.protocols import PROTOCOLS
from tests.commands.evaluate.images import write_images


def test_what_was_judged_before_a_kill_is_not_judged_again(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, folder = write_images(tmp_path / "images", each=8), tmp_path / "run" / "evaluation"
    (tmp_path / "images" / "red" / "3.png").write_bytes(b"")
    settings = ["seeds=2", "epochs=2", "max_bad=0.1"]
    whole = evaluate("linear", saved, data, overrides=settings)
    (path,) = folder.iterdir()  # nothing else is left of an evaluation that has ended
    path.unlink()

    judge, calls = PROTOCOLS["linear"].judge, []

    def stopped(*arguments: Any) -> list[Row]:
        calls.append(arguments[4].seed)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return judge(*arguments)

    monkeypatch.setitem(PROTOCOLS, "linear", dataclasses.replace(PROTOCOLS["linear"], judge=stopped))
    with pytest.raises(KeyboardInterrupt):
        evaluate("linear", saved, data, overrides=settings)
    assert len(list(folder.glob("*.finished"))) == 2
    assert not list(folder.glob("*.json"))
    assert evaluate("linear", saved, data, overrides=settings) == whole
    assert calls == [0, 1, 0, 0, 1]
    assert [file.suffix for file in folder.iterdir()] == [".json"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_keeps_what_is_judged_and_leaves_nothing_else(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    data, folder = write_images(tmp_path / "images", each=8), tmp_path / "run" / "evaluation"
    command = ["evaluate", "linear", str(saved), "--data", data, "--random-baseline", "epochs=2"]
    judge, write, judged = PROTOCOLS["linear"].judge, judgement._write, []

    def judge_counted(*arguments: Any) -> list[Row]:
        judged.append(arguments)
        return judge(*arguments)

    def write_and_signal(*arguments: Any) -> None:
        write(*arguments)
        os.kill(os.getpid(), number)

    monkeypatch.setitem(PROTOCOLS, "linear", dataclasses.replace(PROTOCOLS["linear"], judge=judge_counted))
    with monkeypatch.context() as patch:
        patch.setattr(judgement, "_write", write_and_signal)
        assert main(command) == 143
    assert len(judged) == 1
    assert [file.suffix for file in folder.iterdir() if file.suffix != ".pt"] == [".finished"]
    assert main(command) == 0
    assert len(judged) == 2
    (path,) = folder.glob("*.json")
    rows = json.loads(path.read_text())["rows"]
    path.unlink()
    assert main(command) == 0
    assert json.loads(path.read_text())["rows"] == rows


def test_two_at_once(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, judge = write_images(tmp_path / "images", each=8), PROTOCOLS["knn"].judge

    def judge_twice(*arguments: Any) -> list[Row]:
        with pytest.raises(UsageError, match="knn-images-.*: another process makes this evaluation; wait for its"):
            evaluate("knn", saved, data)
        return judge(*arguments)

    monkeypatch.setitem(PROTOCOLS, "knn", dataclasses.replace(PROTOCOLS["knn"], judge=judge_twice))
    evaluate("knn", saved, data)
    assert [file.suffix for file in (tmp_path / "run" / "evaluation").iterdir()] == [".json"]


def test_what_a_kill_left_is_checked(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, folder = write_images(tmp_path / "images", each=8), tmp_path / "run" / "evaluation"
    monkeypatch.setattr(command, "settle", lambda *_: None)
    before = evaluate("knn", saved, data, random_baseline=False)
    (left,) = folder.glob("*.finished")
    (tmp_path / "images" / "red" / "3.png").unlink()
    after = evaluate("knn", saved, data, random_baseline=False)
    assert after.train_images + after.val_images == before.train_images + before.val_images - 1
    assert not list(folder.glob("*.tmp"))
    for damage in (b"", b"[1]", b"[" * 9999, left.read_bytes()[:-9]):
        left.write_bytes(damage)
        with pytest.raises(UsageError, match="finished: cannot be read as what an evaluation left; remove it"):
            evaluate("knn", saved, data, random_baseline=False)
