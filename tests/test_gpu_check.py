"""The command for machines with a GPU, as far as it can be tried without."""

import json
import sys

import pytest
import torch

from sslfast.benchmarks import gpu_check
from sslfast.benchmarks.gpu_check import Step

CPU = torch.device("cpu")


def test_every_step_leaves_its_log_and_a_failure_fails_the_check(tmp_path, capsys):
    todo = [
        Step("good", [sys.executable, "-c", "print('all well')"]),
        Step("bad", [sys.executable, "-c", "raise SystemExit(3)"]),
        Step("after", [sys.executable, "-c", "print('still run')"]),
    ]
    assert gpu_check.check(todo, tmp_path, CPU) == 1
    assert (tmp_path / "good.log").read_text() == "all well\n"
    assert (tmp_path / "after.log").read_text() == "still run\n"
    content = json.loads((tmp_path / "check.json").read_text())
    assert [step["exit_code"] for step in content["steps"]] == [0, 3, 0]
    assert content["steps"][0]["command"] == todo[0].command
    assert "commit" in content["header"]
    assert "failed (3)" in capsys.readouterr().out
    assert gpu_check.check(todo[:1], tmp_path, CPU) == 0


def test_what_is_run(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_check.shutil, "which", lambda name: f"/bin/{name}")
    whole = gpu_check.steps(tmp_path, dry_run=False)
    assert [step.name for step in whole] == [
        "build",
        "info",
        "tests",
        "memcheck",
        "racecheck",
        "benchmarks",
        "views",
        "train",
    ]
    dry = gpu_check.steps(tmp_path, dry_run=True)
    assert [step.name for step in dry] == ["build", "info", "tests", "benchmarks"]
    assert str(tmp_path / "ops") in whole[-3].command
    assert str(tmp_path / "views.json") in whole[-2].command
    assert str(tmp_path / "train.json") in whole[-1].command


@pytest.mark.skipif(torch.cuda.is_available(), reason="of machines without a GPU")
def test_without_a_gpu_it_says_how_to_try_it(capsys):
    assert gpu_check.main([]) == 2
    assert "--dry-run" in capsys.readouterr().err
