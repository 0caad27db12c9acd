"""The check that every method learns: what it trains, keeps, goes on with and concludes."""

import dataclasses
import json
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from sslfast.benchmarks.methods import check as methods_check
from sslfast.benchmarks.methods import pool as methods_pool
from sslfast.benchmarks.methods import run as methods_run
from sslfast.benchmarks.methods import short as methods_short
from sslfast.benchmarks.methods.record import RANDOM, SUPERVISED, Record, Run, not_learned, summarise, table
from sslfast.benchmarks.methods.short import CPU, GPU, SHORT, Short
from sslfast.data import Source
from sslfast.errors import TrainingError, UsageError
from sslfast.methods import METHODS
from sslfast.recipes.check import check as check_recipe
from sslfast.train.interrupt import Interrupt

SMALL = ("data.batch_size=16", "method.queue_size=32", "method.hidden=16", "encoder.norm=batch", "train.threads=1")


def noise(name, limit):
    """Images whose classes nothing tells apart."""
    pixels = np.random.default_rng(0).integers(0, 256, (limit, 32, 32, 3), dtype=np.uint8)
    return Source(name, images=pixels, labels=np.arange(limit) % 4, classes=list("abcd"))


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Runs the command on few images, with moco_v2 made small."""
    monkeypatch.setattr(methods_check, "open_source", noise)
    monkeypatch.setitem(SHORT, "moco_v2", Short(SMALL, "a test"))
    whole = methods_short.supervised

    def supervised(scale):
        recipe = whole(scale)
        return dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, batch_size=16))

    monkeypatch.setattr(methods_run, "supervised", supervised)

    def run(*arguments, out="out"):
        common = ["--data", "noise", "--images", "64", "--held-out", "32", "--width", "0.125"]
        folders = ["--out", str(tmp_path / out), "--runs", str(tmp_path / "runs")]
        return methods_check.main(["--method", "moco_v2", "--jobs", "1", *common, *folders, *arguments])

    return run


def runs_in(folder):
    return {(run["method"], run["seed"]): run for run in json.loads((folder / "methods.json").read_text())["runs"]}


def run(method, seed, knn, linear, *, settings=(), epochs=3, random=0.25):
    scores = {"knn": knn, "linear": linear}
    return Run(method, seed, list(settings), epochs, 60.0, scores, dict.fromkeys(scores, random), "commit")


def test_what_a_check_leaves_and_that_it_goes_on(tmp_path, command, capsys):
    assert command("--epochs", "1") == 1  # from noise nothing is learned
    assert "moco_v2: no clear margin over random initialisation by knn and linear" in capsys.readouterr().out
    first = runs_in(tmp_path / "out")
    assert set(first) == {(RANDOM, 0), (SUPERVISED, 0), ("moco_v2", 0)}
    assert first["moco_v2", 0]["epochs"] == 1
    assert first["moco_v2", 0]["random"] == first[SUPERVISED, 0]["random"] == first[RANDOM, 0]["scores"]
    content = json.loads((tmp_path / "out" / "methods.json").read_text())
    assert content["shared"]["images"] == 64
    assert content["shared"]["held_out"] == 32
    assert {"CPU", "versions", "commit", "command"} <= content["header"].keys()
    assert str(tmp_path) not in (tmp_path / "out" / "methods.json").read_text()
    assert "moco_v2" in (tmp_path / "out" / "methods.txt").read_text()
    assert Image.open(tmp_path / "out" / "methods.png").width > 500
    assert not list((tmp_path / "runs").iterdir())  # what was needed to go on

    command("--epochs", "1", "--seeds", "2")
    both = runs_in(tmp_path / "out")
    assert set(both) == {(name, seed) for name, _ in first for seed in (0, 1)}
    assert all(both[key] == value for key, value in first.items())  # not run again
    assert command("--epochs", "2") == 2  # another length in one table
    assert "choose another --out" in capsys.readouterr().err


def test_whole_recipes_beside_published_accuracies(tmp_path, command, monkeypatch):
    probes, probe = [], methods_run.linear_probe
    monkeypatch.setattr(
        methods_run, "linear_probe", lambda *x, config, **y: probes.append(config) or probe(*x, config=config, **y)
    )
    command("--published", "--epochs", "1", "--images", "160")
    assert {(config.form, config.lr, config.batch_size, config.epochs) for config in probes} == {
        ("lars", 0.8, 256, 90)
    }
    runs = runs_in(tmp_path / "out")
    assert set(runs) == {(RANDOM, 0), ("moco_v2", 0)}
    assert not set(SMALL) & set(runs["moco_v2", 0]["settings"])
    assert json.loads((tmp_path / "out" / "methods.json").read_text())["shared"]["recipes"] == "whole"
    line = next(line for line in (tmp_path / "out" / "methods.txt").read_text().splitlines() if "moco_v2" in line)
    assert line.endswith(" 84.0%")


def test_a_method_whose_note_explains_it_may_fail_on_few_images(command, monkeypatch, capsys):
    monkeypatch.setitem(SHORT, "moco_v2", Short(SMALL, "a test", note="noise has no classes"))
    assert command("--epochs", "1") == 0
    assert "by knn and linear: noise has no classes" in capsys.readouterr().out
    assert methods_short.note("moco_v2", CPU) == "noise has no classes"
    assert methods_short.note("moco_v2", GPU) == ""  # all images, and time


def test_an_interrupted_run_goes_on_and_ends_as_if_it_had_not_been(tmp_path, command, monkeypatch):
    monkeypatch.setattr(methods_run, "timed", lambda call, device: (call(), 5.0)[1])
    command("--epochs", "2", out="whole")
    steps = []
    train_step = methods_run.Trainer.train_step
    monkeypatch.setattr(
        methods_run.Trainer, "train_step", lambda self, batch: steps.append(0) or train_step(self, batch)
    )

    class AfterSix(Interrupt):
        @property
        def received(self):
            return signal.SIGTERM if len(steps) >= 6 else None

        @received.setter
        def received(self, value):
            pass

    with monkeypatch.context() as patch:
        patch.setattr(methods_run, "Interrupt", AfterSix)
        with pytest.raises(SystemExit, match="143"):
            command("--epochs", "2", out="parts")
    command("--epochs", "2", out="parts")
    assert len(steps) == 8  # of 4 an epoch
    whole, parts = (runs_in(tmp_path / name)["moco_v2", 0] for name in ("whole", "parts"))
    for key in ("epochs", "scores", "random"):
        assert whole[key] == parts[key]
    assert (whole["seconds"], parts["seconds"]) == (5.0, 10.0)


def test_a_run_takes_the_minutes_it_is_given_and_other_seeds_its_epochs(tmp_path, command, monkeypatch):
    monkeypatch.setattr(methods_run, "seconds_per_epoch", lambda make: 2.0)
    command("--minutes", "0.1")
    monkeypatch.setattr(methods_run, "seconds_per_epoch", lambda make: 1.0)
    command("--minutes", "0.1", "--seeds", "2")
    assert {r["epochs"] for r in runs_in(tmp_path / "out").values() if r["method"] != RANDOM} == {3}


def test_the_seconds_of_an_epoch(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(methods_run.time, "perf_counter", lambda: now[0])

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
    assert methods_run.seconds_per_epoch(lambda: trainer) == 10 + 1 + 5 * (1 + 2)


@pytest.mark.parametrize("error", [TrainingError("diverged"), UsageError("does not fit")])
def test_a_method_that_fails_costs_the_others_nothing(tmp_path, command, monkeypatch, capsys, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(methods_pool, "run_method", fail)
    assert command("--epochs", "1", "--seeds", "2") == 1
    assert f"moco_v2: no result: {error}" in capsys.readouterr().out
    assert {name for name, _ in runs_in(tmp_path / "out")} == {RANDOM, SUPERVISED}


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(1)


def test_each_run_is_compiled_for_its_own_shapes(monkeypatch):
    compiled = []

    def train(method, seed, task, epochs):
        network = Mean()
        network.compile(backend=lambda graph, inputs: compiled.append(inputs) or graph.forward)
        network(torch.zeros(seed + 2, 3))

    monkeypatch.setattr(methods_pool, "run_method", train)
    for seed in range(3):
        methods_pool.do(None, methods_pool.Job("moco_v2", seed, None))
    assert len(compiled) == 3
    assert not any(isinstance(x, torch.SymInt) for inputs in compiled for x in inputs)


def test_several_runs_at_a_time(tmp_path, command, capsys):
    """In their own processes, where the supervised run has its own batch, larger than this data set."""
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

    monkeypatch.setattr(methods_pool.multiprocessing, "get_context", lambda name: SimpleNamespace(Pool=Pool))
    monkeypatch.setattr(methods_pool.torch, "get_num_threads", lambda: 4)
    jobs = [methods_pool.Job("moco_v2", seed, None) for seed in range(left)]
    assert list(methods_pool.do_all(None, jobs, 2)) == jobs
    assert pools == [(processes, (2,))]


def test_the_processes_of_a_killed_pool_end():
    program = """
import os, time
from sslfast.benchmarks import methods_pool as m

pool = m.multiprocessing.get_context("spawn").Pool(1, m._start, (1,))
print(pool.apply(os.getpid), flush=True)
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
    """Whether a process has not ended; the command line of one that has is empty until its parent takes note."""
    try:
        return bool(Path(f"/proc/{process}/cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_method_that_does_not_exist(capsys):
    assert methods_check.main(["--method", "moco_v22"]) == 2
    assert "did you mean 'moco_v2'" in capsys.readouterr().err


def test_a_run_with_other_settings_takes_the_place_of_all_before(tmp_path):
    record = Record(tmp_path / "methods.json", {"CPU": "one"}, {"width": 1})
    for new in (run("a", 0, 0.3, 0.3), run("a", 1, 0.3, 0.3), run("b", 0, 0.3, 0.3)):
        record.add(new)
    assert set(record.find("a", [])) == {0, 1}
    assert not record.find("a", ["x=1"])
    record.add(run("a", 0, 0.5, 0.5, settings=["x=1"]))
    again = Record(record.path, {"CPU": "another"}, {"width": 1})
    assert again.header == {"CPU": "one"}
    assert [(r.method, r.seed, r.scores["knn"]) for r in again.runs] == [("b", 0, 0.3), ("a", 0, 0.5)]
    with pytest.raises(UsageError, match=r"holds runs with .*'width': 1.* asked for is .*'width': 2"):
        Record(record.path, {}, {"width": 2})


def test_mean_and_spread_over_the_seeds_in_the_order_of_the_linear_probe():
    runs = [
        *(run(SUPERVISED, 0, 0.6, 0.2), run("good", 0, 0.4, 0.5), run("good", 1, 0.44, 0.5)),
        *(run("bad", 0, 0.5, 0.3), run(RANDOM, 0, 0.2, 0.9)),
    ]
    found = summarise(runs)
    assert [s.method for s in found] == [RANDOM, "bad", "good", SUPERVISED]
    knn = found[2].scores["knn"]
    assert (knn.mean, knn.lowest, knn.highest) == pytest.approx((0.42, 0.4, 0.44))
    assert knn.spread == pytest.approx(0.04 / 2**0.5)
    lines = table(found, {}).splitlines()
    assert lines[3].split() == [
        *("good", "2", "3", "1.0", "42.0%", "±", "2.8", "25.0%", "50.0%", "±", "0.0", "25.0%")
    ]
    assert "±" not in lines[2]


def test_what_counts_as_learned():
    """At 25 % of 2,000 images the margin is 2 sqrt(2 * 0.25 * 0.75 / 2000) = 2.74 %."""
    runs = [
        *(run(RANDOM, 0, 0.25, 0.25), run(SUPERVISED, 0, 0.1, 0.1), run("yes", 0, 0.28, 0.28)),
        *(run("no", 0, 0.27, 0.27), run("half", 0, 0.27, 0.4), run("worse", 0, 0.4, 0.2)),
        *(run("from lower", 0, 0.23, 0.23, random=0.2), run("from higher", 0, 0.4, 0.4, random=0.39)),
    ]
    expected = {"no": ["knn", "linear"], "half": ["knn"], "worse": ["linear"], "from higher": ["knn", "linear"]}
    assert not_learned(summarise(runs), 2000) == expected
    assert not not_learned(summarise([run(RANDOM, 0, 0.25, 0.25), run("no", 0, 0.27, 0.27)]), 20_000)


@pytest.mark.parametrize(("scale", "train_images"), [(CPU, 5000), (GPU, 45_000)], ids=["cpu", "gpu"])
@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_can_be_run(method, scale, train_images):
    config = methods_short.recipe(method, "CIFAR10", scale, 3, seed=1)
    check_recipe(config)
    METHODS[method].check(config, train_images)
    assert (config.encoder.name, config.encoder.stem, config.encoder.width) == ("resnet18", "cifar", scale.width)
    assert (config.train.epochs, config.train.seed, config.data.source) == (3, 1, "CIFAR10")
    assert config.data.val_fraction == 0


def test_the_table_of_short_runs_names_methods_and_its_warm_up_is_the_recipe_s_share(monkeypatch):
    assert SHORT.keys() <= METHODS.keys()
    assert all(short.settings and short.reason for short in SHORT.values())
    monkeypatch.setitem(SHORT, "moco_v2", Short(("optim.warmup_epochs=10",), "a test"))
    assert methods_short.recipe("moco_v2", "x", CPU, 20, seed=0).optim.warmup_epochs == 1  # of the recipe's 200
