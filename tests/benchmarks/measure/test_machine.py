"""The rates of a machine, and the commit that results are of."""

import re
import subprocess

import pytest
import torch

from sslfast.benchmarks.measure import machine
from sslfast.benchmarks.measure.machine import Ceilings, Work

CPU = torch.device("cpu")


def test_ceilings_are_rates():
    ceilings = Ceilings(CPU)
    assert 1e8 < ceilings.bytes() < 1e13
    assert 1e8 < ceilings.flops(torch.float32) < 1e15
    assert ceilings.floor_ms(Work(ceilings.flops(torch.float32), 0), torch.float32) == pytest.approx(1e3)


def test_the_commit_is_dirty_where_more_than_results_differs(tmp_path, monkeypatch):
    def git(*arguments):
        identity = ("-c", "user.name=name", "-c", "user.email=address", "-c", "commit.gpgsign=false")
        subprocess.run(["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True)

    results, code = tmp_path / "benchmarks" / "results", tmp_path / "kernels" / "op.py"
    monkeypatch.setattr(machine, "RESULTS", results)
    for folder in (results, code.parent):
        folder.mkdir(parents=True)
    git("init")
    for file in (results / "op.json", code):
        file.write_text("old")
    git("add", ".")
    git("commit", "-m", "first")
    (results / "op.json").write_text("new")
    assert re.fullmatch("[0-9a-f]{7,}", machine.commit())
    code.write_text("new")
    assert re.fullmatch("[0-9a-f]{7,}-dirty", machine.commit())
