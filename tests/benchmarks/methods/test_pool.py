"""Runs at a time: their shapes, threads and processes."""

import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from sslfast.benchmarks.methods import pool
from sslfast.benchmarks.methods.record import RANDOM
from tests.benchmarks.methods.small import runs_in


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(1)


def test_each_run_is_compiled_for_its_own_shapes(monkeypatch):
    compiled = []

    def train(method, seed, task, epochs):
        network = Mean()
        network.compile(backend=lambda graph, inputs: compiled.append(inputs) or graph.forward)
        network(torch.zeros(seed + 2, 3))

    monkeypatch.setattr(pool, "run_method", train)
    for seed in range(3):
        pool.do(None, pool.Job("moco_v2", seed, None))
    assert len(compiled) == 3
    assert not any(isinstance(x, torch.SymInt) for inputs in compiled for x in inputs)


def test_several_runs_at_a_time(tmp_path, command, capsys):
    """Runs in their own processes, where the supervised one has its own batch, larger than this data set."""
    command("--epochs", "1", out="one")
    assert command("--epochs", "1", "--jobs", "2", out="two") == 1
    assert "supervised: no result: noise: 64 images are fewer than one batch" in capsys.readouterr().out
    one, two = (runs_in(tmp_path / name) for name in ("one", "two"))
    assert set(two) == {(RANDOM, 0), ("moco_v2", 0)}
    assert two[RANDOM, 0] == one[RANDOM, 0]


@pytest.mark.parametrize(("left", "processes"), [(1, 1), (3, 2)])
def test_the_last_run_left_gets_no_more_threads_than_the_others(monkeypatch, left, processes):
    pools = []

    class Pool(nullcontext):
        def __init__(self, processes, start, arguments):
            super().__init__(self)
            pools.append((processes, arguments))

        def imap_unordered(self, call, jobs):
            return jobs

    monkeypatch.setattr(pool.multiprocessing, "get_context", lambda name: SimpleNamespace(Pool=Pool))
    monkeypatch.setattr(pool.torch, "get_num_threads", lambda: 4)
    jobs = [pool.Job("moco_v2", seed, None) for seed in range(left)]
    assert list(pool.do_all(None, jobs, 2)) == jobs
    assert pools == [(processes, (2,))]


def test_the_processes_of_a_killed_pool_end():
    program = """
import os, time
from sslfast.benchmarks.methods import pool

processes = pool.multiprocessing.get_context("spawn").Pool(1, pool._start, (1,))
print(processes.apply(os.getpid), flush=True)
time.sleep(300)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        child = parent.stdout.readline().strip()
        assert runs(child)
        parent.kill()
    until = time.monotonic() + 30
    while runs(child):
        assert time.monotonic() < until
        time.sleep(0.1)


def runs(process):
    """Tells whether a process has not ended; one that has keeps an empty command line until its parent knows."""
    try:
        return bool(Path(f"/proc/{process}/cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False
