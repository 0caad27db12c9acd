"""The length of a run, and one that was interrupted."""

import signal
from types import SimpleNamespace

import pytest
import torch

from sslfast.benchmarks.methods import run, short
from sslfast.benchmarks.methods.record import RANDOM
from sslfast.train.interrupt import Interrupt
from sslfast.train.step import TrainStep
from tests.benchmarks.methods.small import runs_in


def test_an_interrupted_run_goes_on_and_ends_as_if_it_had_not_been(tmp_path, command, monkeypatch):
    monkeypatch.setattr(run, "timed", lambda call, device: (call(), 5.0)[1])
    command("--epochs", "2", out="whole")
    steps = []
    take_step = TrainStep.__call__

    def counted(self, batch):
        if self.recipe.method.name == "moco_v2":
            steps.append(0)
        return take_step(self, batch)

    monkeypatch.setattr(TrainStep, "__call__", counted)

    class AfterSix(Interrupt):
        @property
        def received(self):
            return signal.SIGTERM if len(steps) >= 6 else None

        @received.setter
        def received(self, value):
            pass

    with monkeypatch.context() as patch:
        patch.setattr(run, "Interrupt", AfterSix)
        with pytest.raises(SystemExit, match="143"):
            command("--epochs", "2", out="parts")
    command("--epochs", "2", out="parts")
    assert len(steps) == 8  # of 4 an epoch
    whole, parts = (runs_in(tmp_path / name)["moco_v2", 0] for name in ("whole", "parts"))
    for key in ("epochs", "scores", "random"):
        assert whole[key] == parts[key]
    assert (whole["seconds"], parts["seconds"]) == (5.0, 10.0)


def test_a_run_takes_the_minutes_it_is_given_and_other_seeds_its_epochs(tmp_path, command, monkeypatch):
    monkeypatch.setattr(run, "seconds_per_epoch", lambda make: 2.0)
    command("--minutes", "0.1")
    monkeypatch.setattr(run, "seconds_per_epoch", lambda make: 1.0)
    command("--minutes", "0.1", "--seeds", "2")
    assert {r["epochs"] for r in runs_in(tmp_path / "out").values() if r["method"] != RANDOM} == {3}


def test_some_short_runs_are_longer(monkeypatch):
    monkeypatch.setitem(short.SHORT, "moco_v2", short.Short(("train.log_every=1",), "a test", longer=1.5))

    def epochs(method, whole=False, epochs=None):
        task = SimpleNamespace(epochs=epochs, minutes=3.0, whole=whole)
        return run.Task.length(task, method, lambda: 10.0)

    assert (epochs("simclr"), epochs("moco_v2"), epochs("supervised")) == (18, 27, 18)
    assert (epochs("moco_v2", whole=True), epochs("moco_v2", epochs=4)) == (18, 4)


def test_the_seconds_of_an_epoch(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(run.time, "perf_counter", lambda: now[0])

    def passes(seconds):
        now[0] += seconds

    def batches():
        passes(10)  # a clustering
        while True:
            passes(1)
            yield None

    trainer = SimpleNamespace(
        batches=batches,
        train_step=lambda batch: passes(2),
        device=torch.device("cpu"),
        loader=SimpleNamespace(steps_per_epoch=5),
    )
    assert run.seconds_per_epoch(lambda: trainer) == 10 + 1 + 5 * (1 + 2)
