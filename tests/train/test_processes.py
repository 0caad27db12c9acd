"""A run of two processes: what it leaves, one signal or bad loss among them, resumption, and what is refused."""

import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.distributed as dist

from sslfast.commands.pretrain import pretrain
from sslfast.config import DataConfig
from sslfast.data import Source
from sslfast.distributed import largest
from sslfast.errors import UsageError
from sslfast.evaluation import features as evaluation
from sslfast.methods import METHODS
from sslfast.methods.moco_v2 import MoCoV2
from sslfast.recipes.load import load_recipe
from tests.train.runs import TINY, assert_same, lines, signal_after, state

RANKS = 2
# Without batch normalization, which is over a process's own images: then two processes do what one does.
SETTINGS = [
    *TINY,
    "method.head_norm=false",
    "encoder.norm=layer",
    "train.epochs=1",
    "train.knn_every=1",
    "optim.name=sgd",
]
BAD, STOPPED, STEPS = 2, 3, 5
CPU = torch.device("cpu")

pytestmark = pytest.mark.skipif(not dist.is_gloo_available(), reason="needs gloo")


def config(*overrides):
    return load_recipe("moco_v2_shapes", [*SETTINGS, *overrides])


REFUSED = {
    "data.batch_size=33": "data.batch_size=33: expected a multiple of the 2 processes",
    "data.batch_size=2": "data.batch_size=2: expected at least 4",
    "encoder.norm=split encoder.norm_splits=1": "encoder.norm_splits=1: expected a multiple of the 2 processes",
}


class BadOnRank1(MoCoV2):
    """Its loss, not its gradient, is infinite in one step on rank 1 alone."""

    def loss(self, batch):
        self.calls = getattr(self, "calls", 0) + 1
        loss, values, kept = super().loss(batch)
        return (loss + torch.inf if self.calls == BAD and dist.get_rank() == 1 else loss), values, kept


def work(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=RANKS)
    pretrain(config(), folder / "whole")
    with pytest.MonkeyPatch.context() as patch:
        signal_after(patch, STOPPED, rank=1)
        with pytest.raises(SystemExit, match="143"):
            pretrain(config(), folder / "stopped")
    pretrain(config("train.accumulate=2"), folder / "in parts")
    if rank == 0:
        shutil.copytree(folder / "stopped", folder / "alone")
    pretrain(config(), folder / "stopped", resume=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "eval_batches", signalled_at_the_end(evaluation.eval_batches))
        with pytest.raises(SystemExit, match="143"):
            pretrain(config(), folder / "evaluated")
    assert rank == 1 or "loss" in lines(folder / "evaluated")[-1]
    pretrain(config(), folder / "evaluated", resume=True)
    checks = []  # of 4 and 5 images, one and two batches
    nine = Source("noise", images=np.zeros((9, 32, 32, 3), np.uint8))
    evaluation.features(
        torch.nn.Flatten(), nine, DataConfig(), CPU, batch_size=4, check_interrupt=lambda: checks.append(True)
    )
    assert len(checks) == largest(len(checks)) == 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, "moco_v2", BadOnRank1)
        pretrain(config("train.knn_every=0"), folder / "bad")
    for override, message in REFUSED.items():
        with pytest.raises(UsageError, match=message):
            pretrain(config(*override.split()), folder / "refused")
        largest(0)  # a barrier: both ranks refuse
    with pytest.raises(UsageError, match="every process needs the same --out"):
        pretrain(config(), folder / ("whole" if rank == 0 else "of another machine"), resume=True)
    dist.destroy_process_group()


def signalled_at_the_end(eval_batches):
    """Wraps `eval_batches`: those of the last evaluation bring a signal to rank 1 alone."""
    passes = []

    def batches(*args):
        passes.append(args)
        if len(passes) == 4 and dist.get_rank() == 1:  # three for the initial weights
            os.kill(os.getpid(), signal.SIGTERM)
        return eval_batches(*args)

    return batches


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Makes a folder of runs: that of one process, and those of `work`."""
    folder = tmp_path_factory.mktemp("runs")
    pretrain(config(), folder / "single")
    torch.multiprocessing.spawn(work, (folder,), nprocs=RANKS)
    return folder


def assert_close(run, other, but=None):
    """Asserts that weights, queue and what was logged are the same, but for rounding."""
    ours, theirs = state(run)["method"], state(other)["method"]
    if but:
        del ours[but], theirs[but]
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)
    for line, expected in zip(lines(run), lines(other), strict=True):
        for values in (line, expected):
            values.pop("images_per_second", None)
        assert line == pytest.approx(expected, rel=1e-4)


def test_two_processes_do_what_one_does(runs):
    assert_close(runs / "whole", runs / "single")
    assert "2 processes, each with 16 images of a batch" in (runs / "whole" / "train.log").read_text()
    assert (runs / "whole" / "backbone.safetensors").exists()
    assert len(list((runs / "whole").glob("events.out.*"))) == 1


def test_two_processes_that_take_their_images_in_parts_do_what_one_does_with_all(runs):
    """But for the order in which keys join the queue."""
    assert_close(runs / "in parts", runs / "single", but="queue.keys")


def test_a_signal_to_one_stops_all_and_a_resumed_run_equals_an_uninterrupted_one(runs):
    assert f"SIGTERM: saved at step {STOPPED}" in (runs / "stopped" / "train.log").read_text()
    assert_same(state(runs / "stopped"), state(runs / "whole"))


def test_a_signal_to_one_during_an_evaluation_stops_all(runs):
    assert f"SIGTERM: saved at step {STEPS}" in (runs / "evaluated" / "train.log").read_text()
    assert_same(state(runs / "evaluated"), state(runs / "whole"))
    assert lines(runs / "evaluated")[-1] == lines(runs / "whole")[-1]
    assert (runs / "evaluated" / "backbone.safetensors").exists()


def test_one_process_goes_on_where_two_stopped(runs):
    assert state(runs / "alone")["step"] == STOPPED
    pretrain(config(), runs / "alone", resume=True)
    assert_close(runs / "alone", runs / "single")


def test_a_loss_that_is_not_finite_on_one_is_skipped_by_all(runs):
    skipped = [line["skipped_steps"] for line in lines(runs / "bad")]
    assert skipped == [0] * (BAD - 1) + [1] * (STEPS - BAD + 1)
    assert all(value.isfinite().all() for value in state(runs / "bad")["method"].values())


def test_torchrun(runs, tmp_path):
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={RANKS}", "-m", "sslfast"]
    command = [sys.executable, *launch, "pretrain", "moco_v2_shapes", "--out", str(tmp_path / "run"), *SETTINGS]
    subprocess.run(command, check=True)
    assert_same(state(tmp_path / "run"), state(runs / "whole"))
